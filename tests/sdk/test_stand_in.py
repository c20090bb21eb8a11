"""The part of a stand-in that all providers share, on real loopback HTTP, with a company made up for these tests."""

import asyncio
import subprocess
import sys
from datetime import datetime, timedelta, timezone

import pytest
from aiohttp import ClientSession, web

from gateway.sdk import Malformed
from gateway.sdk.stand_in import (
    Change,
    Deliveries,
    Lever,
    Manner,
    NotPossible,
    Pages,
    Settings,
    Webhook,
    change,
    install,
    web_address,
)

NOON = datetime(2026, 5, 1, 14, 0, tzinfo=timezone(timedelta(hours=2)))
ACME = Manner(company="Acme", headers={"User-Agent": "Acme", "X-Same": "manner"}, accepted=frozenset({200}))
COLUMNS = (("event", "type", "id"), ("resource", None, "id"))


class Pull(Lever):
    what: str = "fine"


def pull(_app, given):
    if given.what == "never":
        raise NotPossible("not today")
    if given.what == "odd":
        raise Malformed("this is no money")
    return {"pulled": given.what}


class Receiver:
    """Where the webhooks go: answers with the next of `answers`, then 200."""

    def __init__(self):
        self.answers, self.got = [], []

    async def take(self, request):
        self.got.append((await request.read(), request.headers))
        answer = self.answers.pop(0) if self.answers else 200
        if answer == "slow":
            await asyncio.sleep(1)
            answer = 200
        return web.Response(status=answer, headers={"Location": "/elsewhere"} if answer == 302 else None)


@pytest.fixture
def receiver():
    return Receiver()


@pytest.fixture
async def deliveries(receiver, aiohttp_server):
    app = web.Application()
    app.router.add_post("/hook", receiver.take)
    server = await aiohttp_server(app)
    async with ClientSession() as http:
        made = Deliveries(
            manner=ACME,
            target=str(server.make_url("/hook")),
            http=http,
            settings=Settings(scale=0.001),
            now=lambda: NOON,
            retries=(1.0, 2.0),
        )
        yield made
        await made.close()


@pytest.fixture
async def client(deliveries, tmp_path, aiohttp_client):
    (tmp_path / "brand.css").write_text(".acme {}")
    app = web.Application()
    pages = Pages("Acme", tmp_path, COLUMNS)

    async def missing(request):
        return pages.missing("checkout", request.query.get("name"))

    app.router.add_get("/missing", missing)
    install(app, deliveries, levers={"pull": (Pull, pull)}, pages=pages, address="http://acme.example")
    return await aiohttp_client(app)


def webhook(**given):
    def headers(at):
        return {"X-Signed-At": at.isoformat(), "X-Same": "webhook"}

    return Webhook(**{"about": {"id": "e1", "type": "paid"}, "body": b"{}", "headers": headers, **given})


async def sent(deliveries):
    made = webhook()
    deliveries.log.append(made)
    await deliveries.dispatch(made)
    await deliveries.settled()
    return made


@pytest.mark.parametrize(
    ("answers", "statuses", "status"),
    [
        ([], [200], "delivered"),
        ([500], [500, 200], "delivered"),
        ([201, 302], [201, 302, 200], "delivered"),
        ([500, 404, 503, 200], [500, 404, 503], "failed"),
    ],
)
async def test_a_webhook_is_sent_until_it_is_kept_or_the_retries_are_used(
    deliveries, receiver, answers, statuses, status
):
    receiver.answers = list(answers)
    made = await sent(deliveries)
    assert ([attempt.status_code for attempt in made.attempts], made.status) == (statuses, status)
    assert len(receiver.got) == len(statuses)


async def test_every_attempt_is_signed_anew_and_what_it_says_goes_before_the_companys_own_headers(deliveries, receiver):
    times = iter([NOON, NOON + timedelta(minutes=1)])
    deliveries.now = lambda: next(times)
    receiver.answers = [500]
    await sent(deliveries)
    assert [headers["X-Signed-At"] for _, headers in receiver.got] == [
        "2026-05-01T14:00:00+02:00",
        "2026-05-01T14:01:00+02:00",
    ]
    assert {(headers["User-Agent"], headers["X-Same"]) for _, headers in receiver.got} == {("Acme", "webhook")}


@pytest.mark.parametrize(
    ("how", "arrived", "problems", "status"),
    [
        ("unsent", 1, ["made to fail before it was sent", None], "delivered"),
        ("unanswered", 2, ["sent, but the answer was made to get lost", None], "delivered"),
        ("lost", 0, [], "lost"),
    ],
)
async def test_webhooks_fail_on_request(deliveries, receiver, how, arrived, problems, status):
    deliveries.settings.failures = [how]
    made = await sent(deliveries)
    assert ([attempt.problem for attempt in made.attempts], made.status) == (problems, status)
    assert (len(receiver.got), deliveries.settings.failures) == (arrived, [])


async def test_no_answer_in_time_and_no_connection_are_told_apart(deliveries, receiver, unused_tcp_port):
    deliveries.retries = ()
    deliveries.settings.timeout_seconds, receiver.answers = 0.05, ["slow"]
    made = webhook()
    deliveries.start(deliveries.dispatch(made))
    await deliveries.settled()
    deliveries.target = f"http://127.0.0.1:{unused_tcp_port}/"
    deliveries.start(deliveries.dispatch(made))
    await deliveries.settled()
    assert made.attempts[0].problem == "no answer within 0.05 seconds"
    assert made.attempts[1].problem == "no connection: ClientConnectorError"
    assert made.status == "failed"


async def test_one_attempt_by_itself_leaves_the_state(deliveries):
    made = webhook()
    assert await deliveries.attempt(made)
    assert (made.status, len(made.attempts)) == ("not_attempted", 1)


async def test_closing_does_not_wait_for_retries(deliveries, receiver):
    deliveries.settings.scale, receiver.answers = 100, [500]
    made = webhook()
    await deliveries.dispatch(made)
    await asyncio.wait_for(deliveries.close(), 5)
    assert (made.status, len(made.attempts)) == ("needs_retry", 1)


async def test_a_story_that_breaks_off_is_logged_with_the_company(deliveries, caplog):
    async def broken():
        raise RuntimeError("on purpose")

    deliveries.start(broken())
    await deliveries.settled()
    assert "a story of the Acme stand-in broke off" in caplog.text


async def test_the_application_stops_what_runs(deliveries, client):
    deliveries.settings.scale = 100
    waiting = deliveries.start(deliveries.pause(60))
    await client.close()
    assert waiting.cancelled()


async def test_the_log_is_json_in_utc_with_what_the_webhook_is_about(deliveries, client):
    await sent(deliveries)
    [found] = await (await client.get("/stand-in/deliveries.json")).json()
    [attempt] = found.pop("attempts")
    assert found == {"id": "e1", "type": "paid", "status": "delivered"}
    assert attempt.pop("milliseconds") >= 0
    assert attempt == {"at": "2026-05-01T12:00:00.000000Z", "status_code": 200, "problem": None}


@pytest.mark.parametrize(
    ("lever", "body", "status", "answer"),
    [
        ("pull", b"", 200, {"pulled": "fine"}),
        ("pull", b'{"what": "never"}', 409, {"errors": [{"message": "not today"}]}),
        ("pull", b'{"what": "odd"}', 409, {"errors": [{"message": "this is no money"}]}),
        ("pull", b'{"who": 1}', 400, {"errors": [{"field": "who", "message": "Extra inputs are not permitted"}]}),
        ("settle", b"", 200, {"settled": True}),
        ("fail", b'{"next": 2, "how": "lost"}', 200, {}),
        ("fail-api", b'{"status": 429}', 200, {}),
    ],
)
async def test_levers_answer_json(client, lever, body, status, answer):
    response = await client.post(f"/stand-in/{lever}", data=body)
    assert (response.status, await response.json()) == (status, answer)


async def test_the_levers_that_every_stand_in_has_set_what_fails_next(deliveries, client):
    await client.post("/stand-in/fail", json={"next": 2, "how": "lost"})
    await client.post("/stand-in/fail-api", json={"status": 429})
    settings = deliveries.settings
    assert settings.failures == ["lost", "lost"]
    assert [settings.api_failure(), settings.api_failure()] == [429, None]
    await client.post("/stand-in/fail", json={"next": 0})
    assert settings.failures == []


def test_only_failures_of_the_asked_kind_are_used_up():
    settings = Settings(failures=["unsent", "lost"])
    assert settings.failure("lost") is None
    assert settings.failure("unsent", "unanswered") == "unsent"
    assert settings.failure("lost") == "lost"
    assert settings.failure("lost") is None


def test_a_change_sets_what_is_given_and_leaves_the_rest():
    settings = Settings(timeout_seconds=3)
    given = change(settings, Change(scale=2, return_to="https://shop.example/"), apart=["scale"])
    assert given == {"return_to": "https://shop.example/"}
    assert settings == Settings(timeout_seconds=3, return_to="https://shop.example/")


def test_a_way_back_that_is_no_web_address_changes_nothing():
    settings = Settings()
    with pytest.raises(NotPossible, match="http or https"):
        change(settings, Change(scale=2, return_to="javascript:alert(1)"))
    assert settings == Settings()


@pytest.mark.parametrize("path", ["/", "/stand-in/deliveries"])
async def test_the_page_lists_webhooks_newest_first_and_escapes_them(deliveries, client, path):
    empty = await (await client.get(path)).text()
    assert "Nothing yet" in empty
    assert ".acme {}" in empty
    deliveries.log.append(webhook(about={"id": "older", "type": None}, status="needs_retry"))
    deliveries.log.append(webhook(about={"id": "<newer>", "type": "paid"}))
    response = await client.get(path)
    page = await response.text()
    assert page.index("&lt;newer&gt;") < page.index("older")
    assert "needs retry" in page
    assert "None" not in page
    assert 'role="alert"' not in page
    assert 'href="http://acme.example/stand-in/deliveries.json"' in page
    assert response.headers["Cache-Control"] == "no-store"


async def test_the_page_warns_where_a_company_stopped_sending(tmp_path, deliveries, aiohttp_client):
    class Disabled(Deliveries):
        def notice(self):
            return "nothing is sent any more"

    off = Disabled(manner=ACME, target="x", http=deliveries.http, settings=Settings(), now=deliveries.now, retries=())
    app = web.Application()
    app.add_routes(Pages("Acme", tmp_path, COLUMNS).of_deliveries(off, ""))
    page = await (await (await aiohttp_client(app)).get("/")).text()
    assert '<p class="note bad" role="alert">nothing is sent any more</p>' in page


async def test_what_is_not_there_is_404_with_its_name_unless_it_is_secret(client):
    response = await client.get("/missing", params={"name": "<c1>"})
    page = await response.text()
    assert response.status == 404
    assert "There is no such checkout" in page
    assert "<code>&lt;c1&gt;</code>" in page
    assert "knows no" not in await (await client.get("/missing")).text()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("https://a.example/b", "https://a.example/b"),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("//a.example", None),
        ("javascript:alert(1)", None),
        ("https://[", None),
        ("", None),
        (None, None),
    ],
)
def test_only_whole_web_addresses_become_links(text, found):
    assert web_address(text) == found


def test_a_gateway_that_serves_does_not_load_it():
    code = "import sys, gateway.sdk; print('gateway.sdk.stand_in' in sys.modules, 'jinja2' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
