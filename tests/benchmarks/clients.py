"""The clients of a load test: each has one request under way, and sends it again when the answer comes.

    python tests/benchmarks/clients.py

Once it has written a line it takes jobs from standard input, a JSON object a line: `target` (host:port),
`clients` (how many), `request` (a serialized PredictRequest in base64), and `start` and `stop` (seconds since
the epoch). It sends before `start` too, to get warm. After each job it writes a line with the milliseconds
that each request took and, in base64, one answer.

The machine is the server's too, so the load must cost little. One process with one channel sends for all
clients, as a web server would: a process for each would spend its time in changes from one to another. It
imports little, and neither makes nor reads messages. What is left is gRPC's own work for a call, some 0.3 ms
of processor time, half of what the Session takes for one row; it is within the milliseconds.
"""

import base64
import json
import sys
import threading
import time
from typing import Any

import grpc

METHOD = "/tensorflow.serving.PredictionService/Predict"
OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


class Load:
    """One job under way.

    Args:
        predict: Sends a serialized request.
        job: As described above.
    """

    def __init__(self, predict: grpc.UnaryUnaryMultiCallable, job: dict[str, Any]) -> None:
        self._predict = predict
        self._request = base64.b64decode(job["request"])
        self._start, self._stop = job["start"], job["stop"]
        self._left = threading.Semaphore(0)
        self._clients = job["clients"]
        self._took: list[float] = []
        self._answer = b""
        self._error: grpc.RpcError | None = None

    def run(self) -> dict[str, Any]:
        """Return once every client has its last answer.

        Raises:
            RpcError: A request failed.
        """
        for _ in range(self._clients):
            self._send()
        for _ in range(self._clients):
            self._left.acquire()
        if self._error is not None:
            raise self._error
        return {"milliseconds": self._took, "answer": base64.b64encode(self._answer).decode()}

    def _send(self) -> None:
        counts = time.time() >= self._start
        start = time.perf_counter()

        def answered(call: grpc.Future) -> None:
            if counts:
                self._took.append(1000 * (time.perf_counter() - start))
            try:
                self._answer = call.result()
            except grpc.RpcError as error:
                self._error = error
            if self._error is None and time.time() < self._stop:
                self._send()
            else:
                self._left.release()

        self._predict.future(self._request, timeout=30).add_done_callback(answered)


def work(job: dict[str, Any]) -> dict[str, Any]:
    """Do one job; a request that fails ends it with its error."""
    with grpc.insecure_channel(job["target"], options=OPTIONS) as channel:
        return Load(channel.unary_unary(METHOD), job).run()


if __name__ == "__main__":
    print("ready", flush=True)
    for line in sys.stdin:
        print(json.dumps(work(json.loads(line))), flush=True)
