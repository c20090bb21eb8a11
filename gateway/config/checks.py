"""
Mistakes that only two settings together make.

Pure: values in, (path, message) out. A setting that was itself wrong is absent here, and then says nothing.
"""

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.config.addresses import is_loopback
from gateway.config.kinds import EMBEDDED
from gateway.config.mistakes import Path, shown
from gateway.config.models import Config

Finding = tuple[Path, str]
Parts = Mapping[str, Any]
"""The valid settings of one part by name; a part within a part is again one."""


_DOUBLE_CLAIM = (
    "this and {there} claim all sales and share an API key or a webhook secret, so each sale would be booked twice: "
    "use claims: own_checkouts, or list price and product ids"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What tells whether two connections are the same account at the provider."""

    path: Path
    plugin: str
    claims: str | tuple[str, ...] | None
    secrets: frozenset[str] = field(repr=False)


def listening(server: Parts, given: Container[str]) -> Iterator[Finding]:
    """Check where the gateway listens; `given` are the keys in the file, valid or not."""
    host = server.get("host")
    if host is not None and not is_loopback(host) and "public_url" not in given:
        yield ("server", "public_url"), "is required when server.host is not this machine: the address providers call"
    if "metrics_port" in server and server["metrics_port"] == server.get("port", 8080):
        yield ("server", "metrics_port"), "must differ from server.port: remove it to serve metrics on the main port"


def embedded(database: Parts, host: str | None, live: Sequence[Path]) -> Iterator[Finding]:
    """Check that the embedded database, which nobody backs up, is not used where it matters."""
    url = database.get("url")
    if url is None or url.get_secret_value() != EMBEDDED or database.get("allow_embedded", False):
        return
    remedy = "use a postgresql:// address, or set database.allow_embedded: true"
    if live:
        yield ("database", "url"), f"embedded is not for live money ({shown(live[0])} is live): {remedy}"
    if host is not None and not is_loopback(host):
        yield ("database", "url"), f"embedded is for one machine, but server.host is reachable from others: {remedy}"


def refuse_embedded(config: Config) -> str | None:
    """Say why this configuration may not use the embedded database; for callers that replace `server.host`."""
    live = [
        ("sites", site.name, "providers", connection.name)
        for site in config.sites.values()
        for connection in site.providers.values()
        if connection.environment == "live"
    ]
    found = embedded(dict(config.database), config.server.host, live)
    return "; ".join(f"{shown(path)}: {message}" for path, message in found) or None


def shared_origins(origins: Mapping[str, Sequence[str]]) -> Iterator[Finding]:
    """Check that an origin finds one site."""
    owners: dict[str, Path] = {}
    for site, listed in origins.items():
        for index, origin in enumerate(listed):
            path = ("sites", site, "origins", index)
            first = owners.setdefault(origin, path)
            if first != path and first[1] == site:
                yield path, "is listed twice: keep one"
            elif first != path:
                yield path, f"is also an origin of sites.{first[1]}: an origin finds one site, keep it on one"


def shared_accounts(accounts: Sequence[Account], lines: Mapping[Path, str]) -> Iterator[Finding]:
    """Check that no sale is booked twice because two connections are the same account and both claim every sale."""
    claiming = [account for account in accounts if account.claims == "all"]
    for index, account in enumerate(claiming):
        for other in claiming[:index]:
            if other.plugin == account.plugin and other.secrets & account.secrets:
                there = f"{shown(other.path)} ({lines[other.path]})"
                yield (*account.path, "claims"), _DOUBLE_CLAIM.format(there=there)
                break


def plan_prices(plan: Mapping[str, Any]) -> str | None:
    """Say what is wrong with how a plan, as the file gives it, names its price."""
    if "items" in plan and "amount" in plan:
        return "has both items and amount: keep one"
    if "items" not in plan and "amount" not in plan:
        return "needs items (prices of the provider's catalogue) or an amount"
    return None
