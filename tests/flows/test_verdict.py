"""The sentence at the top of a story: right, readable, and with what to do."""

from datetime import timedelta
from typing import Any

import pytest
from harness import START

from gateway.flows.verdict import Verdict, judge, replay_command
from gateway.store.stories import Found

WHEN = "2026-09-01 12:00:00 UTC"
NO_IDS = (
    "No visitor, session or token came with the checkout or the webhook: let the page send faVisitorId, faSessionId or "
    "faAttributionToken when it creates the checkout."
)


def entry(key: str = "payment:p1", **what: Any) -> dict[str, Any]:
    values: dict[str, Any] = {
        "connection": "example", "revenue_key": key, "kind": "purchase", "payment_id": "p1", "amount_minor": 6500,
        "currency": "USD", "visitor_id": "anna", "session_id": None, "token": None, "attribution_source": "webhook",
        "event_key": "evt_1", "source": "webhook",
    }  # fmt: skip
    return {**values, **what}


def delivery(status: str, reason: str | None = None, key: str = "payment:p1", **what: Any) -> dict[str, Any]:
    values: dict[str, Any] = {
        "connection": "example", "revenue_key": key, "status": status, "reason": reason, "attempts": 0,
        "recorded_at": START, "due_at": START,
    }  # fmt: skip
    return {**values, **what}


def attempt(code: int | None, answer: str | None = "", connection: str = "example") -> dict[str, Any]:
    return {"connection": connection, "revenue_key": "payment:p1", "status_code": code, "answer": answer}


def webhook(outcome: str, reason: str | None = None, **what: Any) -> dict[str, Any]:
    values: dict[str, Any] = {
        "id": "0199", "event_key": "evt_1", "event_id": "evt_1", "event_type": "payment.paid", "outcome": outcome,
        "reason": reason, "detail": None, "due_at": START,
    }  # fmt: skip
    return {**values, **what}


def checkout(**what: Any) -> dict[str, Any]:
    return {"created_at": START, "state": "created", "problem": None, "dropped": [], **what}


def refusal(count: int = 2, **what: Any) -> dict[str, Any]:
    values: dict[str, Any] = {
        "site": "acme", "connection": "example", "count": count, "last_at": START, "reason": "signature_mismatch",
        "detail": "no secret of this connection matches", "doctor": None,
    }  # fmt: skip
    return {**values, **what}


def sold(status: str, reason: str | None = None, *, who: dict[str, Any] | None = None, **what: Any) -> Found:
    attempts = what.pop("tries", [])
    rest = {name: what.pop(name) for name in ("hold", "checkouts", "refusals") if name in what}
    return Found(ledger=[entry(**(who or {}))], outbox=[delivery(status, reason, **what)], attempts=attempts, **rest)


SALE_OF = "The purchase of 65.00 USD"
NOBODY = {"visitor_id": None, "attribution_source": "none"}
HELD = {"reason": "bad_key", "until": START + timedelta(minutes=5)}
REPLAY = "`faurya-gateway replay --id payment:p1`"
REFUSE = f"Correct what Faurya names, then run {REPLAY}."
ATTRIBUTE = "Where the visitor is known, run `faurya-gateway replay --id payment:p1 --attribute VISITOR_ID`."


@pytest.mark.parametrize(
    ("found", "word", "reason"),
    [
        (
            sold("recorded"),
            "attributed",
            f"{SALE_OF} is recorded in Faurya since {WHEN}, for visitor anna (found by: webhook).",
        ),
        (
            sold("recorded", who={"visitor_id": None, "session_id": "s"}),
            "attributed",
            (
                f"{SALE_OF} is recorded in Faurya since {WHEN}, for the session or token that came with it "
                "(found by: webhook)."
            ),
        ),
        (
            sold("already_recorded"),
            "attributed",
            f"{SALE_OF} is already recorded in Faurya since {WHEN}, for visitor anna (found by: webhook).",
        ),
        (
            sold("already_recorded", "not_by_this_gateway"),
            "attributed",
            (
                f"{SALE_OF} is already recorded in Faurya since {WHEN}, for visitor anna (found by: webhook). "
                "Faurya had it before this gateway's first attempt: something else records the same sales."
            ),
        ),
        (
            sold("recorded_assumed", recorded_at=None),
            "attributed",
            (
                f"{SALE_OF} is most likely recorded in Faurya (an attempt ended unclear, then Faurya refused "
                "the repeat) since an unknown time, for visitor anna (found by: webhook)."
            ),
        ),
        (
            sold("recorded", who=NOBODY),
            "unattributed",
            f"{SALE_OF} is recorded in Faurya since {WHEN}, without a visitor. {NO_IDS}",
        ),
        (
            sold("recorded", who={"currency": "JPY", "kind": "refund_reversal"}),
            "attributed",
            (
                f"The refund reversal of 6500 JPY is recorded in Faurya since {WHEN}, for visitor anna "
                "(found by: webhook)."
            ),
        ),
        (
            sold("unattributed", "no_visitor_id", who=NOBODY),
            "unattributed",
            (
                f"{SALE_OF} is booked but cannot be sent: Faurya's payments API needs a visitor id and none "
                f"came with it. {NO_IDS} {ATTRIBUTE}"
            ),
        ),
        (
            sold("unattributed", who={**NOBODY, "token": "t"}),
            "unattributed",
            (
                f"{SALE_OF} is booked but cannot be sent: Faurya's payments API needs a visitor id and none "
                "came with it. Only a session or a token is known; let the page send faVisitorId too. "
                f"{ATTRIBUTE}"
            ),
        ),
        (
            sold("unattributed", who=NOBODY, checkouts=[checkout(), checkout(dropped=["faVisitorId", "faSessionId"])]),
            "unattributed",
            (
                f"{SALE_OF} is booked but cannot be sent: Faurya's payments API needs a visitor id and none "
                "came with it. The page sent faVisitorId, faSessionId in a form that cannot be used "
                f"(not text, or over 256 characters). {ATTRIBUTE}"
            ),
        ),
        (sold("pending"), "pending", f"{SALE_OF} is booked; it is sent at {WHEN}."),
        (
            sold("pending", attempts=1),
            "pending",
            f"{SALE_OF} is booked; after 1 attempt it is sent at {WHEN}.",
        ),
        (
            sold("pending", attempts=3),
            "pending",
            f"{SALE_OF} is booked; after 3 attempts it is sent at {WHEN}.",
        ),
        (
            sold("pending", "waiting_for_sale"),
            "pending",
            f"{SALE_OF} is booked; it waits for the sale that it refers to.",
        ),
        (
            sold("pending", "waiting_for_amount"),
            "pending",
            (
                f"{SALE_OF} is booked; it waits for a figure that the provider has not given yet "
                "(see the site's faurya.amount)."
            ),
        ),
        (sold("pending", "something_new"), "pending", f"{SALE_OF} is booked; something_new."),
        (
            sold("pending", hold=HELD),
            "held",
            (
                f"{SALE_OF} is booked and waits because the site is on hold: Faurya refuses the site's key: "
                "correct it in the configuration and reload. The next try is at 2026-09-01 12:05:00 "
                "UTC; nothing is lost."
            ),
        ),
        (
            sold("pending", hold={"site": "acme", "reason": "operator", "until": None, "note": "moving house"}),
            "held",
            (
                f"{SALE_OF} is booked and waits because the site is on hold: somebody put the site on hold: "
                "moving house. It is not tried until somebody lifts it with `faurya-gateway holds lift acme`; "
                "nothing is lost."
            ),
        ),
        (
            sold("pending", hold={"site": "acme", "reason": "a migration", "until": None}),
            "held",
            (
                f"{SALE_OF} is booked and waits because the site is on hold: a migration. "
                "It is not tried until somebody lifts it with `faurya-gateway holds lift acme`; nothing is lost."
            ),
        ),
        (
            sold("recorded", hold=HELD),
            "attributed",
            f"{SALE_OF} is recorded in Faurya since {WHEN}, for visitor anna (found by: webhook).",
        ),
        (
            sold("skipped", "test_mode"),
            "skipped",
            (
                f"{SALE_OF} is booked and not sent: it is test money, which the site does not forward: set "
                "faurya.forward_test to see it in Faurya."
            ),
        ),
        (
            sold("skipped", "zero_amount", who={"amount_minor": -5}),
            "skipped",
            (
                "The purchase of -0.05 USD is booked and not sent: its amount is not above zero, so "
                "there is nothing to "
                "record."
            ),
        ),
        (
            sold("skipped", "sale_not_recorded", who={"kind": "refund"}),
            "skipped",
            (
                "The refund of 65.00 USD is booked and not sent: the sale that it belongs to was not "
                "recorded in Faurya: "
                "trace p1 to see why; once it is, this one follows by itself."
            ),
        ),
        (
            sold("skipped", "something_new"),
            "skipped",
            f"{SALE_OF} is booked and not sent: something_new.",
        ),
        (
            sold(
                "dead", "schedule_exhausted", attempts=13, tries=[attempt(500, "oops"), attempt(None, "TimeoutError")]
            ),
            "dead",
            (
                f"{SALE_OF} could not be sent in 13 attempts (no answer: TimeoutError). The ledger keeps it; once "
                f"Faurya answers again, run {REPLAY}."
            ),
        ),
        (
            sold("dead", attempts=1, tries=[attempt(503, None)]),
            "dead",
            (
                f"{SALE_OF} could not be sent in 1 attempt (status 503). The ledger keeps it; once Faurya answers "
                f"again, run {REPLAY}."
            ),
        ),
        (
            sold("rejected", "refused", tries=[attempt(422, "currency: unknown"), attempt(200, "x", "other")]),
            "rejected",
            f"{SALE_OF} was refused by Faurya (status 422: currency: unknown). {REFUSE}",
        ),
        (sold("rejected", "refused"), "rejected", f"{SALE_OF} was refused by Faurya. {REFUSE}"),
        (
            sold("rejected", "refused", tries=[attempt(400, "x" * 999)]),
            "rejected",
            f"{SALE_OF} was refused by Faurya (status 400: {'x' * 200}). {REFUSE}",
        ),
        (
            sold("rejected", "visitor_not_found", tries=[attempt(404, "")]),
            "rejected",
            (
                f"{SALE_OF} was refused by Faurya (status 404). Faurya does not know the visitor on this site: "
                f"check that page and key belong to the same Faurya site, then run {REPLAY} (with --attribute "
                "VISITOR_ID for another visitor)."
            ),
        ),
    ],
)
def test_booked_money(found: Found, word: str, reason: str) -> None:
    assert judge("p1", found, ()) == Verdict(word, reason)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "reason",
    [
        "test_mode",
        "zero_amount",
        "refund_not_forwarded",
        "sale_not_recorded",
        "currency_not_accepted",
        "forwarding_off",
        "unsupported_by_destination",
    ],
)
def test_every_reason_to_skip_has_words_of_its_own(reason: str) -> None:
    text = judge("p1", sold("skipped", reason), ()).reason
    assert reason not in text
    assert "{" not in text
    assert text.endswith(".")


@pytest.mark.parametrize(
    ("found", "word", "reason"),
    [
        (
            Found(),
            "unknown",
            (
                "No site of this gateway knows this id: compare it with the provider's dashboard, "
                "which also says whether its "
                "webhook was delivered."
            ),
        ),
        (
            Found(refusals=[refusal()]),
            "unknown",
            (
                "No site of this gateway knows this id: compare it with the provider's dashboard, "
                "which also says whether its "
                f"webhook was delivered. 2 webhooks to acme/example refused, the last at {WHEN} (no "
                "secret of this connection "
                "matches)."
            ),
        ),
        (
            Found(refusals=[refusal(1, detail="", doctor="the secret of acme/sandbox matches")]),
            "unknown",
            (
                "No site of this gateway knows this id: compare it with the provider's dashboard, "
                "which also says whether its "
                f"webhook was delivered. 1 webhook to acme/example refused, the last at {WHEN} "
                "(signature_mismatch; the secret "
                "of acme/sandbox matches)."
            ),
        ),
        (
            Found(searched=False),
            "unknown",
            (
                "No site of this gateway knows this id: compare it with the provider's dashboard, "
                "which also says whether its "
                "webhook was delivered. The search through the webhooks' bodies took too long and was left out."
            ),
        ),
        (
            Found(checkouts=[checkout()]),
            "pending",
            (
                f"The checkout was created at {WHEN}, and no webhook about it has arrived: nobody has paid yet, or the "
                "provider's webhooks do not reach this gateway."
            ),
        ),
        (
            Found(checkouts=[checkout()], refusals=[refusal(1)]),
            "pending",
            (
                f"The checkout was created at {WHEN}, and no webhook about it has arrived: nobody has paid yet, or the "
                f"provider's webhooks do not reach this gateway. 1 webhook to acme/example refused, the last at {WHEN} "
                "(no secret of this connection matches)."
            ),
        ),
        (
            Found(checkouts=[checkout(state="failed", problem="no such price")]),
            "not_revenue",
            f"The checkout of {WHEN} was not created: no such price.",
        ),
        (
            Found(webhooks=[webhook("received", "waiting_for_sale")]),
            "pending",
            f"The webhook payment.paid is kept; it waits for the sale that it refers to, at the latest at {WHEN}.",
        ),
        (
            Found(webhooks=[webhook("received", "provider_unavailable", event_type=None)]),
            "pending",
            f"The webhook evt_1 is kept; the provider could not be asked; it is tried again, at the latest at {WHEN}.",
        ),
        (
            Found(webhooks=[webhook("received")]),
            "pending",
            f"The webhook payment.paid is kept; it is about to be read, at the latest at {WHEN}.",
        ),
        (
            Found(webhooks=[webhook("ignored", "simulated"), webhook("ignored", "not_revenue")]),
            "not_revenue",
            "The webhook payment.paid is kept and not counted: it is a simulation, which never counts.",
        ),
        (
            Found(webhooks=[webhook("ignored", "not_revenue", event_type=None, event_id=None)]),
            "not_revenue",
            "The webhook 0199 is kept and not counted: it says nothing about money.",
        ),
        (
            Found(webhooks=[webhook("ignored", "something_new")]),
            "not_revenue",
            "The webhook payment.paid is kept and not counted: something_new.",
        ),
        (
            Found(webhooks=[webhook("received"), webhook("unreadable", "malformed", detail="paddle: no amount")]),
            "rejected",
            (
                "The webhook payment.paid is kept but could not be read: paddle: no amount. It is read "
                "again when the provider sends it again; once its plugin can read it, run "
                "`faurya-gateway replay --id evt_1`."
            ),
        ),
        (
            Found(webhooks=[webhook("unreadable", "waited_in_vain")]),
            "rejected",
            (
                "The webhook payment.paid is kept but could not be read: waited_in_vain. It is read again when the "
                "provider sends it again; once its plugin can read it, run `faurya-gateway replay --id evt_1`."
            ),
        ),
        (
            Found(webhooks=[webhook("booked")]),
            "unknown",
            "Only the text of the webhook payment.paid has this id: trace evt_1.",
        ),
    ],
)
def test_what_is_not_booked(found: Found, word: str, reason: str) -> None:
    assert judge("p1", found, ()) == Verdict(word, reason)  # type: ignore[arg-type]


SALE = entry("payment:p1", event_key="evt_1", order_id="order-1")
RENEWED = entry("payment:p2", event_key="evt_2", kind="renewal", amount_minor=7000)
REFUNDED = entry("refund:r1", event_key="evt_3", kind="refund", amount_minor=100)


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("p1", "purchase of 65.00"),
        ("payment:p1", "purchase of 65.00"),
        ("evt_1", "purchase of 65.00"),
        ("order-1", "purchase of 65.00"),
        ("anna", "purchase of 65.00"),
        ("p2", "renewal of 70.00"),
        ("r1", "refund of 1.00"),
        ("refund:r1", "refund of 1.00"),
        ("evt_3", "refund of 1.00"),
    ],
)
def test_the_movement_that_was_asked_for_is_the_one_that_is_told(query: str, told: str) -> None:
    outbox = [delivery("recorded", key=one["revenue_key"]) for one in (SALE, RENEWED, REFUNDED)]
    found = Found(ledger=[REFUNDED, RENEWED, SALE], outbox=outbox)
    assert judge(query, found, ()).reason.startswith(f"The {told}")


def test_other_sites_that_know_the_id_are_named() -> None:
    reason = judge("p1", sold("recorded"), ("globex", "initech")).reason
    assert reason.endswith(" Also known at globex, initech: choose with --site.")


def test_a_command_is_quoted_for_the_shell() -> None:
    assert replay_command("p1; rm -rf $HOME") == "`faurya-gateway replay --id 'p1; rm -rf $HOME'`"


@pytest.mark.parametrize(
    ("webhooks", "how"),
    [
        ([], "No webhook brought it: it was found in the provider's own list (a sweep)."),
        (
            [webhook("ignored", "not_revenue")],
            "No webhook brought it: it was found in the provider's own list (a sweep).",
        ),
        (
            [webhook("ignored", "already_booked")],
            "It was found in the provider's own list (a sweep) before its webhook was read.",
        ),
    ],
)
def test_money_that_no_webhook_brought_says_so(webhooks: list[dict[str, Any]], how: str) -> None:
    found = Found(ledger=[entry(source="sweep")], outbox=[delivery("recorded")], webhooks=webhooks)
    verdict = judge("p1", found, ())
    assert verdict.word == "attributed"
    assert verdict.reason == (
        f"{SALE_OF} is recorded in Faurya since {WHEN}, for visitor anna (found by: webhook). {how}"
    )
