"""The client that waits for each answer."""

from collections.abc import Sequence, Set
from types import TracebackType
from typing import Any, Self

import grpc
import numpy as np

from serving import versions, wire
from serving.catalogue import Catalogue
from serving.client import channel
from serving.client.logic import Call, Deadline, ModelCalls, Recommendation, Result
from serving.client.routing import Router
from serving.protos import predict_pb2, prediction_service_pb2_grpc


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
        tls: Files of a connection over TLS; None for plain text.

    Raises:
        FileNotFoundError: A file of `tls` is missing.
    """

    def __init__(self, target: str, tls: channel.TlsConfig | None = None) -> None:
        self.target = target
        self.tls = tls
        self._channel = (
            grpc.insecure_channel(target, options=channel.OPTIONS)
            if tls is None
            else grpc.secure_channel(target, tls.credentials(), options=channel.OPTIONS)
        )
        self._stub = prediction_service_pb2_grpc.PredictionServiceStub(self._channel)

    def predict(self, request: predict_pb2.PredictRequest, timeout: float) -> predict_pb2.PredictResponse:
        """Ask the server, again after a pause if it is unavailable.

        Raises:
            ServingError: A subclass for each way to fail.
        """
        try:
            return self._stub.Predict(request, timeout=timeout)
        except grpc.RpcError as error:
            raise channel.typed_error(error, self.target, timeout, self.tls is not None) from error

    def close(self) -> None:
        """Close the channel."""
        self._channel.close()


class Client:
    """Asks one model of one server; safe to use from many threads.

    Args:
        target: Address as `host:port`.
        catalogue: Features of users and movies, and titles. Without it the model knows an id, and nothing
            else of whom it stands for.
        model_name: Name that the model is served under.
        timeout: Seconds that a call may take, retries included.
        transport: Something else than gRPC to `target`; closed with the client.
        tls: Files of a connection over TLS to `target`; None for plain text.
        examples: Send tf.Examples, as Classify and Regress take them, instead of raw tensors; slower.
        router: Chooses the version by its label for each user; None for the latest version.

    Raises:
        ValueError: `timeout` is not positive.
        FileNotFoundError: A file of `tls` is missing.
    """

    def __init__(
        self,
        target: str = f"{wire.HOST}:8500",
        catalogue: Catalogue | None = None,
        model_name: str = versions.MODEL_NAME,
        timeout: float = 10.0,
        transport: Transport | None = None,
        *,
        tls: channel.TlsConfig | None = None,
        examples: bool = False,
        router: Router | None = None,
    ) -> None:
        self.catalogue = catalogue if catalogue is not None else Catalogue.empty()
        self._calls = ModelCalls(
            catalogue=self.catalogue,
            model_name=model_name,
            timeout=timeout,
            examples=examples,
            router=router,
        )
        self._transport = GrpcTransport(target, tls) if transport is None else transport

    def predict(self, pairs: Sequence[tuple[int, int]] | np.ndarray) -> np.ndarray:
        """Predict ratings; many pairs take several requests.

        Args:
            pairs: A user's and a movie's id each, int64[n, 2].

        Returns:
            Ratings in stars, float32[n].

        Raises:
            ServingError: A subclass for each way to fail.
        """
        return self._run(self._calls.predict(pairs))

    def rank(
        self,
        uid: int,
        mids: Sequence[int] | np.ndarray | None = None,
        top: int = 10,
        exclude: Sequence[int] | Set[int] | np.ndarray = (),
    ) -> list[Recommendation]:
        """Rank movies for a user; many movies take several requests.

        Args:
            uid: The user's id.
            mids: The movies to choose from, int64[m]; None for all of the catalogue.
            top: How many to return, at least 1; fewer if there are fewer movies.
            exclude: Movies never to return, such as those that the user has rated, int64[k].

        Returns:
            The movies with the highest ratings, highest first; ties in the order of `mids`.

        Raises:
            ServingError: A subclass for each way to fail.
        """
        return self._run(self._calls.rank(uid, mids, top, exclude))

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

    def _run(self, call: Call[Result]) -> Result:
        deadline = Deadline(self._calls.timeout)
        responses: Any = None  # which is how a generator is started
        while True:
            try:
                requests = call.send(responses)
            except StopIteration as done:
                return done.value
            responses = [self._transport.predict(request, deadline.left()) for request in requests]
