"""Which visitor a sale belongs to."""

from dataclasses import dataclass
from enum import StrEnum

from gateway.domain.text import checked_or_none

MAX_ATTRIBUTION = 256
"""Characters of one attribution value; longer ones are dropped where a browser sends them."""


class AttributionSource(StrEnum):
    """Where the attribution of a revenue event was found, in the order of trust."""

    CHECKOUT = "checkout"
    WEBHOOK = "webhook"
    PAYMENT = "payment"
    SUBSCRIPTION = "subscription"
    OPERATOR = "operator"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribution:
    """Faurya's ids of the visitor. The empty string counts as absent; longer or unstorable text is `Malformed`."""

    visitor_id: str | None = None
    session_id: str | None = None
    token: str | None = None

    def __post_init__(self) -> None:
        for field in ("visitor_id", "session_id", "token"):
            if (value := getattr(self, field)) is not None and checked_or_none(value, field, MAX_ATTRIBUTION) is None:
                object.__setattr__(self, field, None)

    def __bool__(self) -> bool:
        return bool(self.visitor_id or self.session_id or self.token)


NOBODY = Attribution()


def choose(candidates: list[tuple[AttributionSource, Attribution]]) -> tuple[AttributionSource, Attribution]:
    """
    Return the first candidate with a visitor id, else the first with anything, else nobody.

    Fields of two sources are never mixed: half of one visitor and half of another is a third person.
    """
    known = [(source, who) for source, who in candidates if who]
    named = [(source, who) for source, who in known if who.visitor_id]
    return (named or known or [(AttributionSource.NONE, NOBODY)])[0]
