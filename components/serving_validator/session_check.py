"""Asks a SavedModel in a process of its own, which loads it as TensorFlow Serving does.

    python -m components.serving_validator.session_check MODEL FOLDER

FOLDER is the caller's, and begins with `REQUESTS`, a pickled list of `Request`. `READY` appears in it once
all that the process needs is there, before the model is touched: what fails until then is no fault of the
model. `ANSWERS` holds at the end a pickled list of the fields of an `Answer` each, in the same order, or the
text of the model's error. A process that ends without it could not tell what the model is worth.
"""

import dataclasses
import pickle
import statistics
import sys
import time
import traceback
from pathlib import Path

import numpy as np
import tensorflow as tf

from serving.saved_model import SessionModel

REQUESTS, READY, ANSWERS = "requests", "ready", "answers"
_TRIAL = "trial"
_NOT_OF_THE_MODEL = (ImportError, MemoryError, tf.errors.ResourceExhaustedError)
"""Beside memory, TensorFlow calls a full disk and a lack of file descriptors an exhausted resource."""


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


def main(model_path: str, folder: str) -> None:
    """Answer the requests in a folder."""
    requests = pickle.loads(Path(folder, REQUESTS).read_bytes())
    _try_another_model(str(Path(folder, _TRIAL)))
    Path(folder, READY).touch()
    try:
        with SessionModel(model_path) as model:
            answers = [ask(model, request) for request in requests]
    except Exception as error:
        if _not_of_the_model(error):
            raise
        traceback.print_exc()
        told: object = f"{type(error).__name__}: {error}"
    else:
        # As tuples: here the class is __main__.Answer, which no other process knows.
        told = [(answer.outputs, answer.milliseconds) for answer in answers]
    Path(folder, ANSWERS).write_bytes(pickle.dumps(told))


def _try_another_model(folder: str) -> None:
    """Load and ask a SavedModel of one multiplication, by all that the model itself will need."""
    module = tf.Module()
    module.factor = tf.Variable(2.0)
    module.multiply = tf.function(
        lambda x: {"y": module.factor * x}, input_signature=[tf.TensorSpec([], tf.float32, name="x")]
    )
    tf.saved_model.save(module, folder, signatures={"multiply": module.multiply})
    with SessionModel(folder) as model:
        model.run("multiply", {"x": np.array(1, np.float32)})


def _not_of_the_model(error: BaseException | None) -> bool:
    """Return whether an error, or one that led to it, is of the machine or of what is installed."""
    while error is not None:
        if isinstance(error, _NOT_OF_THE_MODEL):
            return True
        error = error.__cause__ or error.__context__
    return False


if __name__ == "__main__":
    main(*sys.argv[1:])
