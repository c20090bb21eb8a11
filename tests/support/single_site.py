"""
Whether a statement stays within one site, judged by the plan that Postgres makes for it.

The plan is a generic one, so it holds for whatever arguments. Postgres has drawn its conclusions by then: where two
tables are joined by their site and one of them is limited to `$1`, so is the other. Citus goes by the same conclusions.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import asyncpg
import orjson

ONE = r"\(?(\$\d+|'[^']*')\)?(?:::text)?"
"""One value: a parameter that is no array, or a constant. A cast is written where a collation is another one's."""

WITH_SITE = """
SELECT relname FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid AND attname = 'site'
WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace ORDER BY relname
"""

Node = Mapping[str, Any]


async def tables_with_site(connection: asyncpg.Connection) -> list[str]:
    """Return the tables that have a column `site`."""
    return [row["relname"] for row in await connection.fetch(WITH_SITE)]


async def generic_plan(connection: asyncpg.Connection, sql: str) -> Node:
    """Return the plan of a statement for whatever arguments."""
    arguments = len((await connection.prepare(sql)).get_parameters())
    nothing = f"({', '.join(['NULL'] * arguments)})" if arguments else ""
    async with connection.transaction():
        # a bitmap writes the site down once for each of its branches
        await connection.execute("SET LOCAL plan_cache_mode = force_generic_plan; SET LOCAL enable_bitmapscan = off")
        await connection.execute(f"PREPARE looked_at AS {sql}")
        try:
            found = await connection.fetchval(f"EXPLAIN (VERBOSE, FORMAT JSON) EXECUTE looked_at{nothing}")
        finally:
            await connection.execute("DEALLOCATE looked_at")
    plan: Node = orjson.loads(found)[0]["Plan"]
    return plan


def sites_of(plan: Node, tables: Sequence[str]) -> set[str | None]:
    """
    Return to which sites the rows belong that a plan reads and writes: parameters and constants.

    None stands for rows of whatever site. Nothing at all comes back where no table with a site is looked at.
    """
    found: set[str | None] = set()
    for node in _nodes(plan):
        if node.get("Relation Name") not in tables:
            continue
        if node.get("Operation") == "Insert":
            found |= _inserted(node, plan, tables)
        elif node["Node Type"] != "ModifyTable":  # its rows come from a scan below it, which is judged
            found.add(_scanned(node))
    return found


def _nodes(plan: Node) -> Iterator[Node]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from _nodes(child)


def _scanned(node: Node) -> str | None:
    """Return the one site to which a scan is limited; being equal to another row's site limits it to none."""
    wanted = re.compile(rf"\(?{re.escape(node['Alias'])}\.site = {ONE}\)?")
    for kind in ("Index Cond", "Filter"):
        for condition in _all_of(node.get(kind, "")):
            if equal := wanted.fullmatch(condition):
                return equal[1]
    return None


def _inserted(node: Node, plan: Node, tables: Sequence[str]) -> set[str | None]:
    """Return the site for which rows are inserted; none of its own for rows that the statement itself has written."""
    (source,) = [child for child in node["Plans"] if child["Parent Relationship"] == "Outer"]
    site = source["Output"][0]  # it is the first column of every table
    if equal := re.fullmatch(ONE, site):
        return {equal[1]}
    if source["Node Type"] == "CTE Scan" and site == f"{source['Alias']}.site":
        (rows,) = [other for other in _nodes(plan) if other.get("Subplan Name") == f"CTE {source['CTE Name']}"]
        if rows.get("Relation Name") in tables and f"{rows['Alias']}.site" in rows["Output"]:
            return set()
    return {None}


def _all_of(condition: str) -> list[str]:
    """Return the parts of a condition that all have to hold."""
    if condition.startswith("(") and _closing(condition) == len(condition) - 1:
        condition = condition[1:-1]
    parts, depth, begin = [], 0, 0
    for at, character in enumerate(condition):
        depth += (character == "(") - (character == ")")
        if not depth and condition.startswith(" OR ", at):
            return []
        if not depth and condition.startswith(" AND ", at):
            parts.append(condition[begin:at])
            begin = at + len(" AND ")
    return [*parts, condition[begin:]]


def _closing(condition: str) -> int:
    depth = 0
    for at, character in enumerate(condition):
        depth += (character == "(") - (character == ")")
        if not depth:
            return at
    return -1
