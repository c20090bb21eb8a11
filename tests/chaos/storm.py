"""
A storm: everything real is started, sold to, broken in the order that the seed says, and left to recover; then its
history is read.
"""

import asyncio
import time
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from tests.chaos.faults import FAULTS
from tests.chaos.history import History, read_tables
from tests.chaos.plan import Plan
from tests.chaos.result import Happened, Result, cuts, with_rates, worrying_lines
from tests.chaos.settling import drained, minutes_later
from tests.chaos.stage import Say, Stage, staged
from tests.chaos.sweep import swallowed_and_found


@dataclass(slots=True)
class Weather:
    """The load and the faults, side by side."""

    plan: Plan
    stage: Stage
    faults: list[Happened] = field(default_factory=list)
    through: bool = False

    async def sell(self) -> None:
        """Sell at a steady rate, whatever happens, until all is sold and every fault is through."""
        begin, number, market = time.monotonic(), 0, self.stage.market
        while not self.through or market.sales < self.plan.sales:
            while number < (time.monotonic() - begin) * self.plan.rate:
                before = market.sales
                for event in market.sell():
                    self.stage.paddle.happen(event)
                number += market.sales - before
            await asyncio.sleep(0.01)

    async def break_things(self) -> None:
        """Let every fault happen, with calm before and time to recover after."""
        draw = Random(f"{self.plan.seed}-details")
        for name in self.plan.faults:
            await asyncio.sleep(self.plan.calm)
            begin = time.time()
            detail = await FAULTS[name](self.stage, draw)
            fault = Happened(kind=name, detail=detail, begin=begin, end=time.time())
            self.faults.append(fault)
            self.stage.say(f"{name}: {detail}, {fault.end - begin:.1f} s; {self.stage.market.sales} sales so far")
            await asyncio.sleep(self.plan.recovery)
        self.through = True


async def run(plan: Plan, folder: Path, say: Say) -> Result:
    """Run a storm to its end and return what it came to."""
    started = time.monotonic()
    async with staged(plan.seed, folder, say) as stage:
        weather, begun = Weather(plan, stage), time.time()
        async with asyncio.TaskGroup() as both:
            both.create_task(weather.sell())
            both.create_task(weather.break_things())
        ended = time.time()
        await drained(stage)
        swept = await swallowed_and_found(stage, plan.swallowed)
        await stage.stop()
        await minutes_later(stage)
        history = await _history(stage, weather.faults)
        return Result(
            plan=plan,
            history=history,
            faults=with_rates(weather.faults, history, stage.paddle.accepted, begun, ended),
            seconds=time.monotonic() - started,
            answers=dict(stage.paddle.answers),
            slowest=stage.paddle.slowest,
            exit_codes={program.name: program.codes for program in stage.programs},
            swept=swept,
            logged=worrying_lines(program.log for program in stage.programs),
        )


async def _history(stage: Stage, faults: list[Happened]) -> History:
    events = [(site, event) for site, listed in stage.paddle.listed.items() for event, _ in listed]
    history = History(
        movements=stage.market.movements,
        told={(site, event.id): event.movement.key if event.tells else "" for site, event in events},
        acknowledged=set(stage.paddle.accepted),
        swallowed=stage.paddle.swallowed,
        calls=stage.faurya.calls,
        kills=stage.kills,
        cuts=cuts(faults),
    )
    await read_tables(stage.database, history)
    return history
