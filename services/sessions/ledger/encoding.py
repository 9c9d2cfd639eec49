"""How sessions lie in their rows: JSON as bytes, in the order that the rules keep it in."""

from dataclasses import fields
from functools import lru_cache
from typing import Any

import orjson

from contracts.record_classes import plain
from contracts.records import Actor, Tender
from services.sessions.rules.model import (
    NOTHING_CARRIED,
    Attempt,
    Carried,
    Ended,
    LeftTender,
    Opening,
    RegisterSequence,
    Session,
)
from services.sessions.rules.totals import PROVIDER_CELLS, TENDER_CELLS, Cells, Pair, Tenders, Totals

NOTHING_ENDED = b"{}"
_TENDERS_CACHED_MAX = 2_048
_OPENINGS_CACHED_MAX = 8_192


def tenders_row(opening: Opening) -> bytes:
    """The tenders that a session was opened with, and the base currency that their rates lead to."""
    tenders = [plain(tender) for tender in opening.first_tenders]
    return orjson.dumps({"currency": opening.currency, "tenders": tenders})


@lru_cache(_TENDERS_CACHED_MAX)
def read_tenders(row: bytes) -> Tenders:
    """The frozen tenders in a row. Cached: the sessions of a shop mostly have the same ones."""
    frozen = orjson.loads(row)
    return Tenders([Tender(**tender) for tender in frozen["tenders"]], frozen["currency"])


def opening_row(opening: Opening) -> bytes:
    """What else was frozen at the opening, and the tenders that came after it."""
    return orjson.dumps(
        [
            opening.currency,
            opening.opened_at,
            opening.opened_by.id,
            opening.opened_by.name,
            opening.business_date,
            opening.session_number,
            opening.station,
            opening.note,
            opening.notes,
            opening.own_provider,
            opening.store_name,
            opening.profile_name,
            opening.company_id,
            opening.time_zone,
            _carried_row(opening.carried),
            opening.carried.sequence,
            opening.follows_profile,
            [plain(tender) for tender in opening.added],
        ]
    )


@lru_cache(_OPENINGS_CACHED_MAX)
def read_opening(row: bytes, tenders_row: bytes) -> Opening:
    """The opening in a row of `sessions`. Cached: an open session is loaded by batch after batch."""
    (
        currency,
        opened_at,
        by_id,
        by_name,
        date,
        number,
        station,
        note,
        notes,
        own,
        store,
        profile,
        company,
        *since,  # Sessions that were opened before there were zones, what was carried, or added tenders have none.
    ) = orjson.loads(row)
    tenders, added = read_tenders(tenders_row), since[4] if len(since) > 4 else ()
    if added:
        added = [Tender(**tender) for tender in added]
        tenders = Tenders((*tenders.tenders.values(), *added), currency)
    return Opening(
        currency=currency,
        tenders=tenders,
        opened_at=opened_at,
        opened_by=Actor(id=by_id, name=by_name),
        business_date=date,
        session_number=number,
        station=station,
        note=note,
        notes=tuple(notes),
        own_provider=own,
        store_name=store,
        profile_name=profile,
        company_id=company,
        time_zone=since[0] if since else None,
        carried=_read_carried(*since[1:3]) if len(since) > 1 else NOTHING_CARRIED,
        follows_profile=since[3] if len(since) > 3 else False,
        added=tuple(added),
    )


def _carried_row(carried: Carried) -> list[Any] | None:
    if carried == NOTHING_CARRIED:
        return None
    return [carried.session_id, carried.amounts, [list(left) for left in carried.not_carried]]


def _read_carried(row: list[Any] | None, sequence: int | None = None) -> Carried:
    if row is None:
        return NOTHING_CARRIED
    session_id, amounts, not_carried = row
    return Carried(session_id, amounts, tuple(LeftTender(*left) for left in not_carried), sequence)


def totals_row(totals: Totals) -> bytes:
    """The running totals. Rows keep the order in which orders brought them: the first 200 keys stay for good."""
    return orjson.dumps(
        [
            totals.tenders,
            totals.providers,
            totals.order_types,
            [[*pair, *cells] for pair, cells in totals.discounts.items()],
            [[*pair, *cells] for pair, cells in totals.service_charges.items()],
            totals.store,
            totals.others,
            str(totals.bound),
            totals.sales,
            [[*pair, *cells] for pair, cells in totals.taxes.items()],
            totals.staff,
            totals.staff_names,
        ]
    )


def read_totals(row: bytes) -> Totals:
    """The running totals in a row of `sessions`."""
    tenders, providers, order_types, discounts, charges, store, others, bound, *since = orjson.loads(row)
    totals = Totals(
        tenders,
        providers,
        order_types,
        _pairs(discounts),
        _pairs(charges),
        store,
        others,
        int(bound),
    )
    if since:
        totals.sales, taxes, totals.staff, totals.staff_names = since
        totals.taxes = _pairs(taxes)
    else:
        _widen(totals)
    return totals


def _widen(totals: Totals) -> None:
    """What the version before did not count is 0."""
    for rows, width in ((totals.tenders, TENDER_CELLS), (totals.providers, PROVIDER_CELLS)):
        for cells in rows.values():
            cells.extend([0] * (width - len(cells)))


def ending_row(session: Session) -> bytes:
    """How far the session is on its way to its end: suspension, the latest attempt to close it, its closing."""
    if session.suspended_at is None and session.attempt is None and session.ended is None:
        return NOTHING_ENDED
    attempt, ended = session.attempt, session.ended
    return orjson.dumps(
        {
            "suspended_at": session.suspended_at,
            "attempt": None if attempt is None else {**_fields(attempt), "closed_by": plain(attempt.closed_by)},
            "ended": None if ended is None else _fields(ended),
        }
    )


def read_ending(session: Session, row: bytes) -> None:
    """Give a session what `ending_row` wrote of it."""
    if row == NOTHING_ENDED:
        return
    ending = orjson.loads(row)
    attempt, ended = ending["attempt"], ending["ended"]
    session.suspended_at = ending["suspended_at"]
    if attempt is not None:
        attempt["closed_by"] = Actor(**attempt["closed_by"])
        attempt["notes"] = tuple(attempt["notes"])
        session.attempt = Attempt(**attempt)
    if ended is not None:
        session.ended = Ended(**ended)


def _fields(part: Attempt | Ended) -> dict[str, Any]:
    return {member.name: getattr(part, member.name) for member in fields(part)}


def register_row(register: RegisterSequence) -> bytes:
    """What the register said of itself: its numbers, and its clock."""
    return orjson.dumps([register.first, register.last, register.gaps, register.latest_at, register.clock_adjusted])


def read_register(row: bytes) -> RegisterSequence:
    """The register's numbers and clock in a row of `sessions`."""
    return RegisterSequence(*orjson.loads(row))


def _pairs(rows: list[list[Any]]) -> dict[Pair, Cells]:
    return {(first, second): cells for first, second, *cells in rows}
