"""How much of everything a run does: the whole, what fits into an hour, the quick form, and one of every line."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """Counts and lengths of every bench; the names say which."""

    rounds: int
    variants: bool
    """Also the worker apart, memory without a worker, and starts with an embedded Postgres."""
    warm_up: float
    """Of a round, before the first one counts."""
    webhooks: int
    """Of one round at full speed."""
    connections: int
    pgbench_seconds: int
    with_express: bool
    latency_rates: tuple[int, ...]
    latency_seconds: float
    pipeline_webhooks: int
    pipeline_rate: int
    pipeline_seconds: float
    pipeline_delays: tuple[int, ...]
    """Milliseconds that Faurya takes to answer."""
    history: tuple[int, ...]
    history_bodies: int
    """The newest rows of a history that still have their raw bytes; the others were purged."""
    backlog: tuple[int, int]
    claims: int
    traces: int
    burst_rate: int
    burst_seconds: float
    calm_seconds: float
    """Before the burst, to compare with."""
    drain_seconds: float
    """How long deliveries may take after the load ends before a bench gives up on them."""
    memory_webhooks: tuple[int, int]
    memory_delivered: tuple[int, int]
    """The same with the worker."""
    starts: int
    processes: tuple[int, ...]


FULL = Scale(
    rounds=5, variants=True, warm_up=0.1, webhooks=20_000, connections=64, pgbench_seconds=5, with_express=True,
    latency_rates=(50, 200, 1000), latency_seconds=30,
    pipeline_webhooks=10_000, pipeline_rate=200, pipeline_seconds=30, pipeline_delays=(0, 50),
    history=(0, 10_000, 1_000_000), history_bodies=1_000_000, backlog=(1_000, 1_000_000), claims=100, traces=50,
    burst_rate=3_500, burst_seconds=60, calm_seconds=30, drain_seconds=1800,
    memory_webhooks=(10_000, 1_000_000), memory_delivered=(10_000, 200_000), starts=7, processes=(1, 2),
)  # fmt: skip

HOUR = Scale(
    rounds=3, variants=True, warm_up=0.1, webhooks=20_000, connections=64, pgbench_seconds=5, with_express=True,
    latency_rates=(50, 200, 1000), latency_seconds=12,
    pipeline_webhooks=5_000, pipeline_rate=200, pipeline_seconds=8, pipeline_delays=(0, 50),
    history=(0, 10_000, 1_000_000), history_bodies=100_000, backlog=(1_000, 1_000_000), claims=100, traces=50,
    burst_rate=3_500, burst_seconds=60, calm_seconds=20, drain_seconds=900,
    memory_webhooks=(10_000, 1_000_000), memory_delivered=(10_000, 50_000), starts=5, processes=(1, 2),
)  # fmt: skip

QUICK = Scale(
    rounds=2, variants=True, warm_up=0.1, webhooks=3_000, connections=64, pgbench_seconds=2, with_express=True,
    latency_rates=(50, 200, 1000), latency_seconds=2.5,
    pipeline_webhooks=600, pipeline_rate=200, pipeline_seconds=3, pipeline_delays=(0,),
    history=(0, 10_000, 50_000), history_bodies=10_000, backlog=(1_000, 50_000), claims=50, traces=5,
    burst_rate=1_000, burst_seconds=4, calm_seconds=4, drain_seconds=60,
    memory_webhooks=(2_000, 10_000), memory_delivered=(1_000, 2_000), starts=2, processes=(1, 2),
)  # fmt: skip

TINY = Scale(
    rounds=1, variants=False, warm_up=0, webhooks=60, connections=8, pgbench_seconds=1, with_express=False,
    latency_rates=(100,), latency_seconds=0.3,
    pipeline_webhooks=20, pipeline_rate=50, pipeline_seconds=0.3, pipeline_delays=(0,),
    history=(500,), history_bodies=100, backlog=(50, 500), claims=3, traces=2,
    burst_rate=200, burst_seconds=0.4, calm_seconds=0.4, drain_seconds=20,
    memory_webhooks=(40, 80), memory_delivered=(20, 40), starts=1, processes=(1, 2),
)  # fmt: skip
