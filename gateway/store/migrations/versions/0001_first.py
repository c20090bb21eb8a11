"""
The first schema.

Every key starts with `site`, so that the tables can be distributed by site. Text keys use the collation "C": bytes are
compared, so Python's sort order is the database's lock order. `due_at` doubles as the end of a lease: a claim moves it
forward, and a row whose worker died is due again by itself.

Revision ID: 0001
"""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

CHECKOUTS = """
CREATE TABLE checkouts (
    site            text COLLATE "C" NOT NULL,
    order_id        text COLLATE "C" NOT NULL,
    connection      text COLLATE "C" NOT NULL,
    plan            text NOT NULL,
    quantity        integer,
    checkout_id     text COLLATE "C",
    visitor_id      text COLLATE "C",
    session_id      text,
    token           text,
    dropped         text[] NOT NULL DEFAULT '{}',
    idempotency_key text COLLATE "C",
    request_hash    bytea NOT NULL,
    state           text NOT NULL CHECK (state IN ('creating', 'created', 'failed')),
    lease           uuid,
    lease_until     timestamptz,
    url             text,
    expires_at      timestamptz,
    problem         text,
    created_at      timestamptz NOT NULL,
    PRIMARY KEY (site, order_id)
)
"""

INBOX = """
CREATE TABLE inbox (
    site         text COLLATE "C" NOT NULL,
    connection   text COLLATE "C" NOT NULL,
    event_key    text COLLATE "C" NOT NULL,
    id           uuid NOT NULL,
    event_id     text COLLATE "C",
    event_type   text,
    method       text NOT NULL,
    headers      bytea,
    query        text,
    body         bytea,
    received_at  timestamptz NOT NULL,
    last_seen_at timestamptz NOT NULL,
    remote_ip    text,
    proof        text NOT NULL,
    seen         integer NOT NULL,
    outcome      text NOT NULL CHECK (outcome IN ('received', 'booked', 'ignored', 'unreadable')),
    reason       text,
    detail       text,
    attempts     integer NOT NULL DEFAULT 0,
    due_at       timestamptz,
    lease        uuid,
    waits_for    text COLLATE "C",
    refs         text[] NOT NULL DEFAULT '{}',
    PRIMARY KEY (site, connection, event_key),
    CHECK ((outcome = 'received') = (due_at IS NOT NULL))
)
"""

LEDGER = """
CREATE TABLE ledger (
    site               text COLLATE "C" NOT NULL,
    connection         text COLLATE "C" NOT NULL,
    revenue_key        text COLLATE "C" NOT NULL,
    plugin             text NOT NULL,
    kind               text NOT NULL CHECK (kind IN ('purchase', 'renewal', 'refund', 'refund_reversal')),
    payment_id         text COLLATE "C" NOT NULL,
    order_id           text COLLATE "C",
    carries_order      boolean NOT NULL,
    checkout_id        text COLLATE "C",
    subscription_id    text COLLATE "C",
    account            text,
    amount_minor       bigint NOT NULL,
    currency           text NOT NULL,
    tax_minor          bigint,
    net_minor          bigint,
    cumulative         boolean NOT NULL,
    items              text[] NOT NULL,
    visitor_id         text COLLATE "C",
    session_id         text,
    token              text,
    attribution_source text NOT NULL,
    cause              text,
    test               boolean NOT NULL,
    source             text NOT NULL CHECK (source IN ('webhook', 'sweep')),
    event_key          text COLLATE "C",
    occurred_at        timestamptz NOT NULL,
    booked_at          timestamptz NOT NULL,
    PRIMARY KEY (site, connection, revenue_key)
)
"""

OUTBOX = """
CREATE TABLE outbox (
    site          text COLLATE "C" NOT NULL,
    connection    text COLLATE "C" NOT NULL,
    revenue_key   text COLLATE "C" NOT NULL,
    destination   text COLLATE "C" NOT NULL,
    api           text NOT NULL,
    payment_id    text COLLATE "C" NOT NULL,
    is_sale       boolean NOT NULL,
    order_id_sent text NOT NULL,
    basis         text NOT NULL,
    amount_minor  bigint,
    amount_unit   text NOT NULL,
    currency      text NOT NULL,
    status        text NOT NULL CHECK (status IN ('pending', 'recorded', 'already_recorded', 'recorded_assumed',
                                                  'unattributed', 'skipped', 'rejected', 'dead')),
    reason        text,
    attempts      integer NOT NULL DEFAULT 0,
    spent         integer NOT NULL DEFAULT 0,
    due_at        timestamptz,
    lease         uuid,
    recorded_at   timestamptz,
    created_at    timestamptz NOT NULL,
    PRIMARY KEY (site, connection, revenue_key, destination),
    CHECK (due_at IS NULL OR status = 'pending')
)
"""

ATTEMPTS = """
CREATE TABLE attempts (
    site         text COLLATE "C" NOT NULL,
    connection   text COLLATE "C" NOT NULL,
    revenue_key  text COLLATE "C" NOT NULL,
    destination  text COLLATE "C" NOT NULL,
    number       integer NOT NULL,
    started_at   timestamptz NOT NULL,
    status_code  integer,
    verdict      text,
    answer       text,
    milliseconds integer,
    PRIMARY KEY (site, connection, revenue_key, destination, number)
)
"""

HOLDS = """
CREATE TABLE holds (
    site        text COLLATE "C" NOT NULL,
    destination text COLLATE "C" NOT NULL,
    since       timestamptz NOT NULL,
    until       timestamptz,
    reason      text NOT NULL,
    probes      integer NOT NULL DEFAULT 0,
    probe_until timestamptz,
    PRIMARY KEY (site, destination)
)
"""

REFUSALS = """
CREATE TABLE refusals (
    site        text COLLATE "C" NOT NULL,
    connection  text COLLATE "C" NOT NULL,
    count       bigint NOT NULL,
    first_at    timestamptz NOT NULL,
    last_at     timestamptz NOT NULL,
    reason      text NOT NULL,
    detail      text NOT NULL,
    seconds_off integer,
    remote_ip   text,
    doctor      text,
    doctor_at   timestamptz,
    doctor_matched boolean,
    PRIMARY KEY (site, connection)
)
"""

SITES = """
CREATE TABLE sites (
    site       text COLLATE "C" PRIMARY KEY,
    created_at timestamptz NOT NULL
)
"""

INDEXES = (
    "CREATE UNIQUE INDEX checkouts_idempotency ON checkouts (site, idempotency_key) WHERE idempotency_key IS NOT NULL",
    "CREATE INDEX checkouts_checkout ON checkouts (site, connection, checkout_id) WHERE checkout_id IS NOT NULL",
    "CREATE INDEX checkouts_visitor ON checkouts (site, visitor_id) WHERE visitor_id IS NOT NULL",
    "CREATE INDEX inbox_due ON inbox (site, due_at) WHERE due_at IS NOT NULL",
    "CREATE INDEX inbox_waiting ON inbox (site, connection, waits_for) WHERE waits_for IS NOT NULL",
    "CREATE INDEX inbox_received ON inbox (site, connection, received_at)",
    "CREATE INDEX inbox_raw ON inbox (site, received_at) WHERE body IS NOT NULL",
    "CREATE INDEX inbox_event ON inbox (site, event_id) WHERE event_id IS NOT NULL",
    "CREATE INDEX inbox_refs ON inbox USING gin (refs) WHERE refs <> '{}'",
    "CREATE INDEX ledger_payment ON ledger (site, connection, payment_id)",
    "CREATE INDEX ledger_subscription ON ledger (site, connection, subscription_id) WHERE subscription_id IS NOT NULL",
    "CREATE INDEX ledger_event ON ledger (site, connection, event_key) WHERE event_key IS NOT NULL",
    "CREATE INDEX ledger_order ON ledger (site, order_id) WHERE order_id IS NOT NULL",
    "CREATE INDEX ledger_visitor ON ledger (site, visitor_id) WHERE visitor_id IS NOT NULL",
    "CREATE UNIQUE INDEX ledger_order_once ON ledger (site, order_id) WHERE carries_order",
    "CREATE INDEX outbox_due ON outbox (site, due_at) WHERE due_at IS NOT NULL",
    "CREATE INDEX outbox_payment ON outbox (site, connection, payment_id)",
    "CREATE INDEX attempts_recent ON attempts (site, destination, started_at)",
)


def upgrade() -> None:
    """Create the tables, one statement at a time: asyncpg refuses several in one."""
    for table in (CHECKOUTS, INBOX, LEDGER, OUTBOX, ATTEMPTS, HOLDS, REFUSALS, SITES):
        op.execute(table)
    for index in INDEXES:
        op.execute(index)


def downgrade() -> None:
    """Drop everything: only an empty gateway goes back from its first schema."""
    for table in ("sites", "refusals", "holds", "attempts", "outbox", "ledger", "inbox", "checkouts"):
        op.execute(f"DROP TABLE {table}")
