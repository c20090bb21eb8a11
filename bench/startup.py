"""How long a start takes, until `/readyz` says yes."""

import time
from collections.abc import Mapping, Sequence

from bench.children import PYTHON, answers, child, free_port
from bench.figures import median
from bench.gateways import SITE, configuration
from bench.place import Place
from bench.report import Section
from bench.svg import bars
from bench.tables import figure, markdown

NAME = "startup"
TITLE = "Start-up time"
GIVEN = "with a Postgres that runs"
FIRST = "with an embedded one, the very first time"
AGAIN = "with an embedded one, again"


async def run(place: Place) -> Section:
    """Measure; return the section."""
    found = await measure(place)
    return Section(name=NAME, title=TITLE, text=table(found), plots=plots(found), figures=found)


async def measure(place: Place) -> dict[str, list[float]]:
    """Return the seconds of several starts of each kind."""
    found: dict[str, list[float]] = {GIVEN: [], FIRST: [], AGAIN: []}
    url = await place.gateway_database("startup")
    for number in range(place.scale.starts):
        found[GIVEN].append(await _start(place, url))
        if not place.scale.variants:
            continue
        embedded = f'embedded", data_dir: "{place.folder}/embedded-{number}'
        found[FIRST].append(await _start(place, embedded))
        found[AGAIN].append(await _start(place, embedded))
    return found


async def _start(place: Place, database: str) -> float:
    port = free_port()
    path = place.folder / f"startup-{port}.yaml"
    path.write_text(configuration(port=port, database=database, faurya="http://127.0.0.1:9", sites=(SITE,)))
    began = time.perf_counter()
    command = [PYTHON, "-m", "gateway", "serve", "--config", str(path)]
    async with child(command, path.with_suffix(".log")) as serving:
        await answers(port, "/readyz", serving)
        return time.perf_counter() - began


def table(found: Mapping[str, Sequence[float]]) -> str:
    """Return the medians."""
    rows = [[name, figure(median(took), " s"), figure(max(took), " s")] for name, took in found.items() if took]
    return markdown(["from the command to ready", "median", "longest"], rows)


def plots(found: Mapping[str, Sequence[float]]) -> dict[str, str]:
    """Return the medians as bars."""
    return {"startup.svg": bars("Seconds until ready", {name: median(took) for name, took in found.items()}, unit=" s")}
