"""Until when the request that this thread answers is waited for."""

import contextlib
import contextvars
import math
import time
from collections.abc import Iterator

import grpc

_context: contextvars.ContextVar[grpc.ServicerContext | None] = contextvars.ContextVar("rpc", default=None)


@contextlib.contextmanager
def of(context: grpc.ServicerContext) -> Iterator[None]:
    """Let a call's deadline hold for what this thread does in its name."""
    token = _context.set(context)
    try:
        yield
    finally:
        _context.reset(token)


class Deadline:
    """The deadline of the call that the thread answers which makes this; without a call, none."""

    def __init__(self) -> None:
        self._call = _context.get()
        remaining = None if self._call is None else self._call.time_remaining()
        self._end = math.inf if remaining is None else time.monotonic() + remaining

    @property
    def remaining(self) -> float:
        """Seconds, infinite without a deadline."""
        return max(0.0, self._end - time.monotonic())

    @property
    def waited_for(self) -> bool:
        """Whether the deadline is still to come, and the caller there."""
        return time.monotonic() < self._end and (self._call is None or self._call.is_active())
