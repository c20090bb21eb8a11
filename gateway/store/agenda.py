"""When there is work. The one read on the working path that looks at several sites."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from gateway.domain.delivery import DESTINATION
from gateway.store.pool import Connection


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteAgenda:
    """When a site's next webhook is to be read, and when its next delivery may be attempted."""

    site: str
    read_at: datetime | None
    deliver_at: datetime | None


# A few index probes per site. A held site delivers when its next probe is due, and never while somebody probes.
AGENDA = """
SELECT asked.site,
    (SELECT min(due_at) FROM inbox
      WHERE inbox.site = asked.site AND due_at IS NOT NULL AND connection = ANY(asked.connections)) AS read_at,
    (SELECT CASE WHEN holds.site IS NULL THEN min(outbox.due_at)
                 WHEN min(outbox.due_at) IS NOT NULL THEN greatest(min(outbox.due_at), holds.until, holds.probe_until)
            END
       FROM outbox WHERE outbox.site = asked.site AND outbox.destination = $3 AND outbox.due_at IS NOT NULL
        AND outbox.connection = ANY(asked.connections) AND (holds.site IS NULL OR holds.until IS NOT NULL)
    ) AS deliver_at
FROM (SELECT site, array_agg(connection) AS connections FROM unnest($1::text[], $2::text[]) AS pair (site, connection)
      GROUP BY site) AS asked
LEFT JOIN holds ON holds.site = asked.site AND holds.destination = $3
"""


async def read(connection: Connection, places: Sequence[tuple[str, str]]) -> list[SiteAgenda]:
    """Return the agenda of these (site, connection) pairs; rows of connections no longer configured are left alone."""
    rows = await connection.fetch(AGENDA, [site for site, _ in places], [name for _, name in places], DESTINATION)
    return [SiteAgenda(**row) for row in rows]
