"""
The short form of the storms: one seed, a few faults, everything real. The long form is `make chaos`.

A machine that runs other tests meanwhile says nothing about rates, so only the history is judged here.
"""

from pathlib import Path

from tests.chaos import report
from tests.chaos.checker import check
from tests.chaos.plan import Plan
from tests.chaos.storm import run

SEED = 20261126
FAULTS = ("postgres_crashed", "faurya_erring", "gateway_killed", "connections_cut", "worker_killed", "duplicate_flood")


async def test_a_short_storm_loses_nothing_and_doubles_nothing_wrongly(tmp_path: Path) -> None:
    plan = Plan(seed=SEED, sales=300, rate=15.0, faults=FAULTS, swallowed=30, calm=0.5, recovery=1.5)
    result = await run(plan, tmp_path, lambda text: None)
    violations = check(result.history)
    assert not violations, report.text(result, violations)
    assert len(result.faults) == len(FAULTS)
    assert sum(movement.is_sale for movement in result.history.movements.values()) >= plan.sales
    assert result.swept.found == result.swept.swallowed >= plan.swallowed
