"""The sites of the demo, and the configuration that the gateway gets for them. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, assert_never

from yarl import URL

from gateway.dev.faurya_stand_in import StandInSite
from gateway.dev.providers import DemoProvider


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoSite:
    """A make-believe company with a shop and an account at Faurya."""

    name: str
    title: str
    product: str
    pitch: str
    api: Literal["revenue", "payments"]

    @property
    def account(self) -> StandInSite:
        """What the Faurya stand-in knows of this site; the keys are made up."""
        return StandInSite(
            name=self.name,
            site_id=f"site_{self.name}",
            write_key=f"demo_write_key_{self.name}",
            api_key=f"demo_api_key_{self.name}",
        )


SITES = (
    DemoSite(
        name="acme",
        title="Acme Notes",
        product="Acme Notes Pro",
        pitch="Notes that find themselves, on all your devices.",
        api="revenue",
    ),
    DemoSite(
        name="globex",
        title="Globex Maps",
        product="Globex Maps Pro",
        pitch="Maps for people who like to get lost on purpose.",
        api="payments",
    ),
)
"""One site for each of Faurya's two APIs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """Where everything is. Shops by site; provider stand-ins by site and provider: each has its own account."""

    gateway: str
    faurya: str
    shops: Mapping[str, str]
    providers: Mapping[tuple[str, str], str]


def plan_of(provider: DemoProvider, providers: Sequence[DemoProvider]) -> str:
    """Return the name of the plan that is paid with this provider: "pro" for the first, "pro-NAME" for the others."""
    return "pro" if provider == providers[0] else f"pro-{provider.name}"


def configuration(addresses: Addresses, providers: Sequence[DemoProvider], database: Path) -> dict[str, Any]:
    """Return what `config.yaml` says in the demo."""
    return {
        "server": {"host": URL(addresses.gateway).host, "port": URL(addresses.gateway).port},
        "database": {"url": "embedded", "data_dir": str(database)},
        "plugins": {"on_failure": "skip"},
        "sites": {site.name: _site(site, addresses, providers) for site in SITES},
    }


def _site(site: DemoSite, addresses: Addresses, providers: Sequence[DemoProvider]) -> dict[str, Any]:
    shop = addresses.shops[site.name]
    return {
        "origins": [shop],
        "faurya": _faurya(site, addresses.faurya),
        "providers": {
            provider.name: provider.connection(site.name, addresses.providers[site.name, provider.name])
            for provider in providers
        },
        "plans": {plan_of(provider, providers): {"provider": provider.name, **provider.plan} for provider in providers},
        "success_url": f"{shop}/thanks",
        "cancel_url": shop,
    }


def _faurya(site: DemoSite, url: str) -> dict[str, Any]:
    """Return the site's destination; the demo's money is test money, so it has to be forwarded."""
    account = site.account
    match site.api:
        case "revenue":
            keys: dict[str, Any] = {"site_id": account.site_id, "write_key": account.write_key, "forward_refunds": True}
        case "payments":
            keys = {"api_key": account.api_key, "currencies": "any"}
        case _:
            assert_never(site.api)
    return {"api": site.api, "url": url, "forward_test": True, **keys}
