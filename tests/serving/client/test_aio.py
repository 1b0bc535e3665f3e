"""What `AsyncClient` does that `Client` cannot: several requests at once."""

import asyncio

import pytest

from serving import errors
from serving.client import AsyncClient, AsyncGrpcTransport, AsyncTransport, logic


class _Gate(AsyncTransport):
    """Answers once `width` requests are under way together; those of user `fails` fail."""

    def __init__(self, script, width, fails=None):
        self.script = script
        self.width = width
        self.fails = fails
        self.open = asyncio.Event()
        self.under_way = 0
        self.most = 0
        self.cancelled = 0

    async def predict(self, request, timeout):
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        if self.under_way == self.width:
            self.open.set()
        try:
            await self.open.wait()
            response = self.script.answer(request, timeout)
            if self.script.asked[-1][0] == [self.fails]:
                raise errors.LimitExceeded("too much")
            if self.fails is not None:
                await asyncio.sleep(60)
            return response
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.under_way -= 1


@pytest.fixture(autouse=True)
def one_row_a_request(monkeypatch):
    monkeypatch.setattr(logic, "ROWS_PER_REQUEST", 1)


def test_the_parts_of_a_call_are_asked_together_but_not_all(scripted):
    script = scripted()

    async def ask():
        transport = _Gate(script, logic.REQUESTS_AT_ONCE)
        client = AsyncClient(transport=transport)
        ratings = await client.predict([(number, 0) for number in range(10)])
        return ratings.tolist(), transport.most

    assert asyncio.run(ask()) == ([0.0, 1, 2, 3, 4, 5, 6, 7, 8, 9], logic.REQUESTS_AT_ONCE)


def test_calls_do_not_wait_for_each_other(scripted):
    script = scripted()

    async def ask():
        client = AsyncClient(transport=_Gate(script, 20))
        return await asyncio.gather(*[client.rank(uid, [1]) for uid in range(20)])

    assert [(one.mid, one.rating) for (one,) in asyncio.run(ask())] == [(1, u + 0.25) for u in range(20)]


def test_where_one_part_fails_the_others_are_given_up(scripted):
    script = scripted()

    async def ask():
        transport = _Gate(script, 4, fails=2)
        client = AsyncClient(transport=transport)
        with pytest.raises(errors.LimitExceeded, match=r"^too much$"):
            await client.predict([(number, 0) for number in range(10)])
        await asyncio.sleep(0)
        return transport.cancelled, transport.under_way

    assert asyncio.run(ask()) == (3, 0)
    assert len(script.requests) == 4


def test_a_cancelled_call_gives_its_parts_up(scripted):
    async def ask():
        transport = _Gate(scripted(), 100)
        call = asyncio.create_task(AsyncClient(transport=transport).predict([(1, 2), (3, 4)]))
        await asyncio.sleep(0.01)
        assert transport.under_way == 2
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        return transport.cancelled, transport.under_way

    assert asyncio.run(ask()) == (2, 0)


@pytest.mark.parametrize("make", [AsyncClient, lambda: AsyncGrpcTransport("127.0.0.1:1")])
def test_it_is_made_where_an_event_loop_runs(make):
    with pytest.raises(RuntimeError, match="no running event loop"):
        make()
