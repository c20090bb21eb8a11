"""Work for many lets others have the event loop in between."""

import asyncio

import pytest

from gateway.flows.shares import SHARE, in_shares


@pytest.mark.parametrize(("count", "turns"), [(0, 0), (1, 0), (SHARE, 0), (SHARE + 1, 1), (3 * SHARE, 2)])
async def test_others_get_the_event_loop_after_each_share(count: int, turns: int) -> None:
    loop = asyncio.get_running_loop()
    seen: list[object] = []

    def other() -> None:
        nonlocal waiting
        seen.append("other")
        waiting = loop.call_soon(other)

    waiting = loop.call_soon(other)
    async for item in in_shares(range(count)):
        seen.append(item)  # noqa: PERF401 - in between the other appends too
    waiting.cancel()
    expected: list[object] = []
    for number in range(count):
        if number and number % SHARE == 0:
            expected.append("other")
        expected.append(number)
    assert seen == expected
    assert seen.count("other") == turns
