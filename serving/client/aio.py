"""The client for asyncio."""

import asyncio
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

    def __init__(self, target: str, tls: channel.TlsConfig | None = None) -> None:
        # gRPC would take a loop of its own choice, and fail at the first request.
        asyncio.get_running_loop()
        self.target = target
        self.tls = tls
        self._channel = (
            grpc.aio.insecure_channel(target, options=channel.OPTIONS)
            if tls is None
            else grpc.aio.secure_channel(target, tls.credentials(), options=channel.OPTIONS)
        )
        self._stub = prediction_service_pb2_grpc.PredictionServiceStub(self._channel)

    async def predict(
        self, request: predict_pb2.PredictRequest, timeout: float
    ) -> predict_pb2.PredictResponse:
        """Ask the server, again after a pause if it is unavailable.

        Raises:
            ServingError: A subclass for each way to fail.
        """
        try:
            return await self._stub.Predict(request, timeout=timeout)
        except grpc.RpcError as error:
            raise channel.typed_error(error, self.target, timeout, self.tls is not None) from error

    async def close(self) -> None:
        """Close the channel."""
        await self._channel.close()


class AsyncClient:
    """Asks one model of one server, as `Client` does; the requests of one call are under way together.

        async with AsyncClient("127.0.0.1:8500", catalogue) as client:
            await client.rank(uid=1, top=10)

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
        RuntimeError: No event loop runs; with a `transport` none is needed.
        FileNotFoundError: A file of `tls` is missing.
    """

    def __init__(
        self,
        target: str = f"{wire.HOST}:8500",
        catalogue: Catalogue | None = None,
        model_name: str = versions.MODEL_NAME,
        timeout: float = 10.0,
        transport: AsyncTransport | None = None,
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
        self._transport = AsyncGrpcTransport(target, tls) if transport is None else transport

    async def predict(self, pairs: Sequence[tuple[int, int]] | np.ndarray) -> np.ndarray:
        """Predict ratings; arguments, result and errors as `Client.predict`."""
        return await self._run(self._calls.predict(pairs))

    async def rank(
        self,
        uid: int,
        mids: Sequence[int] | np.ndarray | None = None,
        top: int = 10,
        exclude: Sequence[int] | Set[int] | np.ndarray = (),
    ) -> list[Recommendation]:
        """Rank movies for a user; arguments, result and errors as `Client.rank`."""
        return await self._run(self._calls.rank(uid, mids, top, exclude))

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

    async def _run(self, call: Call[Result]) -> Result:
        deadline = Deadline(self._calls.timeout)
        responses: Any = None  # which is how a generator is started
        while True:
            try:
                requests = call.send(responses)
            except StopIteration as done:
                return done.value
            responses = await self._ask(requests, deadline.left())

    async def _ask(
        self, requests: Sequence[predict_pb2.PredictRequest], timeout: float
    ) -> list[predict_pb2.PredictResponse]:
        """Ask all at once; where one fails, the others are given up."""
        tasks = [asyncio.create_task(self._transport.predict(request, timeout)) for request in requests]
        try:
            return await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
