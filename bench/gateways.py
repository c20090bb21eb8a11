"""The real gateway as a process of its own, on a configuration made for the bench."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import MappingProxyType

from bench.bodies import SECRET
from bench.children import PYTHON, Child, answers, child, free_port
from bench.place import Place

PATH = "/webhooks/acme/paddle"
SITE = "acme"

HEAD = """
server: {{host: 127.0.0.1, port: {port}, public_url: "http://127.0.0.1:{port}"}}
database: {{url: "{database}"}}
worker: {{concurrency_per_site: {calls}}}
sites:
"""

DEFAULT_CALLS = 8
"""Calls of Faurya at a time for each site, where the configuration does not say."""

# Of an account of its own each: what the sites' connections have in common would be a mistake of the configuration.
SITES = """
  {site}:
    faurya: {{api: revenue, url: "{faurya}", site_id: {site}, write_key: made-up-write-key-{site}, forward_test: true}}
    providers:
      paddle: {{environment: sandbox, api_key: made-up-key-{site}, base_url: "http://127.0.0.1:9",
               webhook_secrets: [{secret}]}}
"""


@dataclass(frozen=True, slots=True)
class Served:
    """A gateway that answers on a port; `roots` are its processes."""

    port: int
    database: str
    children: Sequence[Child]

    @property
    def roots(self) -> list[int]:
        """The processes whose CPU time and memory are the gateway's."""
        return [each.pid for each in self.children]


def secret_of(site: str) -> str:
    """Return the secret that signs a site's webhooks."""
    return SECRET if site == SITE else f"{SECRET}_{site}"


NOBODY: Mapping[str, str] = MappingProxyType({})


def configuration(
    *,
    port: int,
    database: str,
    faurya: str,
    sites: Sequence[str],
    apart: Mapping[str, str] = NOBODY,
    calls: int = DEFAULT_CALLS,
) -> str:
    """Return a config.yaml; `apart` names the sites whose Faurya is another."""
    parts = [SITES.format(site=site, faurya=apart.get(site, faurya), secret=secret_of(site)) for site in sites]
    return HEAD.format(port=port, database=database, calls=calls) + "".join(parts)


@asynccontextmanager
async def gateway(
    place: Place,
    database: str,
    *,
    worker: bool = False,
    apart: bool = False,
    processes: int = 1,
    faurya: str = "http://127.0.0.1:9",
    sites: Sequence[str] = (SITE,),
    apart_faurya: Mapping[str, str] = NOBODY,
    calls: int = DEFAULT_CALLS,
) -> AsyncIterator[Served]:
    """Yield `serve`, with its worker, without it, or with the worker `apart` in a process of its own."""
    port = free_port()
    path = place.folder / f"gateway-{port}.yaml"
    path.write_text(
        configuration(port=port, database=database, faurya=faurya, sites=sites, apart=apart_faurya, calls=calls)
    )
    command = [PYTHON, "-m", "gateway", "serve", "--config", str(path), "--processes", str(processes)]
    if not worker or apart:
        command.append("--no-worker")
    async with child(command, path.with_suffix(".log")) as serving:
        await answers(port, "/readyz", serving)
        if not apart:
            yield Served(port, database, [serving])
            return
        work = [PYTHON, "-m", "gateway", "work", "--config", str(path)]
        async with child(work, path.with_suffix(".work.log")) as working:
            yield Served(port, database, [serving, working])
