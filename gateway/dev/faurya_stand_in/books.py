"""What the stand-in was told, in memory: recorded lines, refusals, and which ids it has seen."""

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from gateway.dev.faurya_stand_in.payments import Payment, Recorded, Refusal, Refused
from gateway.dev.faurya_stand_in.switches import Drop, Duplicate, Scope, Switches


@dataclass(slots=True, kw_only=True)
class Books:
    """The stand-in's memory. One event loop, no awaits inside: every method is one step."""

    now: Callable[[], datetime]
    switches: Switches
    recorded: list[Recorded] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    _seen: set[tuple[str | None, str, str, str]] = field(default_factory=set)
    _asked_for: defaultdict[tuple[str, str], int] = field(default_factory=lambda: defaultdict(int))

    def forget(self) -> None:
        """Start anew; the switches stay."""
        self.recorded.clear()
        self.refused.clear()
        self._seen.clear()
        self._asked_for.clear()

    def scripted_refusal(self) -> Refusal | None:
        """Return the answer that a switch orders for this call whatever it says, and count it down."""
        switches = self.switches
        if switches.next_times == 0:
            return None
        self._count_down("next_times")
        status = switches.next_status
        headers = switches.retry_after_header(self.now()) if status == 429 else {}
        if 300 <= status < 400:
            headers = {"Location": "https://www.faurya.test/elsewhere"}
        return Refusal(status, switches.next_message or f"ordered by a switch: {status}", headers)

    def cuts(self, when: Drop) -> bool:
        """Say whether the connection is to be cut at this point of the call, and count it down."""
        if self.switches.drop is not when or self.switches.drop_times == 0:
            return False
        self._count_down("drop_times")
        return True

    def _count_down(self, switch: str) -> None:
        self.switches = self.switches.model_copy(update={switch: getattr(self.switches, switch) - 1})

    def knows_visitor(self, site: str, visitor_id: str) -> bool:
        """Say whether a visitor is known by now."""
        if visitor_id in self.switches.unknown_visitors:
            return False
        return self._asked_for[site, visitor_id] >= self.switches.not_found_first

    def ask_for_visitor(self, site: str, visitor_id: str) -> None:
        """Raise `Refusal` 404 for a visitor that is not known; every asking brings it nearer."""
        known = self.knows_visitor(site, visitor_id)
        self._asked_for[site, visitor_id] += 1
        if not known:
            raise Refusal(404, "Visitor not found")

    def record(self, payment: Payment) -> Mapping[str, Any]:
        """Record a payment and return the body of the 200; raise `Refusal` where a duplicate is refused."""
        repeat = self._is_known(payment)
        match self.switches.duplicate if repeat else None:
            case Duplicate.BAD_REQUEST:
                raise Refusal(400, self.switches.duplicate_message)
            case Duplicate.CONFLICT:
                raise Refusal(409, "Conflict")
            case Duplicate.OK:
                self.refuse(payment.site, payment.path, 200, f"counted once: same {payment.unique_by}", "")
                return {"message": "Payment already recorded", "transaction_id": payment.payment_id}
        self.recorded.append(Recorded(at=self.now(), payment=payment, repeat=repeat))
        for name, value in payment.ids.items():
            self._seen |= {(payment.site, payment.path, name, value), (None, payment.path, name, value)}
        return {"message": "Payment recorded", "transaction_id": payment.payment_id}

    def _is_known(self, payment: Payment) -> bool:
        scope = payment.site if self.switches.unique_per is Scope.SITE else None
        value = payment.ids.get(payment.unique_by)
        return value is not None and (scope, payment.path, payment.unique_by, value) in self._seen

    def refuse(self, site: str | None, path: str, status: int, why: str, body: str) -> None:
        """Note a call that recorded nothing."""
        self.refused.append(Refused(at=self.now(), site=site, path=path, status=status, why=why, body=body))
