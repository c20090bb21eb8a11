"""The sentence at the top of a story: what became of the money, in words that a site team understands. Pure."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from gateway.domain.money import Money
from gateway.store.stories import Found

Word = Literal["attributed", "unattributed", "pending", "held", "rejected", "dead", "skipped", "not_revenue", "unknown"]
Row = Mapping[str, Any]

RECORDED = {
    "recorded": "recorded in Faurya",
    "already_recorded": "already recorded in Faurya",
    "recorded_assumed": "most likely recorded in Faurya (an attempt ended unclear, then Faurya refused the repeat)",
}

SKIPPED = {
    "test_mode": "it is test money, which the site does not forward: set faurya.forward_test to see it in Faurya",
    "zero_amount": "its amount is not above zero, so there is nothing to record",
    "refund_not_forwarded": "the site does not forward refunds: set faurya.forward_refunds if Faurya should show them",
    "sale_not_recorded": (
        "the sale that it belongs to was not recorded in Faurya: trace {payment_id} to see why; once it is, this one "
        "follows by itself"
    ),
    "currency_not_accepted": "its currency is not among the site's faurya.currencies",
    "forwarding_off": "the connection has forward: false because Faurya gets this provider's money elsewhere",
    "unsupported_by_destination": "Faurya's payments API knows no refunds; the ledger has it",
}

IGNORED = {
    "not_revenue": "it says nothing about money",
    "not_final": "the money was not confirmed yet; the event that confirms it counts",
    "simulated": "it is a simulation, which never counts",
    "already_booked": "the same movement of money was booked before, so it counts once",
    "other_site": "the money belongs to another site of the same provider account (see the connection's claims)",
}

WAITING = {
    "waiting_for_sale": "it waits for the sale that it refers to",
    "waiting_for_amount": "it waits for a figure that the provider has not given yet (see the site's faurya.amount)",
    "provider_unavailable": "the provider could not be asked; it is tried again",
}

HOLDS = {
    "bad_key": "Faurya refuses the site's key: correct it in the configuration and reload",
    "quota": "Faurya says that the account's event limit is reached",
    "not_implemented": "Faurya says that the endpoint is not finished: check faurya.api and faurya.url",
    "redirected": "Faurya answers with a redirect: check faurya.url",
    "visitors_not_found": "Faurya knows none of the visitors: the key probably belongs to another site",
    "unavailable": "Faurya does not answer, or answers with server errors; it is asked again every few seconds",
    "operator": "somebody put the site on hold",
}


ORDER = ("purchase", "renewal", "refund", "refund_reversal")
"""Which movement a story is about first, of several that an id names."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """One word for programs and one sentence for people."""

    word: Word
    reason: str


def replay_command(query: str, *, attribute: bool = False) -> str:
    """Return, in backquotes, the command that replays what an id names, quoted for a shell."""
    return f"`faurya-gateway replay --id {shlex.quote(query)}{' --attribute VISITOR_ID' if attribute else ''}`"


def judge(query: str, found: Found, elsewhere: Sequence[str]) -> Verdict:
    """Return what became of the money that `query` names. `elsewhere` are other sites that know the id too."""
    verdict = _judged(query, found)
    unsearched = "" if found.searched else " The search through the webhooks' bodies took too long and was left out."
    also = f" Also known at {', '.join(elsewhere)}: choose with --site." if elsewhere else ""
    return Verdict(verdict.word, verdict.reason + unsearched + also)


def _judged(query: str, found: Found) -> Verdict:
    if not found:
        return Verdict(
            "unknown",
            "No site of this gateway knows this id: compare it with the provider's dashboard, which also says whether "
            f"its webhook was delivered.{_refused(found)}",
        )
    if not found.ledger:
        return _unbooked(found)
    entry = _subject(query, found.ledger)
    place = (entry["connection"], entry["revenue_key"])
    delivery = next(row for row in found.outbox if (row["connection"], row["revenue_key"]) == place)
    verdict = _delivered(entry, delivery, found)
    return Verdict(verdict.word, verdict.reason + _how_found(entry, found))


def _how_found(entry: Row, found: Found) -> str:
    """Say how money came that no webhook brought."""
    if entry["source"] != "sweep":
        return ""
    if any(row["reason"] == "already_booked" for row in found.webhooks):
        return " It was found in the provider's own list (a sweep) before its webhook was read."
    return " No webhook brought it: it was found in the provider's own list (a sweep)."


def _subject(query: str, ledger: Sequence[Row]) -> Row:
    """Return the movement that was asked for by name, else the first sale."""
    for entry in ledger:
        if query in (entry["revenue_key"], entry["revenue_key"].partition(":")[2], entry["event_key"]):
            return entry
    return min(ledger, key=lambda entry: ORDER.index(entry["kind"]))


def _what(entry: Row) -> str:
    kind = entry["kind"].replace("_", " ")
    return f"The {kind} of {Money(entry['amount_minor'], entry['currency'])}"


def _when(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC" if moment else "an unknown time"


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _delivered(entry: Row, delivery: Row, found: Found) -> Verdict:
    status, what = delivery["status"], _what(entry)
    match status:
        case "recorded" | "already_recorded" | "recorded_assumed":
            return _recorded(entry, delivery)
        case "unattributed":
            return Verdict(
                "unattributed",
                f"{what} is booked but cannot be sent: Faurya's payments API needs a visitor id and none came with it. "
                f"{_why_unattributed(entry, found)} Where the visitor is known, run "
                f"{replay_command(entry['revenue_key'], attribute=True)}.",
            )
        case "pending" if found.hold is not None:
            return Verdict("held", f"{what} is booked and waits because the site is on hold: {_why_held(found.hold)}")
        case "pending":
            return Verdict("pending", f"{what} is booked; {_why_pending(delivery)}.")
        case "skipped":
            return Verdict("skipped", f"{what} is booked and not sent: {_why_skipped(entry, delivery)}.")
        case "dead":
            return Verdict(
                "dead",
                f"{what} could not be sent in {_counted(delivery['attempts'], 'attempt')}{_last_answer(entry, found)}. "
                f"The ledger keeps it; once Faurya answers again, run "
                f"{replay_command(entry['revenue_key'])}.",
            )
        case _:
            return Verdict("rejected", f"{what} was refused by Faurya{_last_answer(entry, found)}. {_advice(delivery)}")


def _recorded(entry: Row, delivery: Row) -> Verdict:
    ids = [name for name in ("visitor_id", "session_id", "token") if entry[name]]
    told = f"{_what(entry)} is {RECORDED[delivery['status']]} since {_when(delivery['recorded_at'])}"
    whose = ""
    if delivery["reason"] == "not_by_this_gateway":
        whose = " Faurya had it before this gateway's first attempt: something else records the same sales."
    if not ids:
        return Verdict("unattributed", f"{told}, without a visitor. {_NO_IDS}{whose}")
    who = f"visitor {entry['visitor_id']}" if entry["visitor_id"] else "the session or token that came with it"
    return Verdict("attributed", f"{told}, for {who} (found by: {entry['attribution_source']}).{whose}")


_NO_IDS = (
    "No visitor, session or token came with the checkout or the webhook: let the page send faVisitorId, faSessionId or "
    "faAttributionToken when it creates the checkout."
)


def _why_unattributed(entry: Row, found: Found) -> str:
    if entry["session_id"] or entry["token"]:
        return "Only a session or a token is known; let the page send faVisitorId too."
    dropped = next((row["dropped"] for row in found.checkouts if row["dropped"]), None)
    if dropped:
        return f"The page sent {', '.join(dropped)} in a form that cannot be used (not text, or over 256 characters)."
    return _NO_IDS


def _why_held(hold: Row) -> str:
    why = HOLDS.get(hold["reason"], hold["reason"])
    note = f": {hold['note']}" if hold.get("note") else ""
    if hold["until"]:
        return f"{why}{note}. The next try is at {_when(hold['until'])}; nothing is lost."
    lift = f"`faurya-gateway holds lift {hold['site']}`"
    return f"{why}{note}. It is not tried until somebody lifts it with {lift}; nothing is lost."


def _why_skipped(entry: Row, delivery: Row) -> str:
    why = SKIPPED.get(delivery["reason"], delivery["reason"])
    return str(why).format(payment_id=entry["payment_id"])


def _why_pending(delivery: Row) -> str:
    if delivery["reason"]:
        return str(WAITING.get(delivery["reason"], delivery["reason"]))
    tries = f"after {_counted(delivery['attempts'], 'attempt')} " if delivery["attempts"] else ""
    return f"{tries}it is sent at {_when(delivery['due_at'])}"


def _last_answer(entry: Row, found: Found) -> str:
    place = (entry["connection"], entry["revenue_key"])
    own = [row for row in found.attempts if (row["connection"], row["revenue_key"]) == place]
    if not own:
        return ""
    code = own[-1]["status_code"]
    said = f": {own[-1]['answer'][:200]}" if own[-1]["answer"] else ""
    return f" ({f'status {code}' if code else 'no answer'}{said})"


def _advice(delivery: Row) -> str:
    if delivery["reason"] == "visitor_not_found":
        return (
            "Faurya does not know the visitor on this site: check that page and key belong to the same Faurya site, "
            f"then run {replay_command(delivery['revenue_key'])} (with --attribute VISITOR_ID for another visitor)."
        )
    return f"Correct what Faurya names, then run {replay_command(delivery['revenue_key'])}."


def _unbooked(found: Found) -> Verdict:
    """Tell of a checkout or of webhooks without money in the ledger."""
    unreadable = [row for row in found.webhooks if row["outcome"] == "unreadable"]
    waiting = [row for row in found.webhooks if row["outcome"] == "received"]
    ignored = [row for row in found.webhooks if row["outcome"] == "ignored"]
    if unreadable:
        row = unreadable[-1]
        return Verdict(
            "rejected",
            f"The webhook {_name(row)} is kept but could not be read: {row['detail'] or row['reason']}. "
            "It is read again when the provider sends it again; once its plugin can read it, run "
            f"{replay_command(row['event_key'])}.",
        )
    if waiting:
        row = waiting[-1]
        why = WAITING.get(row["reason"], "it is about to be read")
        return Verdict("pending", f"The webhook {_name(row)} is kept; {why}, at the latest at {_when(row['due_at'])}.")
    if ignored:
        row = next((row for row in reversed(ignored) if row["reason"] != "not_revenue"), ignored[-1])
        return Verdict(
            "not_revenue",
            f"The webhook {_name(row)} is kept and not counted: {IGNORED.get(row['reason'], row['reason'])}.",
        )
    if not found.checkouts:
        row = found.webhooks[-1]
        return Verdict("unknown", f"Only the text of the webhook {_name(row)} has this id: trace {row['event_key']}.")
    return _only_checkout(found)


def _only_checkout(found: Found) -> Verdict:
    checkout = found.checkouts[-1]
    made = _when(checkout["created_at"])
    if checkout["state"] == "failed":
        return Verdict("not_revenue", f"The checkout of {made} was not created: {checkout['problem']}.")
    return Verdict(
        "pending",
        f"The checkout was created at {made}, and no webhook about it has arrived: nobody has paid yet, or the "
        f"provider's webhooks do not reach this gateway.{_refused(found)}",
    )


def _name(row: Row) -> str:
    return str(row["event_type"] or row["event_id"] or row["id"])


def _refused(found: Found) -> str:
    if not found.refusals:
        return ""
    row = found.refusals[0]
    doctor = f"; {row['doctor']}" if row["doctor"] else ""
    return (
        f" {_counted(row['count'], 'webhook')} to {row['site']}/{row['connection']} refused, the last at "
        f"{_when(row['last_at'])} ({row['detail'] or row['reason']}{doctor})."
    )
