"""What earlier parts of a dry run would have changed: the database does not show it to the later ones."""

from collections.abc import Sequence

from gateway.domain.books import SALES, Books, Entry, refs_of
from gateway.domain.delivery import Status
from gateway.domain.revenue import RevenueEvent


class Foreseen:
    """Lines of one site's ledger as they would be, found by what later events refer to."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], dict[str, tuple[Entry, Status]]] = {}

    def note(self, entry: Entry, status: Status) -> None:
        """Remember a line that would be written or whose delivery would change."""
        payment, *subscription = refs_of(entry.event)
        self._known.setdefault((entry.connection, payment), {})[entry.event.key] = (entry, status)
        for ref in subscription if entry.event.kind in SALES else ():
            self._known.setdefault((entry.connection, ref), {entry.event.key: (entry, status)})  # the first is enough

    def tell(self, books: Books, events: Sequence[tuple[str, RevenueEvent]]) -> None:
        """Let the books know what is foreseen around these (connection, event) pairs."""
        for connection, event in events:
            for ref in refs_of(event):
                for entry, status in self._known.get((connection, ref), {}).values():
                    books.learn(entry, status)
