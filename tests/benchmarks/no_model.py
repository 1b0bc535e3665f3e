"""A server that answers each Predict with nothing: what gRPC in Python costs without a model.

    python tests/benchmarks/no_model.py

It writes a line that ends in its address. Requests are not even parsed, so no server in Python is faster.
"""

import sys
from concurrent import futures

import grpc
from clients import METHOD, OPTIONS

from serving.wire import HOST


class NoModel(grpc.GenericRpcHandler):
    """Answers Predict."""

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        """Return what answers the method."""
        if handler_call_details.method != METHOD:
            return None
        return grpc.unary_unary_rpc_method_handler(lambda request, context: b"")


if __name__ == "__main__":
    sys.setswitchinterval(0.0005)  # as the local server
    server = grpc.server(futures.ThreadPoolExecutor(32), handlers=[NoModel()], options=OPTIONS)
    port = server.add_insecure_port(f"{HOST}:0")
    server.start()
    print(f"{HOST}:{port}", flush=True)
    server.wait_for_termination()
