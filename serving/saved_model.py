"""A SavedModel as TensorFlow Serving loads it: by tag, into a Session of its own graph.

A model can load eagerly and still fail here (https://github.com/tensorflow/serving/issues/2250), so
whatever judges or serves a model goes through this loader.
"""

import dataclasses
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import config_pb2, meta_graph_pb2

from serving import errors

_INIT_OP = "__saved_model_init_op"


class SessionModel:
    """A loaded SavedModel; safe to run from many threads at once.

    Args:
        path: The folder that holds `saved_model.pb`.

    Raises:
        ModelNotLoadable: The folder holds no SavedModel, or a broken one.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        graph = tf.Graph()
        self._session = tf.compat.v1.Session(graph=graph)
        try:
            with graph.as_default():
                meta_graph = tf.compat.v1.saved_model.load(
                    self._session, [tf.saved_model.SERVING], str(self.path)
                )
        # Broken files raise anything from OSError to KeyError, depending on where they are broken.
        except Exception as error:
            self._session.close()
            reason = _cause(error) if isinstance(error, tf.errors.OpError) else error
            raise errors.ModelNotLoadable(f"cannot load {self.path}: {reason}") from error
        graph.finalize()
        self.signatures: dict[str, meta_graph_pb2.SignatureDef] = {
            name: signature for name, signature in meta_graph.signature_def.items() if name != _INIT_OP
        }
        self._inputs: dict[str, list[_Input]] = {}
        self._callables: dict[tuple[str, tuple[str, ...]], Callable[..., list[Any]]] = {}
        self._lock = threading.Lock()

    def run(
        self, signature: str, inputs: Mapping[str, np.ndarray], output_filter: Sequence[str] = ()
    ) -> dict[str, np.ndarray]:
        """Answer one request.

        Args:
            signature: Name of one of `signatures`.
            inputs: An array for each of the signature's inputs, of its exact type and a fitting shape;
                strings as `bytes` or `str` in an object array, or as a NumPy string array.
            output_filter: Names of the outputs to compute; empty means all.

        Returns:
            An array for each output; strings as object arrays of `bytes`.

        Raises:
            SignatureNotFound: `signature` is not among `signatures`.
            InvalidRequest: An input is missing, unknown or of the wrong type or shape, an output is
                unknown, or the graph refuses the values.
            ModelFailed: The graph fails otherwise.
        """
        outputs, feeds = self.check(signature, inputs, output_filter)
        return self.compute(signature, outputs, feeds)

    def check(
        self, signature: str, inputs: Mapping[str, np.ndarray], output_filter: Sequence[str] = ()
    ) -> tuple[tuple[str, ...], list[np.ndarray]]:
        """Judge a request by its signature, as the first half of `run`; arguments as there.

        Returns:
            Names of the outputs, and the values of the inputs in the order of their names.

        Raises:
            SignatureNotFound: `signature` is not among `signatures`.
            InvalidRequest: An input is missing, unknown or of the wrong type or shape, or an output is
                unknown.
        """
        if signature not in self.signatures:
            raise errors.SignatureNotFound(f'Serving signature key "{signature}" not found.')
        definition = self.signatures[signature]
        _check_names(definition, inputs, output_filter)
        names = tuple(output_filter) or tuple(sorted(definition.outputs))
        if signature not in self._inputs:
            self._inputs[signature] = [
                _Input.of(name, definition.inputs[name]) for name in sorted(definition.inputs)
            ]
        return names, [expected.checked(inputs[expected.name]) for expected in self._inputs[signature]]

    def compute(
        self, signature: str, outputs: tuple[str, ...], feeds: Sequence[np.ndarray]
    ) -> dict[str, np.ndarray]:
        """Run the graph on what `check` returned, as the second half of `run`.

        Raises:
            InvalidRequest: The graph refuses the values.
            ModelFailed: The graph fails otherwise.
        """
        try:
            values = self._callable(signature, outputs)(*feeds)
        except tf.errors.InvalidArgumentError as error:
            raise errors.InvalidRequest(_cause(error)) from error
        except tf.errors.OpError as error:
            # An object array of something else than strings gets as far as the feed.
            if "Unsupported object type" in error.message:
                raise errors.InvalidRequest(_cause(error)) from error
            raise errors.ModelFailed(_cause(error), error.error_code) from error
        except UnicodeDecodeError as error:
            # TensorFlow's message quotes bytes of the request that are no text; its code is lost with it.
            raise errors.InvalidRequest(error.object.decode(errors="replace").split("\n")[0]) from error
        return {name: np.asarray(value) for name, value in zip(outputs, values, strict=True)}

    def close(self) -> None:
        """Free the model; a request that still runs is cancelled."""
        self._session.close()
        with self._lock:
            self._callables.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _callable(self, signature: str, outputs: tuple[str, ...]) -> Callable[..., list[Any]]:
        """Return the signature's run function.

        `Session.run`, and `make_callable` which calls it, spend as long on names and feeds in Python as the
        graph takes for a row; TensorFlow has what leaves that out under this private name alone.
        """
        with self._lock:
            if (signature, outputs) not in self._callables:
                definition = self.signatures[signature]
                self._callables[signature, outputs] = self._session._make_callable_from_options(
                    config_pb2.CallableOptions(
                        feed=[definition.inputs[name].name for name in sorted(definition.inputs)],
                        fetch=[definition.outputs[name].name for name in outputs],
                    )
                )
            return self._callables[signature, outputs]


@dataclasses.dataclass(frozen=True)
class _Input:
    """What a signature says of an input, read once: a message's fields are slow to read."""

    name: str
    dtype: tf.DType
    shape: tuple[int, ...] | None  # -1 is any size; None is any rank

    @classmethod
    def of(cls, name: str, info: meta_graph_pb2.TensorInfo) -> Self:
        """Read an input's description."""
        shape = info.tensor_shape
        sizes = None if shape.unknown_rank else tuple(dim.size for dim in shape.dim)
        return cls(name, tf.dtypes.as_dtype(info.dtype), sizes)

    def checked(self, value: np.ndarray) -> np.ndarray:
        """Return a value as the Session takes it."""
        array = np.asarray(value)
        if array.dtype.kind in "SU":
            array = array.astype(object)
        try:
            provided = tf.dtypes.as_dtype(array.dtype)
        except TypeError as error:
            raise errors.InvalidRequest(
                f"Expects input {self.name} to be {self.dtype.name}: {error}"
            ) from error
        if provided != self.dtype:
            raise errors.InvalidRequest(
                f"Expects input {self.name} to be {self.dtype.name} but {provided.name} is provided"
            )
        if not self._fits(array.shape):
            raise errors.InvalidRequest(
                f"Expects input {self.name} to have shape {list(self.shape or ())} but {list(array.shape)} "
                "is provided"
            )
        return array

    def _fits(self, shape: tuple[int, ...]) -> bool:
        if self.shape is None:
            return True
        if len(shape) != len(self.shape):
            return False
        return all([want in (-1, got) for got, want in zip(shape, self.shape, strict=True)])


def _check_names(
    definition: meta_graph_pb2.SignatureDef, inputs: Mapping[str, np.ndarray], output_filter: Sequence[str]
) -> None:
    """Compare names with the signature's, in TensorFlow Serving's words."""
    sent, required = set(inputs), set(definition.inputs)
    if sent != required:
        raise errors.InvalidRequest(
            f"input size does not match signature: {len(sent)}!={len(required)} len({_set(sent)}) != "
            f"len({_set(required)}). Sent extra: {_set(sent - required)}. "
            f"Missing but required: {_set(required - sent)}."
        )
    for index, name in enumerate(output_filter):
        if name not in definition.outputs:
            raise errors.InvalidRequest(
                f"output tensor alias not found in signature: {name} "
                f"Outputs expected to be in the set {_set(set(definition.outputs))}."
            )
        if name in output_filter[:index]:
            raise errors.InvalidRequest(f"duplicate output tensor alias: {name}")


def _cause(error: tf.errors.OpError) -> str:
    """Return what the kernel said, without the trace of where its node was built."""
    lines = [line.strip() for line in error.message.splitlines()]
    told = [
        line
        for line in lines
        if line
        and not line.startswith(
            ("Graph execution error", "Detected at node", "Node: ", "<stack traces", "[[", "File ")
        )
    ]
    return told[0] if told else type(error).__name__


def _set(names: set[str]) -> str:
    return "{" + ",".join(sorted(names)) + "}"
