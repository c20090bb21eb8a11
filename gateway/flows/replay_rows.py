"""The rows of a replay's plan: what each delivery or webhook is now, and what it would become. Values and words."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gateway.domain.books import Entry
from gateway.domain.delivery import Reason, Status
from gateway.domain.replay import Decision, Ended, LeftAlone, TakenUp
from gateway.flows.verdict import SKIPPED, replay_command
from gateway.store.inbox import Outcome
from gateway.store.replays import Unread

NEVER_SENT = {
    Reason.NO_VISITOR_ID: "Faurya's payments API needs a visitor id",
    Reason.SALE_NOT_RECORDED: "the sale that it belongs to is not recorded in Faurya",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryRow:
    """One delivery and what is decided about it."""

    site: str
    decision: Decision

    @property
    def delivery(self) -> Ended:
        """The delivery as it is now."""
        return self.decision.delivery

    @property
    def changes(self) -> bool:
        """Whether it would be taken up."""
        return isinstance(self.decision, TakenUp)

    @property
    def is_problem(self) -> bool:
        """Whether it was asked for and somebody must mend something first."""
        return isinstance(self.decision, LeftAlone) and self.decision.is_problem

    @property
    def may_double(self) -> bool:
        """Whether Faurya may count it twice."""
        return isinstance(self.decision, TakenUp) and self.decision.may_double

    @property
    def before(self) -> str:
        """What it is now, in a few words."""
        row = self.delivery
        tries = f", {row.attempts} attempt{'' if row.attempts == 1 else 's'}" if row.attempts else ""
        spent = f" ({row.spent} spent)" if row.spent else ""
        return _with_reason(row.status.value, row.reason) + tries + spent

    @property
    def after(self) -> str:
        """What it would be, in a few words; for one that is left alone, why."""
        decision = self.decision
        if isinstance(decision, LeftAlone):
            return _why(self.site, decision)
        text = _with_reason("pending", decision.reason) if decision.reason else "pending: due now"
        text += ", none spent" if self.delivery.spent else ""
        return text + (f", visitor {decision.entry.attribution.visitor_id}" if decision.is_named else "")

    def as_json(self) -> dict[str, Any]:
        """Return the row as JSON has it."""
        row, entry = self.delivery, self.delivery.entry
        common = {
            **_movement(self.site, entry),
            "before": {**_standing(row.status, row.reason, row.spent, entry), "attempts": row.attempts},
        }
        decision = self.decision
        if isinstance(decision, LeftAlone):
            return {**common, "why": decision.why, "text": self.after, "is_problem": decision.is_problem}
        then = {**_standing(Status.PENDING, decision.reason, 0, decision.entry), "attempts": row.attempts}
        return {**common, "after": then, "may_double_count": decision.may_double}


@dataclass(frozen=True, slots=True, kw_only=True)
class HeirRow:
    """A sale or refund that inherits the visitor of a sale named by an operator, and whether it is sent now too."""

    site: str
    before: Ended
    now: Ended

    @property
    def after(self) -> str:
        """What it would be, in a few words."""
        return (
            f"{_with_reason(self.now.status.value, self.now.reason)}, visitor {self.now.entry.attribution.visitor_id}"
        )

    def as_json(self) -> dict[str, Any]:
        """Return the row as JSON has it."""
        return {
            **_movement(self.site, self.now.entry),
            "before": _standing(self.before.status, self.before.reason, self.before.spent, self.before.entry),
            "after": _standing(self.now.status, self.now.reason, self.now.spent, self.now.entry),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookRow:
    """
    One unreadable webhook and how today's plugin reads it: where it would end and what it would book.

    Where it is left alone, `outcome` is None and `why` says why; `unread` holds no body any more.
    """

    site: str
    unread: Unread
    outcome: Outcome | None = None
    books: Sequence[Entry] = ()
    why: str = ""

    @property
    def place(self) -> tuple[str, str]:
        """The connection's name and the webhook's key."""
        return self.unread.webhook.connection, self.unread.webhook.event_key

    @property
    def changes(self) -> bool:
        """Whether it would be read again."""
        return self.outcome is not None

    @property
    def is_problem(self) -> bool:
        """Whether somebody must mend something first."""
        return self.outcome is None

    @property
    def before(self) -> str:
        """What it is now, in a few words."""
        return f"unreadable: {self.unread.reason}"

    @property
    def after(self) -> str:
        """What it would be, in a few words; for one that is left alone, why."""
        if self.outcome is None:
            return self.why
        money = ", ".join(f"{entry.event.key} {entry.event.amount}" for entry in self.books)
        what = money or self.outcome.reason
        text = f"{self.outcome.outcome}: {what}" if what else self.outcome.outcome
        return f"{text}: {self.outcome.detail}" if self.outcome.detail else text

    def as_json(self) -> dict[str, Any]:
        """Return the row as JSON has it."""
        webhook, after = self.unread.webhook, self.outcome
        row = {
            "site": self.site,
            "connection": webhook.connection,
            "event_key": webhook.event_key,
            "event_id": webhook.event_id,
            "event_type": webhook.event_type,
            "received_at": webhook.received_at.isoformat(),
            "before": {"outcome": "unreadable", "reason": self.unread.reason, "detail": self.unread.detail},
        }
        if after is None:
            return {**row, "text": self.why, "is_problem": True}
        books = [{**_movement(self.site, entry), "visitor_id": entry.attribution.visitor_id} for entry in self.books]
        return {
            **row,
            "after": {"outcome": after.outcome, "reason": after.reason, "detail": after.detail},
            "books": books,
        }


Row = DeliveryRow | WebhookRow | HeirRow


def _movement(site: str, entry: Entry) -> dict[str, Any]:
    event = entry.event
    return {
        "site": site,
        "connection": entry.connection,
        "key": event.key,
        "kind": event.kind.value,
        "payment_id": event.payment_id,
        "amount_minor": event.amount.minor,
        "currency": event.amount.currency,
    }


def _standing(status: Status, reason: Reason | None, spent: int, entry: Entry) -> dict[str, Any]:
    return {
        "status": status.value,
        "reason": reason.value if reason else None,
        "spent": spent,
        "visitor_id": entry.attribution.visitor_id,
        "attribution_source": entry.attribution_source.value,
    }


def _with_reason(word: str, reason: Reason | None) -> str:
    return f"{word}: {reason.value}" if reason else word


def _why(site: str, left: LeftAlone) -> str:
    entry = left.delivery.entry
    match left.why:
        case "recorded" if left.is_problem:
            return "it is recorded in Faurya already, and Faurya cannot give a recorded sale a visitor afterwards"
        case "recorded":
            return "it is recorded in Faurya"
        case "on_its_way" if left.is_problem:
            return "it was tried already and is on its way: a visitor can be named before the first try, or at the end"
        case "on_its_way":
            return "it is on its way"
        case "gone":
            return f"the connection {site}/{entry.connection} is not configured any more, or its plugin is missing"
        case "no_visitor":
            return f"{NEVER_SENT[Reason.NO_VISITOR_ID]}: {replay_command(entry.event.key, attribute=True)}"
        case "sale_first":
            sale = replay_command(entry.event.payment_id)
            return f"{NEVER_SENT[Reason.SALE_NOT_RECORDED]}; once it is, this one follows by itself: {sale}"
        case _:
            return SKIPPED[str(left.after)].format(payment_id=entry.event.payment_id)
