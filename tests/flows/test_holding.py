"""An operator's hold: nothing is sent and nothing spent until somebody lifts it."""

import asyncio
from datetime import timedelta

import pytest
from harness import START, Harness
from sending import Calls, Slow, attempts, book_all_of, deliver

from gateway.domain.delivery import Answer
from gateway.domain.errors import Malformed
from gateway.flows.holding import Standing, UnknownSite, lift, lift_all, put_on_hold, standing
from gateway.sdk import RevenueKind
from gateway.telemetry import Redaction

PURCHASE = RevenueKind.PURCHASE
SITES = ["acme", "globex"]


async def hold(gateway: Harness, site: str = "acme", note: str | None = None) -> str | None:
    context = gateway.gateway.context
    return await put_on_hold(
        context.database,
        SITES,
        site,
        now=gateway.clock(),
        note=note,
        redaction=Redaction(frozenset({"acme-write-key"})),
    )


async def let_go(gateway: Harness, site: str = "acme") -> bool:
    return await lift(gateway.gateway.context.database, SITES, site)


async def seen(gateway: Harness) -> list[Standing]:
    return await standing(gateway.gateway.context.database, SITES, gateway.clock())


async def test_a_held_site_sends_nothing_until_it_is_lifted(gateway: Harness) -> None:
    assert await hold(gateway, note="Faurya moves today") is None
    await gateway.happen(PURCHASE, payment_id="p1")
    await gateway.happen(PURCHASE, site="globex", payment_id="p1")
    await gateway.forward(timedelta(days=400))
    assert (await gateway.rows("SELECT status, attempts, spent FROM outbox WHERE site = 'acme'"))[0] == {
        "status": "pending",
        "attempts": 0,
        "spent": 0,
    }
    (held,) = await seen(gateway)
    assert held.as_json() == {
        "site": "acme", "configured": True, "since": START.isoformat(), "next_probe_at": None, "probing": False,
        "reason": "operator", "note": "Faurya moves today",
        "why": "somebody put the site on hold: Faurya moves today", "probes": 0, "waiting": 1,
    }  # fmt: skip
    assert await let_go(gateway) is True
    await gateway.until("SELECT status FROM outbox WHERE site = 'acme'", equals="recorded")
    assert await seen(gateway) == []


async def test_setting_and_lifting_twice_is_fine(gateway: Harness) -> None:
    assert await hold(gateway, note="first") is None
    gateway.clock.forward(timedelta(minutes=5))
    assert await hold(gateway) == "operator"
    (held,) = await seen(gateway)
    assert (held.hold.since, held.hold.note) == (START, "first")
    assert await hold(gateway, note="second") == "operator"
    assert (await seen(gateway))[0].hold.note == "second"
    assert await let_go(gateway) is True
    assert await let_go(gateway) is False


async def test_an_automatic_hold_becomes_the_operators_and_is_probed_no_more(gateway: Harness) -> None:
    await gateway.switch(next_status=401, next_times=1)
    await gateway.happen(PURCHASE, payment_id="p1")
    assert (await seen(gateway))[0].why.startswith("Faurya refuses the site's key")
    assert await hold(gateway) == "bad_key"
    await gateway.forward(timedelta(days=2))
    await gateway.gateway.worker.probe_now()  # type: ignore[union-attr]
    await gateway.settled()
    assert len(await attempts(gateway)) == 1
    assert await let_go(gateway) is True
    await gateway.until("SELECT status FROM outbox", equals="recorded")


@pytest.mark.parametrize("answer", [Answer(status=200), Answer(status=401), Answer(status=503)])
async def test_a_probe_under_way_does_not_undo_an_operators_hold(gateway: Harness, answer: Answer) -> None:
    await gateway.switch(next_status=401, next_times=1)
    await gateway.happen(PURCHASE, payment_id="p1")
    gateway.gateway.worker.stop()  # type: ignore[union-attr]
    await asyncio.sleep(0.05)
    gateway.clock.forward(timedelta(minutes=10))
    slow = Slow(answer)
    probing = asyncio.create_task(deliver(gateway, slow))
    await slow.under_way.wait()
    (held,) = await seen(gateway)
    assert held.is_probing
    assert await hold(gateway) == "bad_key"
    slow.goes_on.set()
    await probing
    (held,) = await seen(gateway)
    assert (held.hold.reason, held.hold.until, held.is_probing) == ("operator", None, False)


async def test_a_lifted_fault_holds_the_site_again_at_its_first_answer(gateway: Harness) -> None:
    await gateway.switch(next_status=403, next_times=2)
    await gateway.happen(PURCHASE, payment_id="p1")
    assert await let_go(gateway) is True
    await gateway.until("SELECT count(*) FROM attempts", equals=2)
    await gateway.until("SELECT reason FROM holds", equals="bad_key")


async def test_unknown_sites_are_named_with_the_known_ones(gateway: Harness) -> None:
    for act in (hold, let_go):
        with pytest.raises(UnknownSite, match=r"there is no site 'nowhere' \(there are: acme, globex\)"):
            await act(gateway, "nowhere")
    assert await seen(gateway) == []


async def test_a_hold_of_a_site_that_is_gone_is_shown_and_can_be_lifted(gateway: Harness) -> None:
    await hold(gateway)
    await gateway.database.execute("UPDATE holds SET site = 'oldco', reason = 'a new reason'")
    (held,) = await seen(gateway)
    assert (held.is_configured, held.why, held.hold.waiting) == (False, "a new reason", 0)
    assert await let_go(gateway, "oldco") is True


async def test_all_holds_are_lifted_together(gateway: Harness) -> None:
    await hold(gateway, "globex")
    await hold(gateway, "acme")
    assert await lift_all(gateway.gateway.context.database) == ["acme", "globex"]
    assert await lift_all(gateway.gateway.context.database) == []


async def test_what_an_operator_writes_is_kept_without_secrets_and_not_at_any_length(gateway: Harness) -> None:
    await hold(gateway, note="acme-write-key was leaked")
    assert (await seen(gateway))[0].hold.note == "*** was leaked"
    for note in ("x" * 201, "nul \0"):
        with pytest.raises(Malformed, match="the reason"):
            await hold(gateway, note=note)
    assert await hold(gateway, note="") == "operator"


async def test_deliveries_that_wait_for_their_sale_do_not_wait_for_the_hold(gateway: Harness) -> None:
    await hold(gateway)
    await gateway.happen(PURCHASE, payment_id="p1")
    await gateway.happen(RevenueKind.REFUND, payment_id="p1", refund_id="r1")
    await book_all_of(gateway)
    assert [held.hold.waiting for held in await seen(gateway)] == [1]
    calls = Calls()
    await deliver(gateway, calls)
    assert calls.asked == []
