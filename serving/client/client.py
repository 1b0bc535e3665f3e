"""Ask a served model: ratings for pairs, and the best movies for a user.

    catalogue = Catalogue.load(version_folder / FOLDER)
    with Client("127.0.0.1:8500", catalogue) as client:
        client.predict([(1, 1193), (1, 661)])
        client.rank(uid=1, top=10)

It speaks TensorFlow Serving's PredictionService, so the server may be TensorFlow Serving or its stand-in.
"""

import dataclasses
import json
from collections.abc import Sequence
from types import TracebackType
from typing import Self

import grpc
import numpy as np

from schema import features
from serving import errors, versions, wire
from serving.catalogue import Catalogue
from serving.protos import predict_pb2, prediction_service_pb2_grpc

PREDICT_SIGNATURE = "predict"
RANK_SIGNATURE = "rank"

# A server that restarts is away for a while: up to five attempts, 0.2 s to 2 s apart.
_SERVICE_CONFIG = {
    "methodConfig": [
        {
            "name": [{"service": "tensorflow.serving.PredictionService"}],
            "retryPolicy": {
                "maxAttempts": 5,
                "initialBackoff": "0.2s",
                "maxBackoff": "2s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ]
}
_OPTIONS = (
    *wire.MESSAGE_SIZE_OPTIONS,
    ("grpc.service_config", json.dumps(_SERVICE_CONFIG)),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
)
_ERRORS: dict[grpc.StatusCode, tuple[type[errors.ServingError], str]] = {
    grpc.StatusCode.UNAVAILABLE: (
        errors.ServerUnavailable,
        "no server at {target}; start one with `deepfm serve`",
    ),
    grpc.StatusCode.NOT_FOUND: (
        errors.ModelNotFound,
        "{target} does not serve the model; check its name, and that a version has been pushed",
    ),
    grpc.StatusCode.FAILED_PRECONDITION: (
        errors.SignatureNotFound,
        "{target} serves a model of another kind",
    ),
    grpc.StatusCode.INVALID_ARGUMENT: (errors.InvalidRequest, "{target} refused the request"),
    grpc.StatusCode.RESOURCE_EXHAUSTED: (errors.LimitExceeded, "too much for {target}; ask for less"),
}


@dataclasses.dataclass(frozen=True)
class Recommendation:
    """A movie for a user."""

    mid: int
    title: str  # empty if the catalogue lacks the movie
    rating: float  # predicted, in stars


class Transport:
    """How a request reaches a server; tests put their own in its place by overriding `predict`."""

    def predict(self, request: predict_pb2.PredictRequest, timeout: float) -> predict_pb2.PredictResponse:
        """Return the answer, or raise a ServingError within `timeout` seconds."""
        raise NotImplementedError

    def close(self) -> None:
        """Let go of whatever the transport holds."""


class GrpcTransport(Transport):
    """A channel to a server, kept open between requests.

    Args:
        target: Address as `host:port`.
    """

    def __init__(self, target: str) -> None:
        self.target = target
        self._channel = grpc.insecure_channel(target, options=_OPTIONS)
        self._stub = prediction_service_pb2_grpc.PredictionServiceStub(self._channel)

    def predict(self, request: predict_pb2.PredictRequest, timeout: float) -> predict_pb2.PredictResponse:
        """Ask the server, again after a pause if it is unavailable.

        Raises:
            ServingError: A subclass for each way to fail.
        """
        try:
            return self._stub.Predict(request, timeout=timeout)
        except grpc.RpcError as error:
            raise self._error(error, timeout) from error

    def close(self) -> None:
        """Close the channel."""
        self._channel.close()

    def _error(self, error: grpc.RpcError, timeout: float) -> errors.ServingError:
        """Return the typed error, which says what to do."""
        if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
            return errors.DeadlineExceeded(
                f"no answer from {self.target} within {timeout:g} s; allow more time, or ask for less"
            )
        kind, advice = _ERRORS.get(
            error.code(), (errors.ServingError, f"{{target}} failed with {error.code().name}")
        )
        return kind(f"{advice.format(target=self.target)} ({error.details()})")


class Client:
    """Asks one model of one server; safe to use from many threads.

    Args:
        target: Address as `host:port`.
        catalogue: Features of users and movies, and titles. Without it the model knows an id, and nothing
            else of whom it stands for.
        model_name: Name that the model is served under.
        timeout: Seconds that a call may take, retries included.
        transport: Something else than gRPC to `target`; closed with the client.

    Raises:
        ValueError: `timeout` is not positive.
    """

    def __init__(
        self,
        target: str = f"{wire.HOST}:8500",
        catalogue: Catalogue | None = None,
        model_name: str = versions.MODEL_NAME,
        timeout: float = 10.0,
        transport: Transport | None = None,
    ) -> None:
        if timeout <= 0:
            raise ValueError(f"`timeout` must be positive, got {timeout}")
        self.catalogue = catalogue if catalogue is not None else Catalogue.empty()
        self.model_name = model_name
        self.timeout = timeout
        self._transport = GrpcTransport(target) if transport is None else transport

    def predict(self, pairs: Sequence[tuple[int, int]] | np.ndarray) -> np.ndarray:
        """Predict ratings.

        Args:
            pairs: A user's and a movie's id each, int64[n, 2].

        Returns:
            Ratings in stars, float32[n].

        Raises:
            ServingError: A subclass for each way to fail.
        """
        ids = _ids("pairs", pairs)
        if ids.size == 0:
            return np.empty(0, np.float32)
        if ids.ndim != 2 or ids.shape[1] != 2:
            raise errors.InvalidRequest(f"`pairs` must be of shape [n, 2], got {list(ids.shape)}")
        outputs = self._ask(PREDICT_SIGNATURE, self.catalogue.predict_inputs(ids[:, 0], ids[:, 1]))
        return _output(outputs, features.RATING.name, np.float32, len(ids))

    def rank(
        self, uid: int, mids: Sequence[int] | np.ndarray | None = None, top: int = 10
    ) -> list[Recommendation]:
        """Rank movies for a user.

        Args:
            uid: The user's id.
            mids: The movies to choose from, int64[m]; None for all of the catalogue.
            top: How many to return, at least 1; fewer if there are fewer movies.

        Returns:
            The movies with the highest ratings, highest first.

        Raises:
            ServingError: A subclass for each way to fail.
        """
        if top < 1:
            raise errors.InvalidRequest(f"`top` must be positive, got {top}")
        if mids is None and not self.catalogue.mids.size:
            raise errors.InvalidRequest("give `mids`, or a catalogue that has movies")
        candidates = self.catalogue.mids if mids is None else _ids("mids", mids)
        if candidates.size == 0:
            return []
        if candidates.ndim != 1:
            raise errors.InvalidRequest(f"`mids` must be of shape [m], got {list(candidates.shape)}")
        user = _ids("uid", uid)
        if user.size != 1:
            raise errors.InvalidRequest(f"`uid` must be one id, got {list(user.shape)}")
        outputs = self._ask(RANK_SIGNATURE, self.catalogue.rank_inputs(int(user.item()), candidates))
        best = _output(outputs, features.MID.name, np.int64, len(candidates))[:top]
        ratings = _output(outputs, features.RATING.name, np.float32, len(candidates))[:top]
        return [
            Recommendation(int(mid), title, float(rating))
            for mid, title, rating in zip(best, self.catalogue.titles(best), ratings, strict=True)
        ]

    def close(self) -> None:
        """Close the connection."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _ask(self, signature: str, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        request = predict_pb2.PredictRequest()
        request.model_spec.name = self.model_name
        request.model_spec.signature_name = signature
        for name, value in inputs.items():
            request.inputs[name].CopyFrom(wire.encode(value))
        response = self._transport.predict(request, self.timeout)
        return {name: wire.decode(value) for name, value in response.outputs.items()}


def _ids(name: str, values: object) -> np.ndarray:
    """Return ids as int64; a float or a number that is too large is an error, not a near miss."""
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise errors.InvalidRequest(f"`{name}` must hold 64-bit integers: {error}") from error
    if array.size and (array.dtype.kind not in "iu" or array.max() > np.iinfo(np.int64).max):
        raise errors.InvalidRequest(f"`{name}` must hold 64-bit integers, got {values!r:.80}")
    return array.astype(np.int64)


def _output(outputs: dict[str, np.ndarray], name: str, dtype: type, length: int) -> np.ndarray:
    """Return an output that is as the model's contract says."""
    if name not in outputs:
        raise errors.UnexpectedAnswer(f"the answer lacks `{name}`; it has {sorted(outputs)}")
    value = outputs[name]
    if value.dtype != dtype or value.shape != (length,):
        raise errors.UnexpectedAnswer(
            f"`{name}` must be {np.dtype(dtype)}[{length}], got {value.dtype}{list(value.shape)}"
        )
    return value
