"""Coroutines for those who wait: what is written once, to be awaited, serves the blocking client too."""

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")


def awaitable(call: Callable[..., Result]) -> Callable[..., Coroutine[Any, Any, Result]]:
    """Return a call that blocks as one that is awaited, and blocks all the same."""

    async def awaited(*arguments: Any, **keywords: Any) -> Result:
        return call(*arguments, **keywords)

    return awaited


def finished(coroutine: Coroutine[Any, Any, Result]) -> Result:
    """Run a coroutine that awaits nothing but calls that block, and return its result.

    Raises:
        RuntimeError: It awaits something else.
    """
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value
    coroutine.close()
    raise RuntimeError(f"{coroutine} needs an event loop")
