"""For the walk of states: putting a row into a state, and looking where it is."""

import ast
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

from harness import Harness
from replaying import replayed
from scripted import EVENT
from sending import Calls, book_all_of, deliver

import gateway
from gateway.domain.delivery import Answer
from gateway.flows.holding import lift
from gateway.flows.trace import trace
from gateway.sdk import RevenueEvent
from tests.properties.world import Company

OK = Answer(status=200)


@dataclass
class Walker:
    """One gateway without a worker."""

    gateway: Harness
    company: Company

    async def say(
        self, event_id: str, reading: Any, *, again: str = "", site: str = "acme", connection: str = "live"
    ) -> None:
        """A webhook; `again` makes it another body under the same event id."""
        body = f"{event_id} {again}".encode()
        self.company.readings[body] = reading
        answer = await self.gateway.send(body, site, connection, headers={EVENT: event_id})
        assert answer.status == 200

    async def books(self, site: str = "acme") -> None:
        await book_all_of(self.gateway, site)

    async def booked(self, *events: RevenueEvent, site: str = "acme", connection: str = "live") -> None:
        for event in events:
            await self.say(f"says {event.key} {event.tax} {event.attribution}", [event], site=site,
                           connection=connection)  # fmt: skip
            await self.books(site)

    async def delivers(self, *answers: Answer, site: str = "acme") -> None:
        await deliver(self.gateway, Calls(answers or (OK,)), site)

    def forward(self, **by: float) -> None:
        self.gateway.clock.forward(timedelta(**by))

    async def sql(self, statement: str, *arguments: Any) -> None:
        await self.gateway.database.execute(statement, *arguments)

    async def replays(self, query: str | None = None, visitor: str | None = None) -> None:
        """`replay`, or with a visitor `replay --attribute`; something is taken up."""
        assert (await replayed(self.gateway, query, visitor)).all > 0

    async def lifts(self, site: str = "acme") -> None:
        """`holds lift`."""
        assert await lift(self.gateway.gateway.context.database, ["acme", "globex"], site)

    async def inbox_state(self, event_id: str = "e1") -> str:
        (row,) = await self.gateway.rows("SELECT * FROM inbox WHERE event_key = $1", event_id)
        if row["outcome"] == "received":
            return f"received: {row['reason'] or ('being read' if row['lease'] else 'due')}"
        return _named(row["outcome"], row["reason"])

    async def outbox_state(self, key: str) -> str:
        (row,) = await self.gateway.rows(
            "SELECT outbox.*, holds.reason AS hold FROM outbox LEFT JOIN holds USING (site, destination) "
            "WHERE revenue_key = $1",
            key,
        )
        if row["status"] == "pending" and row["due_at"] is not None:
            if row["lease"] is not None:
                return "pending: being sent"
            if row["hold"] is not None:
                return "pending: held"
            return "pending: due" if row["due_at"] <= self.gateway.clock() else "pending: again later"
        return _named(row["status"], row["reason"])

    async def hold_state(self) -> str | None:
        rows = await self.gateway.rows("SELECT reason, probe_until FROM holds")
        if not rows:
            return None
        return f"{rows[0]['reason']}, being probed" if rows[0]["probe_until"] else str(rows[0]["reason"])

    async def is_explained(self, query: str, state: str) -> None:
        """What `trace` says of it is a word that we have and a sentence, not the name that the code has for it."""
        story = await trace(self.gateway.gateway.context.database, ["acme", "globex"], query)
        assert story.verdict.word != "unknown"
        assert len(story.verdict.reason.split()) > 5
        reason = state.partition(": ")[2]
        assert "_" not in reason or reason not in story.verdict.reason


def _named(word: str, reason: str | None) -> str:
    return f"{word}: {reason}" if reason else word


Step = Callable[[Any], Awaitable[None]]
"""It is given the walker of its test."""


def in_turn(*steps: Step) -> Step:
    """Return one step that does these, one after the other."""

    async def all_of_them(walker: Any) -> None:
        for step in steps:
            await step(walker)

    return all_of_them


@dataclass(frozen=True)
class Way:
    """What takes a row out of its state: time, an event, or a command of a person. `to` is where it then is."""

    how: Literal["time", "event", "command"]
    what: str
    out: Step
    to: str | None


@dataclass(frozen=True)
class State:
    """How a row gets there, and its ways out. Without any it is an end, which `trace` explains in a sentence."""

    enter: Step
    ways: Sequence[Way] = ()
    key: str = "payment:p1"
    basis: str = "gross"


def each_way(states: dict[str, State]) -> list[Any]:
    """Every state with each of its ways; an end has none."""
    return [
        (name, number, f"{name} by {way.how}: {way.what}" if way else name)
        for name, state in states.items()
        for number, way in enumerate(state.ways or [None])
    ]


def without_a_command(states: dict[str, State], *begins: str) -> set[str]:
    """Which of the states whose names begin so has no command among its ways."""
    found = {name for name in states if name.startswith(begins)}
    assert found
    return {name for name in found if "command" not in {way.how for way in states[name].ways}}


async def words_of_check(harness: Harness, table: str) -> set[str]:
    """The words that the table's CHECK on its state column allows."""
    rows = await harness.rows(
        "SELECT pg_get_constraintdef(oid) AS text FROM pg_constraint WHERE conrelid = $1::regclass AND contype = 'c'",
        table,
    )
    lists = [row["text"] for row in rows if "ANY" in row["text"]]
    (states,) = [text for text in lists if re.search(r"\((outcome|status|state) = ANY", text)]
    return set(re.findall(r"'(\w+)'", states))


def constants(callee: str, position: int) -> set[str]:
    """The constant texts that the flows pass to a function at this position: the reasons that they give."""
    found = set()
    for path in (Path(gateway.__file__).parent / "flows").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", None) == callee and len(node.args) > position:
                argument = node.args[position]
                if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                    found.add(argument.value)
    return found
