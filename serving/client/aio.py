"""The client for asyncio."""

import asyncio
from collections.abc import Sequence, Set
from types import TracebackType
from typing import Self

import grpc
import numpy as np

from serving.client.channel import Connection, TlsConfig
from serving.client.logic import Deadline, ModelCalls, Recommendation, answer_of
from serving.protos import predict_pb2


class AsyncTransport:
    """How a request reaches a server; tests put their own in its place by overriding `predict`."""

    async def predict(
        self, request: predict_pb2.PredictRequest, timeout: float
    ) -> predict_pb2.PredictResponse:
        """Return the answer, or raise a ServingError within `timeout` seconds."""
        raise NotImplementedError

    async def close(self) -> None:
        """Let go of whatever the transport holds."""


class AsyncGrpcTransport(AsyncTransport):
    """A channel to a server, kept open between requests; belongs to the event loop that it is made in.

    Args:
        target: Address as `host:port`.
        tls: Files of a connection over TLS; None for plain text.

    Raises:
        RuntimeError: No event loop runs.
        FileNotFoundError: A file of `tls` is missing.
    """

    def __init__(self, target: str, tls: TlsConfig | None = None) -> None:
        # gRPC would take a loop of its own choice, and fail at the first request.
        asyncio.get_running_loop()
        self._connection = Connection(grpc.aio, target, tls, lambda call: call)

    async def predict(
        self, request: predict_pb2.PredictRequest, timeout: float
    ) -> predict_pb2.PredictResponse:
        """Ask the server; errors as `Connection.predict`."""
        return await self._connection.predict(request, timeout)

    async def close(self) -> None:
        """Close the channel."""
        await self._connection.channel.close()


class AsyncClient(ModelCalls[AsyncTransport]):
    """Asks one model of one server, as `Client` does; the requests of one call are under way together.

        async with AsyncClient("127.0.0.1:8500", catalogue) as client:
            await client.rank(uid=1, top=10)

    Made as `ModelCalls`, in an event loop unless with a `transport`.
    """

    async def predict(
        self,
        pairs: Sequence[tuple[int, int]] | np.ndarray,
        timestamps: Sequence[int] | np.ndarray | int | None = None,
    ) -> np.ndarray:
        """Predict ratings; arguments, result and errors as `Client.predict`."""
        return await self._predict(pairs, timestamps)

    async def rank(
        self,
        uid: int,
        mids: Sequence[int] | np.ndarray | None = None,
        top: int = 10,
        exclude: Sequence[int] | Set[int] | np.ndarray = (),
        *,
        include_rated: bool = False,
        timestamp: int | None = None,
    ) -> list[Recommendation]:
        """Rank movies for a user; arguments, result and errors as `Client.rank`."""
        return await self._rank(uid, mids, top, exclude, include_rated, timestamp)

    async def close(self) -> None:
        """Close the connection."""
        await self._transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    def _connected(self, target: str, tls: TlsConfig | None) -> AsyncTransport:
        return AsyncGrpcTransport(target, tls)

    async def _ask(
        self, requests: Sequence[predict_pb2.PredictRequest], deadline: Deadline
    ) -> list[predict_pb2.PredictResponse]:
        """Ask all at once; where one fails, the others are given up."""
        ask = self._transport.predict
        tasks = [asyncio.create_task(answer_of(ask, request, deadline)) for request in requests]
        try:
            return await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
