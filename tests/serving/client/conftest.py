"""Both clients behind one blocking surface, and transports that answer from a script."""

import asyncio
import contextlib

import numpy as np
import pytest

from schema import features
from serving import wire
from serving.client import (
    AsyncClient,
    AsyncGrpcTransport,
    AsyncTransport,
    Client,
    GrpcTransport,
    Transport,
)
from serving.protos import example_pb2, predict_pb2

UID, MID, RATING = features.UID.name, features.MID.name, features.RATING.name
SCORE = features.SCORE.name


class Script:
    """What a server would answer, and what it was asked.

    Without `outputs`, a model of rating = uid + (mid mod 4)/4, which is 100 more for the canary. It has
    score = mid mod 5 if `scored`, else none, as in older versions.
    """

    def __init__(self, outputs=None):
        self.outputs = outputs
        self.scored = False
        self.requests = []
        self.timeouts = []
        self.closed = False

    def answer(self, request, timeout):
        self.requests.append(request)
        self.timeouts.append(timeout)
        response = predict_pb2.PredictResponse()
        outputs = self._rated(request) if self.outputs is None else self.outputs
        for name, value in outputs.items():
            response.outputs[name].CopyFrom(wire.encode(value))
        return response

    @property
    def asked(self):
        """The ids of each request."""
        return [_ids(request) for request in self.requests]

    @property
    def specs(self):
        """Name, signature and label of each request."""
        return [
            (spec.name, spec.signature_name, spec.version_label)
            for spec in (request.model_spec for request in self.requests)
        ]

    def _rated(self, request):
        uids, mids = _ids(request)
        mids = np.array(mids)
        ratings = (np.array(uids) + mids % 4 / 4).astype(np.float32)
        if request.model_spec.version_label == "canary":
            ratings += 100
        if request.model_spec.signature_name != "rank":
            return {RATING: ratings}
        scores = (mids % 5).astype(np.float32)
        order = np.argsort(-scores if self.scored else -ratings, kind="stable")
        answer = {MID: mids[order], RATING: ratings[order]}
        return answer | {SCORE: scores[order]} if self.scored else answer


def _ids(request):
    inputs = {name: wire.decode(tensor).tolist() for name, tensor in request.inputs.items()}
    if "examples" not in inputs:
        return inputs[UID], inputs[MID]
    rows = [example_pb2.Example.FromString(row).features.feature for row in inputs["examples"]]
    return tuple([row[name].int64_list.value[0] for row in rows] for name in (UID, MID))


class _ScriptedTransport(Transport):
    def __init__(self, script):
        self.script = script

    def predict(self, request, timeout):
        return self.script.answer(request, timeout)

    def close(self):
        self.script.closed = True


class _AsyncScriptedTransport(AsyncTransport):
    def __init__(self, script):
        self.script = script

    async def predict(self, request, timeout):
        return self.script.answer(request, timeout)

    async def close(self):
        self.script.closed = True


class _Blocking:
    """An AsyncClient in an event loop of its own."""

    def __init__(self, stack, **arguments):
        self._runner = stack.enter_context(asyncio.Runner())
        self._client = self._runner.run(self._made(arguments))
        self.catalogue = self._client.catalogue
        self.answered = self._client.answered

    async def _made(self, arguments):
        return AsyncClient(**arguments)

    def predict(self, *arguments, **keywords):
        return self._runner.run(self._client.predict(*arguments, **keywords))

    def rank(self, *arguments, **keywords):
        return self._runner.run(self._client.rank(*arguments, **keywords))

    def __enter__(self):
        self._runner.run(self._client.__aenter__())
        return self

    def __exit__(self, *error):
        self._runner.run(self._client.__aexit__(*error))


@pytest.fixture
def scripted():
    return Script


@pytest.fixture(params=["sync", "asyncio"])
def kind(request):
    return request.param


@pytest.fixture
def make_client(kind):
    """Make a client of either kind; `script` takes the server's place."""
    stack = contextlib.ExitStack()

    def make(script=None, **arguments):
        if script is not None:
            transport = _ScriptedTransport if kind == "sync" else _AsyncScriptedTransport
            arguments["transport"] = transport(script)
        return Client(**arguments) if kind == "sync" else _Blocking(stack, **arguments)

    with stack:
        yield make


@pytest.fixture
def send(kind):
    """Send one request through a transport of either kind."""

    async def send_and_await(target, request, timeout):
        transport = AsyncGrpcTransport(target)
        try:
            return await transport.predict(request, timeout)
        finally:
            await transport.close()

    def send_and_wait(target, request, timeout):
        if kind == "asyncio":
            return asyncio.run(send_and_await(target, request, timeout))
        transport = GrpcTransport(target)
        try:
            return transport.predict(request, timeout)
        finally:
            transport.close()

    return send_and_wait
