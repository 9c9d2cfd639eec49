"""What `GET /v1/cashier-sessions/` may be asked, read from its query string."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import urlencode

from starlette.datastructures import QueryParams

from contracts.times import moment, offset_of, read_time
from services.platform.errors import TillError
from services.platform.http.query import read_list

PATH: Final = "/v1/cashier-sessions/"
SPAN_H_MAX: Final = 48
LONG_SPAN_H_MAX: Final = 49
"""Two days have an hour more where clocks are put back in them; by the clock they are as long as any."""
SPAN: Final = timedelta(hours=SPAN_H_MAX)
LONG_SPAN: Final = timedelta(hours=LONG_SPAN_H_MAX)
PAGE_SIZE_MAX: Final = 100
PAGE_SIZE_DEFAULT: Final = 50
OWN: Final = {"page", "storeUUID"}
"""What a link to another page writes itself."""
PAGE_DIGITS_MAX: Final = 15
"""A page number of more digits is a mistake, and its offset no number that PostgreSQL takes."""


class BadQuery(TillError, ValueError):
    """The question can't be answered; the message is a sentence for the one who asked."""


@dataclass(frozen=True, slots=True)
class Query:
    """A page of the sessions closed in [start, end); empty `stores` are all that one may see."""

    start: datetime
    end: datetime
    stores: tuple[str, ...]
    page: int
    page_size: int


def read_query(params: QueryParams) -> Query:
    """The question that `params` ask. Raises BadQuery."""
    start, end = _timestamp(params, "startTimestamp"), _timestamp(params, "endTimestamp")
    if end < start:
        raise BadQuery("endTimestamp lies before startTimestamp.")
    if end - start > (LONG_SPAN if _by_the_clock(params) <= SPAN else SPAN):
        raise BadQuery(
            f"startTimestamp and endTimestamp must be at most {SPAN_H_MAX} hours apart, or {LONG_SPAN_H_MAX} where it"
            f" is {SPAN_H_MAX} by the clocks as they are written."
        )
    page_size = _integer(params, "pageSize", PAGE_SIZE_DEFAULT)
    if not 1 <= page_size <= PAGE_SIZE_MAX:
        raise BadQuery(f"pageSize must be between 1 and {PAGE_SIZE_MAX}.")
    return Query(
        start=_up_to_the_second(start),
        end=_up_to_the_second(end),
        stores=tuple(dict.fromkeys(read_list(params, "storeUUID"))),
        page=_integer(params, "page", 0),
        page_size=page_size,
    )


def link(params: QueryParams, page: int) -> str:
    """The path of the same question about another page."""
    others = [(name, value) for name, value in params.multi_items() if name.partition("[")[0] not in OWN]
    stores = [("storeUUID", store) for store in read_list(params, "storeUUID")]
    return f"{PATH}?{urlencode([*others, *stores, ('page', str(page))])}"


def _timestamp(params: QueryParams, name: str) -> datetime:
    text = params.get(name)
    if not text:
        raise BadQuery(f"{name} is required.")
    try:
        # An unescaped plus sign arrives as a space; no timestamp has one of its own.
        return moment(read_time(text.replace(" ", "+")))
    except ValueError as error:
        raise BadQuery(f"{name} can't be read: {error}, as in 2024-03-27T19:00:00-06:00.") from None


def _by_the_clock(params: QueryParams) -> timedelta:
    """How far apart the two are as they are written, whatever their offsets."""
    start, end = (_written(params, name) for name in ("startTimestamp", "endTimestamp"))
    return end - start


def _written(params: QueryParams, name: str) -> datetime:
    return _timestamp(params, name) + offset_of(params[name].replace(" ", "+"))


def _integer(params: QueryParams, name: str, default: int) -> int:
    text = params.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdecimal() and len(text) <= PAGE_DIGITS_MAX):
        raise BadQuery(f"{name} must be a whole number from 0, in at most {PAGE_DIGITS_MAX} digits.")
    return int(text)


def _up_to_the_second(time: datetime) -> datetime:
    """Sessions finish at whole seconds: those from 10:00:00.5 on are those from 10:00:01 on."""
    whole = time.replace(microsecond=0)
    return whole if whole == time else whole + timedelta(seconds=1)
