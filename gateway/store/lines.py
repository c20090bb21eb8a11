"""Lines of the ledger by their time, for a person who compares them with the provider's own list."""

from dataclasses import dataclass
from datetime import datetime

from gateway.domain.money import Money
from gateway.store.pool import Connection


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A booked movement, as far as it is compared."""

    key: str
    payment_id: str
    amount: Money
    occurred_at: datetime
    cumulative: bool


# It reads all lines of the connection: an index by time would be one more for every booking, for a rare command.
BETWEEN = """
SELECT revenue_key, payment_id, amount_minor, currency, occurred_at, cumulative FROM ledger
WHERE site = $1 AND connection = $2 AND occurred_at >= $3 AND occurred_at <= $4
ORDER BY occurred_at, revenue_key
"""


async def between(connection: Connection, site: str, name: str, since: datetime, until: datetime) -> list[Line]:
    """Return the movements that occurred between two moments, both included."""
    rows = await connection.fetch(BETWEEN, site, name, since, until)
    return [
        Line(
            key=row["revenue_key"],
            payment_id=row["payment_id"],
            amount=Money(row["amount_minor"], row["currency"]),
            occurred_at=row["occurred_at"],
            cumulative=row["cumulative"],
        )
        for row in rows
    ]
