"""The parts of the demo, and its command as a process."""

import os
import signal
import socket
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, get_args

import aiohttp
import pytest
from pydantic import BaseModel, Field, SecretStr

from gateway.dev import visitors
from gateway.dev.folder import DatabaseInUse, DemoRuns, held
from gateway.dev.ports import address_of, take
from gateway.dev.providers import demo_providers, settings
from gateway.dev.stories import STATUS_TONES, TONES
from gateway.domain.delivery import Status
from gateway.flows.verdict import Word
from gateway.plugins import PluginRegistry
from gateway.sdk import API, ENTRY_POINT_GROUP, Delivery, MetadataLimits, Runtime, Unavailable
from gateway.store.embedded import EmbeddedFolderError
from gateway.store.embedded_folder import claim
from providers.example import ExamplePlugin
from providers.example.provider import ExampleProvider

NOON = datetime(2026, 9, 1, 12, tzinfo=UTC)
WAIT_SECONDS = 15.0
COMMAND = [sys.executable, "-c", "from gateway.cli import main; main()", "dev"]


class Odd(BaseModel):
    """Settings as other plugins may have them."""

    environment: Literal["sandbox", "live"]
    key_id: str
    key: SecretStr
    secrets: Annotated[tuple[Annotated[SecretStr, Field(min_length=1)], ...], Field(min_length=1)]
    maybe: SecretStr | None
    region: Literal["eu", "us"]
    base_url: str
    page: str = "unset"


class Bare:
    """A plugin with these settings and nothing else."""

    api, name, config_model = API, "bare", Odd
    metadata_limits = MetadataLimits(keys=1, key_chars=1, value_chars=1)

    def open(self, config: Any, runtime: Runtime) -> Any:
        return object()


def test_settings_are_made_up_from_the_plugin_s_model_and_differ_by_site() -> None:
    one, other = (settings(Bare(), site, "http://127.0.0.1:1") for site in ("acme", "globex"))
    Odd.model_validate({"environment": "sandbox", **one})
    assert set(one) == {"key_id", "key", "secrets", "maybe", "region", "base_url"}
    assert (one["base_url"], one["region"]) == ("http://127.0.0.1:1", "eu")
    assert one["key"] != other["key"]
    assert one["secrets"] != other["secrets"]
    assert settings(Bare(), "acme", "http://127.0.0.1:1") == one


def test_a_plugin_may_say_its_own_settings() -> None:
    class Own(Bare):
        def demo_settings(self, address: str) -> dict[str, str]:
            return {"key": "rzp_test_1", "endpoint": address}

    assert settings(Own(), "acme", "http://127.0.0.1:1") == {"key": "rzp_test_1", "endpoint": "http://127.0.0.1:1"}


class Broken(Bare):
    name = "broken"

    def open(self, config: Any, runtime: Runtime) -> Any:
        raise RuntimeError("no")


class Demanding(Bare):
    name = "demanding"

    class config_model(BaseModel):  # noqa: N801 - the interface's name
        shards: int


PLUGINS = {"bare": Bare(), "broken": Broken(), "demanding": Demanding()}


async def test_a_plugin_that_has_no_stand_in_or_does_not_work_is_left_out() -> None:
    found = [EntryPoint(name, f"{__name__}:PLUGINS", ENTRY_POINT_GROUP) for name in (*PLUGINS, "absent")]
    registry = PluginRegistry([*entry_points(group=ENTRY_POINT_GROUP), *found])
    registry._loaded.update(PLUGINS)
    async with aiohttp.ClientSession() as http:
        runtime = Runtime(http=http, now=lambda: NOON)
        providers = await demo_providers(registry, runtime, "paddle")
    names = [provider.name for provider in providers]
    assert names[0] == "paddle"
    assert "example" in names
    assert not set(PLUGINS) & set(names)


class Asking(ExampleProvider):
    """Its webhooks only say where to look."""

    async def extract(self, delivery: Delivery) -> Any:
        raise Unavailable("nobody is there yet")


class AskingPlugin(ExamplePlugin):
    def open(self, config: Any, runtime: Runtime) -> Asking:
        return Asking(config, runtime)


class PricedPlugin(AskingPlugin):
    demo_plan: ClassVar = {"amount": {"value": "19.00", "currency": "EUR"}}
    title = "Example Pay"


@pytest.mark.parametrize(
    ("plugin", "title", "price"),
    [
        (ExamplePlugin(), "Example", "49.00 USD"),
        (AskingPlugin(), "Example", None),
        (PricedPlugin(), "Example Pay", "19.00 EUR"),
    ],
)
async def test_a_price_is_the_plan_s_own_or_the_sample_s_where_the_sample_tells(
    plugin: ExamplePlugin, title: str, price: str | None
) -> None:
    registry = PluginRegistry(entry for entry in entry_points(group=ENTRY_POINT_GROUP) if entry.name == "example")
    registry._loaded["example"] = plugin
    async with aiohttp.ClientSession() as http:
        (found,) = await demo_providers(registry, Runtime(http=http, now=lambda: NOON), "paddle")
    assert (found.title, found.price) == (title, price)


def test_a_busy_port_is_replaced_by_a_free_one() -> None:
    with take(0) as first:
        port = first.getsockname()[1]
        with take(port) as second:
            assert second.getsockname()[1] != port
            with socket.create_connection(second.getsockname(), timeout=5):
                assert address_of(second) == f"http://127.0.0.1:{second.getsockname()[1]}"


def test_a_second_demo_on_the_same_folder_is_told_where_the_first_one_is(tmp_path: Path) -> None:
    with held(tmp_path / "data") as folder:
        folder.note("http://127.0.0.1:8090")
        with pytest.raises(DemoRuns, match=r"http://127\.0\.0\.1:8090.*--data-dir"), held(tmp_path / "data"):
            pass
    with held(tmp_path / "data"):
        pass


def test_only_folders_of_the_gateway_are_used_and_emptied(tmp_path: Path) -> None:
    foreign = tmp_path / "papers"
    foreign.mkdir()
    (foreign / "thesis.txt").write_text("mine")
    with pytest.raises(EmbeddedFolderError, match=r"thesis\.txt"), held(foreign):
        pass
    with held(tmp_path / "data") as folder:
        folder.database.mkdir()
        (folder.database / "thesis.txt").write_text("mine")
        folder.forget()
        assert (folder.database / "thesis.txt").exists()


def test_sales_that_another_command_reads_are_not_deleted(tmp_path: Path) -> None:
    with held(tmp_path / "data") as folder:
        lock = claim(folder.database).take_lock()
        assert lock is not None
        with pytest.raises(DatabaseInUse, match="let it end first"):
            folder.forget()
        os.close(lock)
        folder.forget()
        assert not folder.database.exists()


def test_a_visitor_keeps_the_cookies_that_are_there() -> None:
    draws = iter(["a", "b", "c", "d"])

    def draw(_count: int) -> str:
        return next(draws)

    first = visitors.visitor_of("acme", {}, draw)
    assert first == visitors.Visitor("site_acme:visitor_a", "session_b", "token_c")
    cookies = {cookie.name: cookie.value for cookie in visitors.remembered("acme", first)}
    assert visitors.visitor_of("acme", cookies, draw) == first
    del cookies["faurya_session_id_acme"]
    assert visitors.visitor_of("acme", cookies, draw).session_id == "session_d"
    assert visitors.visitor_of("globex", cookies, lambda _: "e").visitor_id == "site_globex:visitor_e"
    assert list(first.globals) == [
        "__FAURYA_VISITOR_ID__",
        "__FAURYA_SESSION_ID__",
        "__FAURYA_ATTRIBUTION_TOKEN__",
    ]


def test_every_verdict_and_status_that_matters_has_a_colour() -> None:
    assert set(TONES) == set(get_args(Word))
    assert {status.value for status in Status} - set(STATUS_TONES) == {"pending", "skipped"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_command_needs_no_environment_and_ends_cleanly_at_a_signal(tmp_path: Path, number: signal.Signals) -> None:
    environment = {"PATH": os.environ["PATH"], "COLUMNS": "80"}
    process = subprocess.Popen(
        [*COMMAND, "--port", "0", "--data-dir", str(tmp_path / "data")],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        lines = []
        while not (lines and "Ctrl-C" in lines[-1]):
            lines.append(process.stdout.readline())
            assert lines[-1], process.communicate()[1]
        process.send_signal(number)
        out, errors = process.communicate(timeout=WAIT_SECONDS)
        assert process.returncode == 0, errors
        assert "Traceback" not in out + errors
        assert not (tmp_path / "data" / "dev" / "database" / "postgres" / "postmaster.pid").exists()
    finally:
        process.kill()
        process.communicate()
