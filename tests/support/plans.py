"""How PostgreSQL carries a statement out when it has been prepared and called ten times: the plan that stays."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import TextClause
from sqlalchemy.ext.asyncio import AsyncEngine

CALLS = 10
_PARAMETER = re.compile(r"(?<![:\w]):(\w+)")


@dataclass(frozen=True)
class Plan:
    """The tenth call: its nodes, how many rows they saw at most, and how many pages of tables and indexes were read."""

    nodes: list[dict[str, Any]]
    ms: float

    @property
    def kinds(self) -> set[str]:
        return {node["Node Type"] for node in self.nodes}

    def kinds_of(self, table: str) -> set[str]:
        """How the rows of one table were come by."""
        return {node["Node Type"] for node in self.nodes if node.get("Relation Name") == table}

    @property
    def rows(self) -> int:
        """The most rows that one node handed out or threw away."""
        return max(
            int((node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"])
            for node in self.nodes
        )

    @property
    def pages(self) -> int:
        return int(self.nodes[0]["Shared Hit Blocks"] + self.nodes[0]["Shared Read Blocks"])


async def plan_of(engine: AsyncEngine, statement: TextClause | str, values: Mapping[str, Any]) -> Plan:
    """Prepare a statement on a connection of `engine`, call it ten times, and look at it."""
    sql = str(statement)
    names = list(dict.fromkeys(_PARAMETER.findall(sql)))
    numbered = _PARAMETER.sub(lambda match: f"${names.index(match[1]) + 1}", sql)
    name = f"plan_{uuid4().hex}"
    call = f"EXECUTE {name}({', '.join(_literal(values[each]) for each in names)})" if names else f"EXECUTE {name}"
    async with engine.connect() as connection:
        driver: Any = (await connection.get_raw_connection()).driver_connection
        await driver.execute(f"PREPARE {name} AS {numbered}")
        for _ in range(CALLS):
            await driver.execute(call)
        (root,) = await driver.fetchval(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {call}")
        await driver.execute(f"DEALLOCATE {name}")
    return Plan(list(_nodes(root["Plan"])), root["Execution Time"])


def _nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for child in node.get("Plans", ()):
        yield from _nodes(child)


def _literal(value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, list):
        kinds = {str: "::text[]", UUID: "::uuid[]"}
        kind = kinds.get(type(value[0]), "") if value else "::text[]"
        return f"ARRAY[{', '.join(map(_literal, value))}]{kind}"
    if isinstance(value, bytes):
        return f"'\\x{value.hex()}'::bytea"
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, str | UUID | date | datetime):
        return "'" + str(value).replace("'", "''") + "'"
    raise AssertionError(f"no literal for {value!r}")
