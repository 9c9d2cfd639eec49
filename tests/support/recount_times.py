"""The times and the date of a closing, found a second time from the accepted commands and the page on clocks."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

Body = dict[str, Any]


def times(accepted: Sequence[tuple[Body, str, str]]) -> Body:
    """What a closing says of clocks; `accepted` are the body, `received_at` and kind of each answer up to its last."""
    border, adjusted, closed_at, off = "", False, "", False
    (opening, opened_received, _), *rest = accepted
    opened_at = counted_time(opening, opened_received)
    state = "open"
    latest = [opened_at]
    for body, received_at, kind in rest:
        at = counted_time(body, received_at)
        if body["kind"] in {"move_cash", "void_movement", "record_order", "count_drawer"}:
            if _is_set(body):
                latest.append(at)
            adjusted = adjusted or (not _is_set(body) and state in {"session_suspended", "closing_pending"})
        if kind in {"closing_pending", "session_suspended", "session_resumed", "session_closed"}:
            state = kind
        if body["kind"] in {"close_session", "force_close"}:
            closed_at = max([at, *latest])
            off = closed_at != _written(body["occurred_at"])
        border = max(at, closed_at) if body["kind"] == "approve_closing" else border
    off = off or opened_at != _written(opening["occurred_at"])
    approved = border if accepted[-1][0]["kind"] == "approve_closing" else None
    return {"opened_at": opened_at, "closed_at": closed_at, "approved_at": approved, "clock_adjusted": off or adjusted}


def business_date(opening: Body, received_at: str, zone: str | None, starts_at: str) -> str:
    """The shop's day of an opening, by the clock on the wall in its zone or in the offset that it was written with."""
    if opening.get("business_date"):
        return str(opening["business_date"])
    wall = ZoneInfo(zone) if zone else datetime.fromisoformat(opening["occurred_at"]).tzinfo
    opened = datetime.fromisoformat(counted_time(opening, received_at)).astimezone(wall)
    day_before = opened.strftime("%H:%M") < starts_at
    return (opened.date() - timedelta(days=day_before)).isoformat()


def counted_time(body: Body, received_at: str) -> str:
    """When a command happened, as far as its register's clock can be believed."""
    occurred_at = _written(body["occurred_at"])
    return received_at if occurred_at > received_at or not _is_set(body) else occurred_at


def _is_set(body: Body) -> bool:
    return datetime.fromisoformat(body["occurred_at"]) >= datetime(2015, 1, 1, tzinfo=UTC)


def _written(time: str) -> str:
    return datetime.fromisoformat(time).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
