"""Dynamic batching: requests that come at the same time run as one, as TensorFlow Serving does it.

There are no threads of the batcher's own. The thread of a request that finds a place free among the
`num_batch_threads` takes what waits, its own request with it, and runs that for all of them; the threads of
the others sleep until they have their answers. So a request that is alone runs as if there were no batching,
without a change of threads, and requests that come while a batch runs make the next one.
"""

import dataclasses
import math
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self

import grpc
import numpy as np
from tensorflow.core.protobuf import meta_graph_pb2

from serving import errors
from serving.saved_model import SessionModel
from serving.server.config_protos import read_batching_parameters
from serving.server.deadline import Deadline

_TOO_LATE = "the deadline passed, or the caller gave up, before the batch of the request began"
_LONGEST_WAIT = 3600.0  # seconds; a lock takes no infinite timeout


@dataclasses.dataclass(frozen=True, kw_only=True)
class BatchingParameters:
    """How requests are joined; the fields are named as TensorFlow Serving's, and so are the defaults.

    https://github.com/tensorflow/serving/blob/master/tensorflow_serving/batching/README.md
    """

    max_batch_size: int = 1000  # rows, at least 1; a larger request runs in parts
    batch_timeout_micros: int = 0  # microseconds that a request waits for others though it could run
    num_batch_threads: int = os.cpu_count() or 1  # batches of a signature that run at a time, at least 1
    max_enqueued_batches: int = 10  # of `max_batch_size` rows that wait for a signature, at least 1
    allowed_batch_sizes: tuple[int, ...] = ()  # rows, rising to `max_batch_size`; empty allows every size

    def __post_init__(self) -> None:
        for name in ("max_batch_size", "num_batch_threads", "max_enqueued_batches"):
            if getattr(self, name) < 1:
                raise ValueError(f"`{name}` must be positive, got {getattr(self, name)}")
        if self.batch_timeout_micros < 0:
            raise ValueError(f"`batch_timeout_micros` must not be negative, got {self.batch_timeout_micros}")
        sizes = self.allowed_batch_sizes
        if sizes and (sizes[0] < 1 or list(sizes) != sorted(set(sizes)) or sizes[-1] != self.max_batch_size):
            raise ValueError(
                "`allowed_batch_sizes` must be positive and rise to `max_batch_size` "
                f"({self.max_batch_size}), got {sizes}"
            )

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Read a `--batching_parameters_file`.

        `thread_pool_name` has no meaning here, since there is no such pool.

        Raises:
            InvalidRequest: It is not there, no BatchingParameters as text, or a field is out
                of its range or not supported.
        """
        message = read_batching_parameters(path)
        try:
            if message.pad_variable_length_inputs:
                # It pads with the tensor's first value; here strings are always padded, with empty ones.
                raise ValueError("`pad_variable_length_inputs` is not supported")
            given = {
                field.name: getattr(message, field.name).value
                for field in dataclasses.fields(cls)
                if field.type is int and message.HasField(field.name)
            }
            return cls(**given, allowed_batch_sizes=tuple(message.allowed_batch_sizes))
        except ValueError as error:
            raise errors.InvalidRequest(f"{path} is no batching parameters file: {error}") from error


class BatchingModel(SessionModel):
    """A loaded SavedModel that runs concurrent requests for the same outputs of a signature as one.

    Requests of a signature are joined along dimension 0 where all its inputs and outputs have any number of
    rows there. Others run by themselves: `rank`, whose inputs are one user and many movies, is one. (There
    TensorFlow Serving differs: with `--enable_batching` it refuses such requests,
    https://github.com/tensorflow/serving/issues/1682, or for a single movie gives another user's answer.)
    So do requests without rows, or whose inputs have different numbers of them.

    Args:
        path: The folder that holds `saved_model.pb`.
        parameters: How requests are joined.
        observe: Told the rows of each batch, without padding.

    Raises:
        ModelNotLoadable: As `SessionModel`.
    """

    def __init__(
        self,
        path: str | Path,
        parameters: BatchingParameters,
        observe: Callable[[int], None] = lambda rows: None,
    ) -> None:
        super().__init__(path)
        self._parameters = parameters
        self._observe = observe
        self._queues: dict[tuple[str, tuple[str, ...]], BatchQueue] = {}
        self._batched = {name for name, signature in self.signatures.items() if _has_rows(signature)}

    @property
    def depth(self) -> int:
        """How many requests, or parts of such, wait for a batch."""
        return sum(queue.depth for queue in list(self._queues.values()))

    def run(
        self, signature: str, inputs: Mapping[str, np.ndarray], output_filter: Sequence[str] = ()
    ) -> dict[str, np.ndarray]:
        """Answer one request, together with others that come at the same time.

        Args, returns and raises as `SessionModel.run`, and:

        Raises:
            LimitExceeded: The queue is full.
            DeadlineExceeded: The deadline of the gRPC call that this thread answers passed before a batch
                with its request began, or the caller gave up.
        """
        outputs, feeds = self.check(signature, inputs, output_filter)
        rows = feeds[0].shape[0] if signature in self._batched else 0
        if not rows or any(feed.shape[0] != rows for feed in feeds):
            return self.compute(signature, outputs, feeds)
        queue = self._queues.get((signature, outputs))
        if queue is None:
            queue = self._queues.setdefault(
                (signature, outputs),
                BatchQueue(self, signature, outputs, self._parameters, self._observe),
            )
        return queue.run(feeds)


class BatchQueue:
    """Requests for the same outputs of one signature, in the order in which they came.

    Args:
        model: What runs the batches.
        signature: Name of a signature whose inputs and outputs have any number of rows.
        outputs: Names of the outputs.
        parameters: How requests are joined.
        observe: Told the rows of each batch, without padding.
    """

    def __init__(
        self,
        model: SessionModel,
        signature: str,
        outputs: tuple[str, ...],
        parameters: BatchingParameters,
        observe: Callable[[int], None] = lambda rows: None,
    ) -> None:
        self._model = model
        self._signature = signature
        self._outputs = outputs
        self._parameters = parameters
        self._timeout = parameters.batch_timeout_micros / 1e6
        self._waiting: deque[_Task] = deque()
        self._waiting_rows = 0
        self._running = 0
        self._lock = threading.Lock()
        self._observe = observe

    @property
    def depth(self) -> int:
        """How many requests, or parts of such, wait."""
        return len(self._waiting)

    def run(self, feeds: list[np.ndarray]) -> dict[str, np.ndarray]:
        """Answer one request; arguments are values of the inputs in the order of their names.

        Raises:
            ServingError: As `BatchingModel.run`.
        """
        most, deadline, woken = self._parameters.max_batch_size, Deadline(), threading.Event()
        tasks = [
            _Task([feed[start : start + most] for feed in feeds], deadline, woken)
            for start in range(0, len(feeds[0]), most)
        ]
        self._enqueue(tasks, len(feeds[0]))
        try:
            for task in tasks:
                self._finish(task)
        except Exception:
            self._withdraw(tasks)
            raise
        if len(tasks) == 1:
            return tasks[0].result
        return {name: np.concatenate([task.result[name] for task in tasks]) for name in self._outputs}

    def _enqueue(self, tasks: list["_Task"], rows: int) -> None:
        limits = self._parameters
        with self._lock:
            if self._waiting_rows + rows > limits.max_enqueued_batches * limits.max_batch_size:
                raise errors.LimitExceeded(
                    "The batch scheduling queue to which this task was submitted is full; currently "
                    f"{math.ceil(self._waiting_rows / limits.max_batch_size)} batches enqueued and "
                    f"max_enqueued_batches is {limits.max_enqueued_batches}"
                )
            self._waiting.extend(tasks)
            self._waiting_rows += rows

    def _finish(self, task: "_Task") -> None:
        """Return once the task has a result; run batches meanwhile wherever there is a place for one."""
        while not task.done:
            now = time.monotonic()
            batch = self._take(now)
            if batch:
                self._run(batch)
                continue
            due = task.came + self._timeout - now
            task.woken.wait(min(due if due > 0 else _LONGEST_WAIT, task.deadline.remaining))
            task.woken.clear()
            if not task.done and not task.deadline.waited_for:
                raise errors.DeadlineExceeded(_TOO_LATE)
        if task.error is not None:
            raise task.error

    def _take(self, now: float) -> list["_Task"]:
        """Return the next batch, which then counts as running; empty if it has to wait."""
        most = self._parameters.max_batch_size
        with self._lock:
            if not self._waiting or self._running == self._parameters.num_batch_threads:
                return []
            first = self._waiting[0]
            if self._waiting_rows < most and now < first.came + self._timeout:
                return []
            batch: list[_Task] = []
            left: deque[_Task] = deque()
            rows = 0
            for task in self._waiting:
                if task.widths == first.widths and rows + task.rows <= most:
                    batch.append(task)
                    rows += task.rows
                else:
                    left.append(task)
            self._waiting = left
            self._waiting_rows -= rows
            self._running += 1
            self._wake_next()
            return batch

    def _run(self, batch: list["_Task"]) -> None:
        """Run a batch and give each task its part."""
        try:
            wanted = [task for task in batch if task.deadline.waited_for]
            if wanted:
                self._compute(wanted)
        finally:
            with self._lock:
                self._running -= 1
                self._wake_next()
            for task in batch:
                task.done = True
                task.woken.set()

    def _compute(self, batch: list["_Task"]) -> None:
        self._observe(sum(task.rows for task in batch))
        try:
            if len(batch) == 1 and not self._parameters.allowed_batch_sizes:
                batch[0].result = self._model.compute(self._signature, self._outputs, batch[0].feeds)
                batch[0].error = None
                return
            self._compute_joined(batch)
        # Whatever it is, it is for the request that is to blame, and this thread may be another one's.
        except Exception as error:
            if len(batch) == 1:
                batch[0].error = error
                return
            for task in batch:
                self._compute([task])

    def _compute_joined(self, batch: list["_Task"]) -> None:
        rows = sum(task.rows for task in batch)
        padded = next((size for size in self._parameters.allowed_batch_sizes if size >= rows), rows)
        feeds = [_joined(parts, padded) for parts in zip(*(task.feeds for task in batch), strict=True)]
        outputs = self._model.compute(self._signature, self._outputs, feeds)
        for name, value in outputs.items():
            if value.shape[:1] != (padded,):
                raise errors.ModelFailed(
                    f"Batched output tensor {name} has shape {list(value.shape)} for {padded} rows of inputs",
                    grpc.StatusCode.FAILED_PRECONDITION.value[0],
                )
        start = 0
        for task in batch:
            stop = start + task.rows
            task.result = {name: value[start:stop] for name, value in outputs.items()}
            task.error = None
            start = stop

    def _withdraw(self, tasks: list["_Task"]) -> None:
        """Take tasks that wait still out of the queue."""
        with self._lock:
            left = deque(task for task in self._waiting if task not in tasks)
            self._waiting = left
            self._waiting_rows = sum(task.rows for task in left)
            self._wake_next()

    def _wake_next(self) -> None:
        """Let the first that waits look whether a batch can run; the lock is held."""
        if self._waiting and self._running < self._parameters.num_batch_threads:
            self._waiting[0].woken.set()


class _Task:
    """What joins a batch as a whole: a request, or a part of a large one."""

    __slots__ = ("came", "deadline", "done", "error", "feeds", "result", "rows", "widths", "woken")

    def __init__(self, feeds: list[np.ndarray], deadline: Deadline, woken: threading.Event) -> None:
        self.feeds = feeds
        self.rows = len(feeds[0])
        # Strings can be padded; `check` has seen to it that a fixed width is the right one.
        self.widths = [feed.ndim if feed.dtype == object else feed.shape[1:] for feed in feeds]
        self.deadline = deadline
        self.woken = woken  # set when there is something to do or to fetch; one for all parts of a request
        self.came = time.monotonic()
        self.done = False
        self.result: dict[str, np.ndarray] = {}
        self.error: Exception | None = errors.DeadlineExceeded(_TOO_LATE)  # unless it runs


def _has_rows(signature: meta_graph_pb2.SignatureDef) -> bool:
    """Return whether all inputs and outputs have any number of rows."""
    tensors = [*signature.inputs.values(), *signature.outputs.values()]
    return bool(signature.inputs) and all(
        info.tensor_shape.dim and info.tensor_shape.dim[0].size == -1 for info in tensors
    )


def _joined(parts: Sequence[np.ndarray], rows: int) -> np.ndarray:
    """Join values of an input, and repeat the first row up to `rows`.

    Args:
        parts: Arrays of the same rank; strings may differ in trailing dimensions, and get empty ones.
        rows: At least as many as all parts have.
    """
    widths = tuple(map(max, zip(*(part.shape[1:] for part in parts), strict=True)))
    joined = np.empty((rows, *widths), parts[0].dtype)
    if joined.dtype == object:
        joined.fill(b"")
    start = 0
    for part in parts:
        stop = start + len(part)
        joined[(slice(start, stop), *map(slice, part.shape[1:]))] = part
        start = stop
    joined[start:] = joined[:1]
    return joined
