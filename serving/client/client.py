"""The client that waits for each answer."""

from collections.abc import Sequence, Set
from types import TracebackType
from typing import Self

import grpc
import numpy as np

from serving.client.blocking import awaitable, finished
from serving.client.channel import Connection, TlsConfig
from serving.client.logic import Deadline, ModelCalls, Recommendation, answer_of
from serving.protos import predict_pb2


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

    def __init__(self, target: str, tls: TlsConfig | None = None) -> None:
        self._connection = Connection(grpc, target, tls, awaitable)

    def predict(self, request: predict_pb2.PredictRequest, timeout: float) -> predict_pb2.PredictResponse:
        """Ask the server; errors as `Connection.predict`."""
        return finished(self._connection.predict(request, timeout))

    def close(self) -> None:
        """Close the channel."""
        self._connection.channel.close()


class Client(ModelCalls[Transport]):
    """Asks one model of one server; safe to use from many threads.

        with Client("127.0.0.1:8500", catalogue) as client:
            client.rank(uid=1, top=10)

    Made as `ModelCalls`.
    """

    def predict(
        self,
        pairs: Sequence[tuple[int, int]] | np.ndarray,
        timestamps: Sequence[int] | np.ndarray | int | None = None,
    ) -> np.ndarray:
        """Predict ratings; many pairs take several requests.

        Args:
            pairs: A user's and a movie's id each, int64[n, 2].
            timestamps: Moments that are asked about, seconds since 1970-01-01 UTC, int64[n] or one for all;
                None for now.

        Returns:
            Ratings in stars, float32[n].

        Raises:
            ServingError: A subclass for each way to fail.
        """
        return finished(self._predict(pairs, timestamps))

    def rank(
        self,
        uid: int,
        mids: Sequence[int] | np.ndarray | None = None,
        top: int = 10,
        exclude: Sequence[int] | Set[int] | np.ndarray = (),
        *,
        include_rated: bool = False,
        timestamp: int | None = None,
    ) -> list[Recommendation]:
        """Rank movies for a user; many movies take several requests.

        Args:
            uid: The user's id.
            mids: The movies to choose from, int64[m]; None for all of the catalogue.
            top: How many to return, at least 1; fewer if there are fewer movies.
            exclude: Movies never to return, int64[k], beside those that the user has rated.
            include_rated: Return also what the user has rated, as far as the catalogue knows.
            timestamp: The moment that is asked about, seconds since 1970-01-01 UTC; None for now.

        Returns:
            The movies that the model puts first, by its score or, if it has none, by rating; the best first,
            ties in the order of `mids`.

        Raises:
            ServingError: A subclass for each way to fail.
        """
        return finished(self._rank(uid, mids, top, exclude, include_rated, timestamp))

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

    def _connected(self, target: str, tls: TlsConfig | None) -> Transport:
        return GrpcTransport(target, tls)

    async def _ask(
        self, requests: Sequence[predict_pb2.PredictRequest], deadline: Deadline
    ) -> list[predict_pb2.PredictResponse]:
        ask = awaitable(self._transport.predict)
        return [await answer_of(ask, request, deadline) for request in requests]
