"""
Sweeps, watched checkouts, readings that were lost with their process, and what an operator says of a hold.

It only adds, so that the previous version goes on working on this schema while a deployment rolls. The three indexes on
existing tables can be built beforehand with CREATE INDEX CONCURRENTLY under the same names, where the tables are large.

Revision ID: 0002
"""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

# `watermark`: the provider's list was read completely up to here. `since`, `cursor` and `progress` are those of a sweep
# under way, so that one which broke off goes on at its page. Money from before `begins_at` was never this gateway's to
# record. The counts are those of the last sweep that came to its end.
SWEEPS = """
CREATE TABLE sweeps (
    site         text COLLATE "C" NOT NULL,
    connection   text COLLATE "C" NOT NULL,
    begins_at    timestamptz NOT NULL,
    watermark    timestamptz,
    since        timestamptz,
    cursor       text,
    progress     text,
    due_at       timestamptz NOT NULL,
    lease        uuid,
    failures     integer NOT NULL DEFAULT 0,
    problem      text,
    started_at   timestamptz,
    finished_at  timestamptz,
    listed       integer NOT NULL DEFAULT 0,
    already      integer NOT NULL DEFAULT 0,
    booked       integer NOT NULL DEFAULT 0,
    waiting      integer NOT NULL DEFAULT 0,
    other_site   integer NOT NULL DEFAULT 0,
    test         integer NOT NULL DEFAULT 0,
    differing    integer NOT NULL DEFAULT 0,
    differences  text,
    booked_total bigint NOT NULL DEFAULT 0,
    booked_at    timestamptz,
    PRIMARY KEY (site, connection)
)
"""

WATCHES = """
CREATE TABLE watches (
    site        text COLLATE "C" NOT NULL,
    order_id    text COLLATE "C" NOT NULL,
    connection  text COLLATE "C" NOT NULL,
    checkout_id text COLLATE "C" NOT NULL,
    looks       integer NOT NULL DEFAULT 0,
    due_at      timestamptz NOT NULL,
    lease       uuid,
    PRIMARY KEY (site, order_id)
)
"""

STATEMENTS = (
    SWEEPS,
    WATCHES,
    "CREATE INDEX watches_due ON watches (site, connection, due_at)",
    "ALTER TABLE inbox ADD COLUMN lost integer NOT NULL DEFAULT 0",
    "ALTER TABLE holds ADD COLUMN note text",
    "CREATE INDEX IF NOT EXISTS inbox_unreadable ON inbox (site, received_at) WHERE outcome = 'unreadable'",
    """
    CREATE INDEX IF NOT EXISTS outbox_stuck ON outbox (site, created_at)
    WHERE status IN ('rejected', 'dead', 'unattributed')
    """,
    """
    CREATE INDEX IF NOT EXISTS ledger_checkout ON ledger (site, connection, checkout_id)
    WHERE checkout_id IS NOT NULL
    """,
)


def upgrade() -> None:
    """Add, one statement at a time: asyncpg refuses several in one."""
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    """Take away what was added; the ledger does not change."""
    for statement in (
        "DROP INDEX IF EXISTS ledger_checkout",
        "DROP INDEX IF EXISTS outbox_stuck",
        "DROP INDEX IF EXISTS inbox_unreadable",
        "ALTER TABLE holds DROP COLUMN note",
        "ALTER TABLE inbox DROP COLUMN lost",
        "DROP TABLE watches",
        "DROP TABLE sweeps",
    ):
        op.execute(statement)
