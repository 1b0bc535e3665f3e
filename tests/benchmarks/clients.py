"""A client process of a load test: it sends one request over and over, as fast as the answers come.

    python tests/benchmarks/clients.py

Once it has written a line it takes jobs from standard input, a JSON object a line: `target` (host:port),
`request` (a serialized PredictRequest in base64), `start` and `stop` (seconds since the epoch). It sends
before `start` too, to get warm. After each job it writes a line with the milliseconds that each request took
and, in base64, the last answer. It imports little, and neither makes nor reads messages, so that the load is
the server's.
"""

import base64
import json
import sys
import time
from typing import Any

import grpc

METHOD = "/tensorflow.serving.PredictionService/Predict"
OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


def work(job: dict[str, Any]) -> dict[str, Any]:
    """Do one job; a request that fails ends it with its error."""
    request = base64.b64decode(job["request"])
    took = []
    with grpc.insecure_channel(job["target"], options=OPTIONS) as channel:
        predict = channel.unary_unary(METHOD)
        while True:
            now, start = time.time(), time.perf_counter()
            answer = predict(request, timeout=30)
            if now >= job["start"]:
                took.append(1000 * (time.perf_counter() - start))
            if time.time() >= job["stop"]:
                break
    return {"milliseconds": took, "answer": base64.b64encode(answer).decode()}


if __name__ == "__main__":
    print("ready", flush=True)
    for line in sys.stdin:
        print(json.dumps(work(json.loads(line))), flush=True)
