"""`faurya-gateway simulate`: a signed webhook to a running gateway."""

import asyncio
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.loading import load
from gateway.cli.options import CONFIG, AsJson, ConfigPath, with_config
from gateway.cli.output import say, show_json, show_table

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from gateway.flows.simulate import Prepared, Sent, Simulation


class Kind(StrEnum):
    """What the webhook reports."""

    PURCHASE = "purchase"
    RENEWAL = "renewal"
    REFUND = "refund"


Place = Annotated[str, typer.Argument(metavar="SITE/CONNECTION", help="A connection that is not live.")]
What = Annotated[Kind, typer.Argument(help="What the webhook reports.")]
Duplicate = Annotated[int, typer.Option(min=0, max=1000, help="Send the same webhook this many times more.")]
Tamper = Annotated[bool, typer.Option("--tamper", help="Change a byte after signing; 401 is then the right answer.")]
Age = Annotated[int, typer.Option(help="Sign this many seconds ago; a negative number is the future.")]
AsReal = Annotated[bool, typer.Option("--as-real", help="Without the mark that ends it as `ignored: simulated`.")]
To = Annotated[str | None, typer.Option(metavar="URL", help="The gateway's base address, where it is another.")]


def simulate(
    place: Place,
    kind: What = Kind.PURCHASE,
    duplicate: Duplicate = 0,
    tamper: Tamper = False,
    age: Age = 0,
    as_real: AsReal = False,
    to: To = None,
    config: ConfigPath = CONFIG,
    as_json: AsJson = False,
) -> None:
    """
    Send a signed webhook to a running gateway and say whether it answered as it should.

    It goes to server.host and server.port over plain HTTP. Where https is required it goes to public_url instead, or,
    where this machine is among trusted_proxies, to the local port with X-Forwarded-Proto. --to names another address.
    """
    from gateway.domain.revenue import RevenueKind
    from gateway.flows.simulate import CannotSimulate, Simulation

    site, separator, connection = place.partition("/")
    if not (site and separator and connection):
        raise typer.BadParameter("write SITE/CONNECTION, such as acme/paddle", param_hint="SITE/CONNECTION")
    simulation = Simulation(
        site=site,
        connection=connection,
        kind=RevenueKind(kind.value),
        duplicate=duplicate,
        tamper=tamper,
        age=timedelta(seconds=age),
        as_real=as_real,
    )
    try:
        prepared, sent = asyncio.run(_simulate(config, simulation, to))
    except CannotSimulate as error:
        raise typer.BadParameter(str(error), param_hint="SITE/CONNECTION") from error
    _tell(prepared, sent, after=_next(prepared, config), as_json=as_json)
    if not all(answer.as_expected for answer in sent):
        raise typer.Exit(1)


async def _simulate(path: "Path", simulation: "Simulation", to: str | None) -> "tuple[Prepared, Sequence[Sent]]":
    from gateway.app.assembly import utc_now
    from gateway.flows.simulate import prepare, send
    from gateway.outbound import client_session
    from gateway.plugins import open_all
    from gateway.sdk import Runtime

    source, config = load(path)
    async with client_session() as http:
        live = open_all(config, source.registry, Runtime(http=http, now=utc_now))
        prepared = prepare(live, simulation, utc_now(), to=to)
        return prepared, await send(http, prepared, simulation.duplicate + 1)


def _next(prepared: "Prepared", config: "Path") -> str:
    """Return the command that shows what became of it: a refused webhook is only counted."""
    kept = prepared.expected < 300
    return (f"faurya-gateway trace {prepared.trace_id}" if kept else "faurya-gateway check") + with_config(config)


def _tell(prepared: "Prepared", sent: "Sequence[Sent]", *, after: str, as_json: bool) -> None:
    if as_json:
        answers = [
            {"status": answer.status, "answer": answer.answer, "as_expected": answer.as_expected} for answer in sent
        ]
        show_json(
            {
                "url": prepared.url,
                "event_key": prepared.trace_id,
                "expected_status": prepared.expected,
                "as_expected": all(answer.as_expected for answer in sent),
                "sent": answers,
                "next": after,
            }
        )
        return
    say(f"To {prepared.url}, which should answer {prepared.expected}:")
    rows = [
        (number, answer.status, "as expected" if answer.as_expected else "not as expected", answer.answer)
        for number, answer in enumerate(sent, 1)
    ]
    show_table(
        "Answers", ["try", "status", "so", "answer"], rows, {"as expected": "green", "not as expected": "bold red"}
    )
    typer.echo()
    say(f"Next: {after}")
