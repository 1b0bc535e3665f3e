"""Asks a SavedModel in a process of its own, which loads it as TensorFlow Serving does.

    python -m components.serving_validator.session_check MODEL REQUESTS ANSWERS

REQUESTS is a pickled list of `Request`, ANSWERS a pickled list of the fields of an
`Answer` each, in the same order.
"""

import dataclasses
import pickle
import statistics
import sys
import time
from pathlib import Path

import numpy as np

from serving.saved_model import SessionModel


@dataclasses.dataclass(frozen=True)
class Request:
    """A signature's inputs, and how often to ask for timing."""

    signature: str
    inputs: dict[str, np.ndarray]
    repeats: int = 1


@dataclasses.dataclass(frozen=True)
class Answer:
    """The outputs, and the median time of a call in milliseconds."""

    outputs: dict[str, np.ndarray]
    milliseconds: float


def ask(model: SessionModel, request: Request) -> Answer:
    """Ask once to warm up, then as often as the request says."""
    outputs = model.run(request.signature, request.inputs)
    seconds = []
    for _ in range(request.repeats):
        start = time.perf_counter()
        model.run(request.signature, request.inputs)
        seconds.append(time.perf_counter() - start)
    return Answer(outputs, 1000 * statistics.median(seconds))


def main(model_path: str, requests_path: str, answers_path: str) -> None:
    """Answer the requests of a file into another."""
    requests = pickle.loads(Path(requests_path).read_bytes())
    with SessionModel(model_path) as model:
        answers = [ask(model, request) for request in requests]
    # As tuples: here the class is __main__.Answer, which no other process knows.
    fields = [(answer.outputs, answer.milliseconds) for answer in answers]
    Path(answers_path).write_bytes(pickle.dumps(fields))


if __name__ == "__main__":
    main(*sys.argv[1:])
