"""`/api/over-short`: what was over and short in a span of days, added up by person, till, day or week.

Each closing counts with its corrections, as it stands now, in its own currency; one of a voided session in no sum.
"""

from datetime import date, timedelta
from typing import Any, Final

from fastapi import FastAPI, Request, Response, Security
from fastapi.security import HTTPBearer
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.platform.auth.store_scope import StoreScope
from services.platform.http.query import read_list
from services.platform.http.replies import json_reply
from services.reporting.access import Callers, caller, visible_stores
from services.reporting.closings_api import STORE, bad, parameter, read_day, read_profile
from services.reporting.search import store_clauses

PATH: Final = "/api/over-short"
SPAN_DAYS_MAX: Final = 366
"""A year and its leap day: what is added up is in an index, and a chain's year is a million closings."""
GROUPS_MAX: Final = 1_000
"""Sums in one reply; the worst, or the first days."""

BY: Final = {
    "person": ("c.opened_by", "max(c.opened_by_name)", "short_minor, key"),
    "profile": ("c.store_id || '/' || c.profile_id", "NULL", "short_minor, key"),
    "day": ("CAST(c.business_date AS text)", "NULL", "key"),
    "week": ("CAST(CAST(date_trunc('week', c.business_date) AS date) AS text)", "NULL", "key"),
}
"""What sums are for: how it is told, what it is called, and the order of the sums."""

_OF_THE_DAYS: Final = """
    c.business_date >= :first AND c.business_date <= :last AND c.over_short_now_minor IS NOT NULL {more}
"""
_COLUMNS: Final = (
    "c.store_id, c.profile_id, c.opened_by, c.opened_by_name, c.business_date, c.currency, c.over_short_now_minor"
)
# Voided ones are taken away again instead of being left out: so the others are read in the index of their days alone.
_SUMS: Final = f"""
    SELECT {{key}} AS key, {{name}} AS name, c.currency, sum(c.closings) AS closings,
           coalesce(sum(c.closings) FILTER (WHERE c.over_short_now_minor <> 0), 0) AS off,
           CAST(coalesce(sum(c.closings * greatest(c.over_short_now_minor, 0)), 0) AS text) AS over_minor,
           CAST(coalesce(sum(c.closings * least(c.over_short_now_minor, 0)), 0) AS text) AS short,
           coalesce(sum(c.closings * least(c.over_short_now_minor, 0)), 0) AS short_minor,
           CAST(least(min(c.over_short_now_minor), 0) AS text) AS worst_minor
      FROM (SELECT {_COLUMNS}, 1 AS closings FROM reporting.closings AS c WHERE {_OF_THE_DAYS}
             UNION ALL
            SELECT {_COLUMNS}, -1 FROM reporting.corrections AS v JOIN reporting.closings AS c
                ON c.store_id = v.store_id AND c.closing_id = v.closing_id
             WHERE v.correction = 'session_voided' {{voided}} AND {_OF_THE_DAYS}) AS c
     GROUP BY 1, c.currency HAVING sum(c.closings) > 0 ORDER BY {{order}}, c.currency LIMIT {{limit}}
"""  # noqa: S608 - constants


def add_over_short(app: FastAPI, engine: AsyncEngine, callers: Callers) -> None:
    """Adds the path to `app`."""

    async def over_short(request: Request) -> Response:
        claims, params = caller(callers, request), request.query_params
        stores = visible_stores(claims, "store", read_list(params, "store"))
        by, profile_id = params.get("by", "person"), read_profile(params)
        if by not in BY:
            raise bad(f"by is one of {', '.join(BY)}")
        first, last = (read_day(params.get(name, ""), name) for name in ("from", "to"))
        if not timedelta(0) <= last - first < timedelta(days=SPAN_DAYS_MAX):
            raise bad(f"to is on or after from, and they are of at most {SPAN_DAYS_MAX} days")
        statement, values = sums_statement(stores, by, first, last, profile_id)
        async with engine.connect() as tx:
            rows = (await tx.execute(text(statement), values)).all()
        items = [_item(by, row) for row in rows[:GROUPS_MAX]]
        return json_reply({"by": by, "items": items, "more": len(rows) > GROUPS_MAX})

    app.add_api_route(
        PATH,
        over_short,
        summary="Add up what was over and short",
        openapi_extra=_DOCUMENTATION,
        response_model=None,
        dependencies=[Security(HTTPBearer(auto_error=False))],
    )


def sums_statement(
    stores: StoreScope, by: str, first: date, last: date, profile_id: str | None
) -> tuple[str, dict[str, Any]]:
    """The statement of the sums, and its values."""
    clauses, values = store_clauses(stores)
    if profile_id is not None:
        clauses.append("c.profile_id = :profile_id")
        values["profile_id"] = profile_id
    key, name, order = BY[by]
    more = "".join(f" AND {clause}" for clause in clauses)
    # Of its own: that a void is of its closing's store, the planner does not see where there are several.
    voided = "".join(f" AND {clause}" for clause in store_clauses(stores, "v.store_id")[0])
    statement = _SUMS.format(key=key, name=name, order=order, more=more, voided=voided, limit=GROUPS_MAX + 1)
    return statement, values | {"first": first, "last": last}


def _item(by: str, row: Any) -> dict[str, Any]:
    over, short = int(row.over_minor), int(row.short)
    names = {"name": row.name} if by == "person" else {}
    figures = {"over_minor": over, "short_minor": short, "net_minor": over + short, "worst_minor": int(row.worst_minor)}
    return {by: row.key, **names, "currency": row.currency, "closings": row.closings, "off": row.off, **figures}


_DOCUMENTATION: Final[dict[str, Any]] = {
    "description": "By who opened the session, by till, by business date or by its week (named by its Monday), for each"
    " currency: how many closings were counted, how many were off, what was over and what was short in cash, with their"
    " corrections; voided sessions count in no sum. People and tills come with the most that was short first, days and"
    " weeks in their order.",
    "parameters": [
        STORE,
        parameter("by", "What it is added up by.", enum=list(BY), default="person"),
        parameter("from", "The first business date.", required=True, format="date"),
        parameter("to", f"The last; at most {SPAN_DAYS_MAX} days in all.", required=True, format="date"),
        parameter("profile", "Only this profile."),
    ],
    "responses": {
        "200": {"description": f"{{by, items, more}}; more says that there are more than {GROUPS_MAX} sums."},
        "400": {"description": "A parameter is missing or can't be read; detail says which."},
        "401": {"description": "No valid bearer token."},
        "403": {"description": "The token does not allow one of the stores."},
        "503": {"description": "The database is away; try again."},
    },
}
