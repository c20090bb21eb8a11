"""Provider plugins: found, loaded where named, and never trusted."""

import asyncio
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import scripted
from harness import CONFIG, START, Harness, harness
from scripted import Entry, Scripted
from structlog.testing import capture_logs

from gateway.config import ConfigError, PluginUnknown
from gateway.domain.messages import RefusalReason
from gateway.plugins import (
    MAX_EVENTS,
    Opened,
    PluginFault,
    PluginRegistry,
    create_checkout,
    extract,
    open_all,
    verify,
)
from gateway.sdk import (
    Accepted,
    Answered,
    Attribution,
    Checkout,
    CheckoutRequest,
    Delivery,
    Ignored,
    Malformed,
    Money,
    Refused,
    Rejected,
    Reply,
    RevenueEvent,
    RevenueKind,
    Runtime,
    Unavailable,
    WebhookRequest,
    headers_of,
)

SCRIPTED = CONFIG.replace("    plans:\n      pro:", "      scripted: {{environment: live}}\n    plans:\n      pro:")
DEADLINE = timedelta(seconds=5)
REQUEST = WebhookRequest(
    method="POST", url="https://pay.example.com", headers=headers_of([(scripted.EVENT, "e1")]), body=b"{}",
    received_at=START,
)  # fmt: skip
DELIVERY = Delivery(request=REQUEST, proof="signature")
PURCHASE = RevenueKind.PURCHASE


def found(*entries: Entry) -> PluginRegistry:
    everything: Any = entries
    return PluginRegistry(everything)


def opened(plugin: Any, provider: Any = None) -> Opened:
    connection: Any = type("Connection", (), {"plugin": "scripted", "name": "scripted"})()
    return Opened(
        site="acme", name="scripted", connection=connection, plugin=plugin,
        provider=provider or plugin.open(None, None), secret_headers=frozenset(), secret_query=frozenset(),
    )  # fmt: skip


def reading(what: Any) -> Opened:
    plugin = Scripted()
    plugin.readings["e1"] = what
    return opened(plugin)


def raising(error: BaseException) -> Any:
    def read() -> None:
        raise error

    return read


def event(**what: Any) -> RevenueEvent:
    values: dict[str, Any] = {"kind": PURCHASE, "key": "payment:p1", "payment_id": "p1", "amount": Money(1, "USD")}
    return RevenueEvent(**{**values, "occurred_at": START, **what})


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("even this")


# -- finding and loading


def test_only_the_plugin_that_is_named_is_loaded() -> None:
    loaded: list[str] = []

    def entry(name: str) -> Entry:
        return Entry(name, lambda: loaded.append(name) or Scripted(name))

    registry = found(entry("one"), entry("two"))
    assert registry.names() == ("one", "two")
    assert registry.plugin("one").name == "one"
    assert registry.plugin("one") is registry.plugin("one")
    assert registry.config_model("one") is scripted.ScriptedConfig
    assert registry.checkout_options("one") is None
    assert loaded == ["one"]


def test_a_package_that_is_on_the_path_twice_is_one_plugin() -> None:
    plugin = Scripted()
    registry = found(*(Entry("scripted", lambda: plugin, package="acme-pay") for _ in range(2)))
    assert registry.plugin("scripted") is plugin


def test_the_installed_plugins_are_found_through_their_entry_points() -> None:
    assert {"example", "paddle"} <= set(PluginRegistry().names())


def changed(**what: Any) -> Scripted:
    plugin = Scripted()
    for name, value in what.items():
        setattr(plugin, name, value)
    return plugin


class Bare:
    api, name = 1, "scripted"


@pytest.mark.parametrize(
    ("entries", "says"),
    [
        ([], "no provider plugin named 'scripted' is installed (installed: none); install its package"),
        ([Entry("other", Scripted)],
         "no provider plugin named 'scripted' is installed (installed: other); install its package"),
        ([Entry("scripted", Scripted, package="one"), Entry("scripted", Scripted, package="two")],
         "the provider plugin 'scripted' is installed by one and two; uninstall all but one"),
        ([Entry("scripted", Scripted, value="a:plugin"), Entry("scripted", Scripted, value="b:plugin")],
         "the provider plugin 'scripted' is installed by a:plugin and b:plugin; uninstall all but one"),
        ([Entry("scripted", lambda: changed(api=2))],
         "the provider plugin 'scripted' is written for interface 2, this gateway speaks 1: install matching versions"),
        ([Entry("scripted", object)],
         "the provider plugin 'scripted' is written for interface None, this gateway speaks 1: install matching "),
        ([Entry("scripted", lambda: Scripted("else"))],
         "the provider plugin 'scripted' calls itself 'else'; mend its name"),
        ([Entry("scripted", Bare)],
         "the provider plugin 'scripted' lacks config_model, metadata_limits, open; mend it"),
        ([Entry("scripted", lambda: changed(config_model=dict))],
         "the config_model of the provider plugin 'scripted' is not a pydantic model; mend it"),
        ([Entry("scripted", lambda: changed(config_model={}))],
         "the config_model of the provider plugin 'scripted' is not a pydantic model; mend it"),
        ([Entry("scripted", lambda: changed(metadata_limits=3))],
         "the metadata_limits of the provider plugin 'scripted' are not MetadataLimits; mend it"),
    ],
)  # fmt: skip
def test_a_plugin_that_cannot_be_used_says_why_and_what_to_do(entries: list[Entry], says: str) -> None:
    with pytest.raises(PluginUnknown) as error:
        found(*entries).plugin("scripted")
    assert str(error.value).startswith(says)


@pytest.mark.parametrize("fault", ["1 / 0", "import no_such_module", "raise SystemExit('bye')", "def broken(:"])
def test_a_plugin_that_does_not_import_is_named_with_file_and_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    module = f"broken_plugin_{abs(hash(fault))}"
    (tmp_path / f"{module}.py").write_text(f"import json\n\n{fault}\n")
    monkeypatch.syspath_prepend(str(tmp_path))

    def load() -> Any:
        return __import__(module)

    with pytest.raises(PluginUnknown) as error:
        found(Entry("scripted", load, value=f"{module}:plugin")).plugin("scripted")
    text = str(error.value)
    assert text.startswith(f"the provider plugin 'scripted' ({module}:plugin) does not load: ")
    assert text.endswith("; mend or uninstall it")
    if "broken" in fault:
        assert "line 3" in text
    else:
        assert f"/{module}.py:3; " in text


async def test_a_missing_plugin_is_a_mistake_of_the_configuration(database_url: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no provider plugin named 'scripted' is installed"):
        async with harness(database_url, tmp_path, text=SCRIPTED):
            pass


class Unopened(Scripted):
    def open(self, config: Any, runtime: Runtime) -> Any:
        raise ValueError("the key has the wrong form")


class Half(Scripted):
    def open(self, config: Any, runtime: Runtime) -> Any:
        return object()


class Ending(Scripted):
    def open(self, config: Any, runtime: Runtime) -> Any:
        raise SystemExit


@pytest.mark.parametrize(
    ("plugin", "says"),
    [
        (
            Unopened(),
            "the plugin 'scripted' does not open: ValueError: the key has the wrong form at tests/test_plugins",
        ),
        (Ending(), "the plugin 'scripted' does not open: SystemExit: "),
        (Half(), "what the plugin 'scripted' opens lacks verify, extract, create_checkout, list_revenue; mend it"),
    ],
)
@pytest.mark.parametrize("on_failure", ["refuse", "skip"])
async def test_a_connection_that_does_not_open_stops_the_start_or_is_skipped(
    database_url: str, tmp_path: Path, plugin: Scripted, says: str, on_failure: str
) -> None:
    text = SCRIPTED.replace("sites:", f"plugins: {{{{on_failure: {on_failure}}}}}\nsites:", 1)
    start = harness(database_url, tmp_path, text=text, registry=scripted.registry(plugin))
    if on_failure == "refuse":
        with pytest.raises(PluginUnknown) as error:
            async with start:
                pass
        assert str(error.value).startswith(f"sites.acme.providers.scripted: {says}")
        return
    with capture_logs() as logs:
        async with start as gateway:
            answer = await gateway.send(b"{}", connection="scripted", headers={scripted.EVENT: "e1"})
            assert answer.status == 503
            assert "Retry-After" in answer.headers or b"not_ready" in await answer.read()
            await gateway.happen(PURCHASE, payment_id="p1")
            assert await gateway.inbox() == [("booked", None)]
    (line,) = [line for line in logs if line["event"] == "plugin.skipped"]
    assert line["error"].startswith(f"sites.acme.providers.scripted: {says}")


async def test_a_plugin_that_does_not_load_is_skipped_where_the_configuration_says_so(
    database_url: str, tmp_path: Path
) -> None:
    text = SCRIPTED.replace("sites:", "plugins: {{on_failure: skip}}\nsites:", 1)
    async with harness(database_url, tmp_path, text=text, registry=scripted.registry()) as gateway:
        answer = await gateway.send(b"{}", connection="scripted", headers={scripted.EVENT: "e1"})
        assert answer.status == 503
        assert b'"not_ready"' in await answer.read()
        assert await gateway.inbox() == []
        await gateway.happen(PURCHASE, payment_id="p1")
        assert await gateway.deliveries() == {"payment:p1": ("recorded", None)}


async def test_a_plugin_says_whether_its_payment_ids_are_globally_unique(gateway: Harness) -> None:
    live = gateway.gateway.live
    assert live.connections["acme", "example"].globally_unique is False
    assert opened(changed(global_payment_ids=True)).globally_unique is True
    again = open_all(live.config, gateway.gateway.source.registry, gateway.gateway.runtime)
    assert again.connections.keys() == live.connections.keys()


# -- verify


@pytest.mark.parametrize(
    "verdict",
    [
        Accepted(proof="signature", event_id="e1", event_type="paid"),
        Accepted(proof="none"),
        Refused(reason=RefusalReason.HEADER_MISSING),
        Answered(Reply(200, b"challenge")),
    ],
)
def test_what_verify_may_answer_is_passed_on(verdict: Any) -> None:
    assert verify(opened(changed(verdict=lambda _: verdict)), REQUEST) is verdict


@pytest.mark.parametrize(
    ("verdict", "says"),
    [
        (lambda _: None, "the plugin 'scripted' answered verify with a NoneType"),
        (lambda _: True, "the plugin 'scripted' answered verify with a bool"),
        (lambda _: Accepted(proof="signature", event_id=5), "answered verify with fields of the wrong type"),
        (lambda _: Accepted(proof="signature", event_type=b"x"), "answered verify with fields of the wrong type"),
        (lambda _: Accepted(proof="trust me"), "answered verify with fields of the wrong type"),
        (lambda _: Accepted(proof="signature", reply="ok"), "answered verify with a Accepted"),
        (lambda _: {}["x"], "the plugin 'scripted' raised in verify: KeyError"),
        (raising, "the plugin 'scripted' answered verify with a function"),
        (lambda _: raising(SystemExit())(), "the plugin 'scripted' raised in verify: SystemExit"),
        (lambda _: raising(asyncio.CancelledError())(), "the plugin 'scripted' raised in verify: CancelledError"),
        (lambda _: raising(BaseExceptionGroup("x", [KeyError()]))(), "raised in verify: ExceptionGroup"),
    ],
)
async def test_a_verify_that_breaks_the_rules_is_the_plugins_fault(verdict: Any, says: str) -> None:
    with pytest.raises(PluginFault) as error:
        verify(opened(changed(verdict=verdict)), REQUEST)
    assert says in str(error.value)


def test_ctrl_c_during_verify_is_meant_for_us() -> None:
    with pytest.raises(KeyboardInterrupt):
        verify(opened(changed(verdict=lambda _: raising(KeyboardInterrupt())())), REQUEST)


# -- extract


@pytest.mark.parametrize("what", [[], [event()], (event(), event(key="payment:p2")), Ignored("simulated")])
async def test_what_extract_may_answer_is_passed_on(what: Any) -> None:
    answer = await extract(reading(what), DELIVERY, DEADLINE)
    assert answer == (what if isinstance(what, Ignored) else tuple(what))


class Lying(list[Any]):
    def __len__(self) -> int:
        raise LookupError("no length")


@pytest.mark.parametrize(
    ("what", "says"),
    [
        (None, "the plugin 'scripted' answered extract with a NoneType"),
        ("text", "the plugin 'scripted' answered extract with a str"),
        (b"text", "the plugin 'scripted' answered extract with a bytes"),
        ({}, "the plugin 'scripted' answered extract with a dict"),
        (iter([]), "the plugin 'scripted' answered extract with a list_iterator"),
        ([event(), {"amount": 1}], "the plugin 'scripted' returned a dict among its revenue events"),
        ([None], "the plugin 'scripted' returned a NoneType among its revenue events"),
        ([event()] * (MAX_EVENTS + 1), f"read {MAX_EVENTS + 1} events from one webhook; {MAX_EVENTS} are accepted"),
        (Lying(), "raised in extract: LookupError: no length at tests/test_plugins.py:"),
        (Ignored("because"), "the plugin 'scripted' ignored a webhook for a reason that does not exist"),
        (raising(ValueError("bad")), "raised in extract: ValueError: bad at tests/test_plugins.py:"),
        (raising(Rejected("no such key")), "scripted: Rejected: no such key"),
        (raising(TimeoutError()), "raised in extract: TimeoutError:  at "),
        (raising(Unspeakable()), "raised in extract: Unspeakable: (its text cannot be read) at "),
        (raising(SystemExit(3)), "the plugin 'scripted' tried to end the process in extract"),
        (raising(asyncio.CancelledError()), "raised in extract: CancelledError"),
        (raising(BaseExceptionGroup("several", [GeneratorExit()])), "raised in extract: BaseExceptionGroup: several"),
        (raising(StopIteration(1)), "raised in extract: RuntimeError: coroutine raised StopIteration"),
        (raising(RecursionError("deep")), "raised in extract: RecursionError: deep"),
    ],
)
async def test_an_extract_that_breaks_the_rules_is_the_plugins_fault(what: Any, says: str) -> None:
    with pytest.raises(PluginFault) as error:
        await extract(reading(what), DELIVERY, DEADLINE)
    assert says in str(error.value)
    assert "scripted" in str(error.value)


@pytest.mark.parametrize("error", [Unavailable("later", retry_after=timedelta(seconds=3)), Malformed("no amount")])
async def test_what_extract_may_raise_is_passed_on(error: Exception) -> None:
    with pytest.raises(type(error)) as raised:
        await extract(reading(raising(error)), DELIVERY, DEADLINE)
    assert raised.value is error


@pytest.mark.parametrize(
    ("build", "says"),
    [
        (lambda: [event(occurred_at=datetime(2026, 9, 1))], "occurred_at must be a datetime with a time zone"),
        (lambda: [event(occurred_at="today")], "occurred_at must be a datetime with a time zone"),
        (lambda: [event(amount=Money(65.0, "USD"))], "an amount must be a whole number of minor units, not float"),
        (lambda: [event(amount=Money(True, "USD"))], "an amount must be a whole number of minor units, not bool"),
        (lambda: [event(amount=Money(1, "ZZZ"))], "'ZZZ' is not an ISO 4217 currency"),
        (lambda: [event(amount=6500)], "amount must be Money, not int"),
        (lambda: [event(key="")], "key must not be empty"),
        (lambda: [event(payment_id="a\0b")], "payment_id contains a NUL"),
        (lambda: [event(kind="purchase")], "kind must be a RevenueKind, not str"),
        (lambda: [event(attribution=Attribution(visitor_id="x" * 300))], "visitor_id has 300 characters"),
    ],
)
async def test_an_impossible_event_leaves_the_webhook_unreadable_with_the_plugins_name(
    database_url: str, tmp_path: Path, build: Any, says: str
) -> None:
    plugin = Scripted()
    async with harness(database_url, tmp_path, text=SCRIPTED, registry=scripted.registry(plugin)) as gateway:
        plugin.readings["e1"] = build
        await gateway.send(b"{}", connection="scripted", headers={scripted.EVENT: "e1"})
        await gateway.happen(PURCHASE, payment_id="p1", settle=False)
        await gateway.happen(PURCHASE, site="globex", payment_id="p2", attribution=Attribution(visitor_id="b"))
        (row,) = await gateway.rows("SELECT outcome, reason, detail FROM inbox WHERE connection = 'scripted'")
        assert (row["outcome"], row["reason"]) == ("unreadable", "malformed")
        assert row["detail"].startswith("scripted: ")
        assert says in row["detail"]
        assert len(await gateway.rows("SELECT 1 FROM inbox WHERE outcome = 'booked'")) == 2


@pytest.mark.parametrize("asked", [30, "30", 1.5, True])
async def test_a_wait_that_is_no_timedelta_is_forgotten(asked: Any) -> None:
    def busy() -> Any:
        raise Unavailable("busy", retry_after=asked)

    with capture_logs() as logs:
        with pytest.raises(Unavailable, match="busy") as error:
            await extract(reading(busy), DELIVERY, DEADLINE)
        assert error.value.retry_after is None
        with pytest.raises(Unavailable, match="busy") as error:
            await create_checkout(opened(Scripted(), Selling(busy)), ORDER, DEADLINE)
        assert error.value.retry_after is None
    assert [line["event"] for line in logs] == ["plugin.odd_retry_after"] * 2


async def test_a_call_that_takes_too_long_is_cut(tmp_path: Path) -> None:
    cleaned: list[str] = []

    async def slow() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0)
            cleaned.append("up")

    with pytest.raises(Unavailable, match=r"^scripted: no answer from extract within 0.05 seconds$"):
        await extract(reading(slow), DELIVERY, timedelta(seconds=0.05))
    assert cleaned == ["up"]


async def test_a_call_that_swallows_its_cancellation_is_left_behind() -> None:
    end = asyncio.Event()

    async def stubborn() -> None:
        while not end.is_set():
            try:
                await end.wait()
            except asyncio.CancelledError:
                continue
        raise ValueError("nobody looks at this any more")

    with capture_logs() as logs, pytest.raises(Unavailable, match="no answer from extract"):
        await extract(reading(stubborn), DELIVERY, timedelta(seconds=0.05))
    assert [(line["event"], line["plugin"]) for line in logs] == [("plugin.does_not_stop", "scripted")]
    end.set()
    await asyncio.sleep(0.01)


async def test_our_own_cancellation_reaches_the_plugin_and_comes_back() -> None:
    seen: list[str] = []

    async def slow() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    task = asyncio.create_task(extract(reading(slow), DELIVERY, DEADLINE))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.sleep(0)
    assert seen == ["cancelled"]


class NotAsync:
    def extract(self, delivery: Any) -> list[Any]:
        return []

    def create_checkout(self, request: Any) -> str:
        return "https://pay.example.com"


async def test_a_plugin_that_forgot_async_is_told_so() -> None:
    with pytest.raises(PluginFault, match="the extract of the plugin 'scripted' is not async; mend it"):
        await extract(opened(Scripted(), NotAsync()), DELIVERY, DEADLINE)
    with pytest.raises(PluginFault, match="the create_checkout of the plugin 'scripted' is not async; mend it"):
        await create_checkout(opened(Scripted(), NotAsync()), ORDER, DEADLINE)


async def test_a_plugin_that_blocks_is_named_by_the_watchdog() -> None:
    async def blocking() -> list[Any]:
        await asyncio.sleep(0)
        time.sleep(0.12)
        await asyncio.sleep(0.15)
        return []

    def slow_verify(_: Any) -> Accepted:
        time.sleep(0.12)
        return Accepted(proof="signature")

    with capture_logs() as logs:
        await extract(reading(blocking), DELIVERY, DEADLINE)
        verify(opened(changed(verdict=slow_verify)), REQUEST)
        await extract(reading([]), DELIVERY, DEADLINE)
    assert [(line["event"], line["plugin"], line["call"], line["site"], line["connection"]) for line in logs] == [
        ("plugin.blocked", "scripted", call, "acme", "scripted") for call in ("extract", "verify")
    ]
    assert all(line["milliseconds"] >= 100 for line in logs)


# -- create_checkout

ORDER = CheckoutRequest(reference="order-1", idempotency_key="order-1", items=[("price_1", 1)])


class Selling:
    def __init__(self, answer: Any) -> None:
        self.answer = answer

    async def create_checkout(self, request: CheckoutRequest) -> Any:
        return self.answer() if callable(self.answer) else self.answer


async def test_a_checkout_is_passed_on() -> None:
    checkout = Checkout(url="https://pay.example.com/1", checkout_id="chk_1")
    assert await create_checkout(opened(Scripted(), Selling(checkout)), ORDER, DEADLINE) is checkout


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ("https://pay.example.com", "the plugin 'scripted' answered create_checkout with a str"),
        (raising(KeyError("url")), "the plugin 'scripted' raised in create_checkout: KeyError: 'url' at "),
        (raising(SystemExit()), "the plugin 'scripted' tried to end the process in create_checkout"),
        (raising(asyncio.CancelledError()), "the plugin 'scripted' raised in create_checkout: CancelledError"),
    ],
)
async def test_a_create_checkout_that_breaks_the_rules_is_the_plugins_fault(answer: Any, says: str) -> None:
    with pytest.raises(PluginFault) as error:
        await create_checkout(opened(Scripted(), Selling(answer)), ORDER, DEADLINE)
    assert str(error.value).startswith(says)


async def test_a_providers_refusal_is_passed_on() -> None:
    with pytest.raises(Rejected, match="no such price"):
        await create_checkout(opened(Scripted(), Selling(raising(Rejected("no such price")))), ORDER, DEADLINE)


async def test_a_cancelled_checkout_is_cancelled() -> None:
    class Hanging:
        async def create_checkout(self, request: Any) -> Any:
            await asyncio.sleep(60)

    task = asyncio.create_task(create_checkout(opened(Scripted(), Hanging()), ORDER, DEADLINE))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
