"""`/api/exports/{kind}`: the rows of an analysts' view as a file, sent while it is read.

An export holds a place and some megabytes, and the database only while a page is read. What fails on the way, a token
that was revoked too, ends the reply before its end: clients call that a failed download, and it is one.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from http import HTTPStatus
from typing import Any, Final

import structlog
from fastapi import FastAPI, HTTPException, Request, Response, Security
from fastapi.security import HTTPBearer
from prometheus_client import Counter, Gauge
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.datastructures import QueryParams

from services.platform.errors import TillError
from services.platform.http.event_stream import OpenReply, OpenStreams, Share
from services.platform.http.query import read_list
from services.platform.http.replies import NO_STORE, begun
from services.reporting.access import Callers, caller, visible_stores
from services.reporting.closings_api import FILTERS, STORE, bad, parameter, read_day, read_selection
from services.reporting.export_files import DECIMALS, DELIMITERS, MEDIA_TYPES, File, NoParquet, Style, new_file
from services.reporting.export_rows import KINDS, columns_of, pages
from services.reporting.search import Selection

PATH: Final = "/api/exports/{kind}"
EXPORTS_MAX: Final = 12
"""Exports that one process serves; more are asked to come again."""
EXPORTS_OF_SUBJECT_MAX: Final = 2
"""Exports of one subject in one process: two files at a time are as fast as ten."""
EXPORTS_OF_STORE_MAX: Final = 4
"""Exports that name one store in one process, whoever asks; a token of every store counts as a store."""
EXPORT_PAGES_MAX: Final = 2
"""Pages that are read and written at a time, by connections to the database and by threads: requests find room too."""
EXPORT_S_MAX: Final = 3_600.0
"""How long an export may take, in seconds: a million closings take minutes, so who takes longer hardly reads."""

OPEN: Final = Gauge("till_reporting_exports_running", "Exports that are being sent.")
ENDED: Final = Counter(
    "till_reporting_exports_total",
    "Exports that ended: whole, or cut_off before their end.",
    ["kind", "format", "outcome"],
)
REFUSED: Final = Counter(
    "till_reporting_exports_refused_total",
    "Exports that were refused because a share was taken: of the process, of a subject, of a store.",
    ["share"],
)

log = structlog.get_logger(__name__)


class CutOff(TillError):
    """An export took too long; it is not whole."""


class Exports:
    """The exports of one process."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._open = OpenStreams(REFUSED, "exports")
        self._turns = asyncio.Semaphore(EXPORT_PAGES_MAX)

    async def begin(self, subject: str, kind: str, style: Style, selected: Callable[[], Selection]) -> Response:
        """The file. Raises HTTPException: 503 where a share is taken, 501 where its format can't be written here.

        `selected` is asked before each page, and raises HTTPException once its bearer may see nothing.
        """
        shares = self._take(subject, selected())
        try:
            async with self._turns, self._engine.connect() as tx:
                columns = await columns_of(tx, kind)
            parts = self._parts(kind, style, new_file(columns, style), pages(self._engine, kind, columns, selected))
            # The first page is read before the reply begins: a database that is away is still a 503.
            body = await begun(parts)
        except NoParquet as missing:
            self._open.leave(shares)
            raise HTTPException(HTTPStatus.NOT_IMPLEMENTED, str(missing)) from None
        except BaseException:
            self._open.leave(shares)
            raise
        headers = {**NO_STORE, "content-disposition": f'attachment; filename="{kind}.{style.format}"'}
        leave = partial(self._open.leave, shares)
        return OpenReply(body, OPEN, leave, headers=headers, media_type=MEDIA_TYPES[style.format])

    def _take(self, subject: str, selection: Selection) -> list[Share]:
        stores = ["*"] if selection.stores.stores is None else selection.stores.stores
        limits: dict[Share, tuple[int, str]] = {
            ("process", ""): (EXPORTS_MAX, "in this process"),
            ("subject", subject): (EXPORTS_OF_SUBJECT_MAX, "of this subject"),
        }
        limits |= {("store", store): (EXPORTS_OF_STORE_MAX, f"of the store {store}") for store in stores}
        return self._open.take(limits)

    async def _parts(self, kind: str, style: Style, file: File, read: Any) -> AsyncGenerator[bytes, None]:
        ends_at, outcome = time.monotonic() + EXPORT_S_MAX, "cut_off"
        try:
            async with aclosing(read):
                # In a thread, as are the rows: the loop has others' requests to serve.
                part = await asyncio.to_thread(file.begin)
                while True:
                    async with self._turns:
                        page = await anext(read, None)
                        if page is None:
                            break
                        part += await asyncio.to_thread(file.rows, page.rows)
                    yield part
                    part = b""
                    if time.monotonic() >= ends_at:
                        raise CutOff(f"An export takes at most {EXPORT_S_MAX:.0f} s.")
            yield part + await asyncio.to_thread(file.end)
            outcome = "whole"
        finally:
            ENDED.labels(kind, style.format, outcome).inc()
            if outcome != "whole":
                log.warning("export_cut_off", kind=kind, format=style.format)


def add_exports(app: FastAPI, engine: AsyncEngine, callers: Callers) -> None:
    """Adds the path to `app`."""
    exports = Exports(engine)

    async def export(request: Request) -> Response:
        params, kind = request.query_params, request.path_params["kind"]

        def selected() -> Selection:
            claims = caller(callers, request)
            stores = visible_stores(claims, "store", read_list(params, "store"))
            first, last = (_day(params, name) for name in ("from", "to"))
            return replace(read_selection(params, stores), business_from=first, business_to=last)

        subject = caller(callers, request).bearer
        if kind not in KINDS:
            raise HTTPException(HTTPStatus.NOT_FOUND, f"There is no such export. There are {', '.join(KINDS)}.")
        style = Style(
            format=_one_of(params, "format", MEDIA_TYPES, "csv"),
            delimiter=_one_of(params, "delimiter", DELIMITERS, "comma"),
            mark=_one_of(params, "bom", ("true", "false"), "true") == "true",
            decimal=_one_of(params, "decimal", DECIMALS, "point"),
        )
        return await exports.begin(subject, kind, style, selected)

    app.add_api_route(
        PATH,
        export,
        summary="Get closings as a file",
        openapi_extra=_DOCUMENTATION,
        response_model=None,
        dependencies=[Security(HTTPBearer(auto_error=False))],
    )


def _day(params: QueryParams, name: str) -> Any:
    text = params.get(name)
    return None if text is None else read_day(text, name)


def _one_of(params: QueryParams, name: str, words: Any, otherwise: str) -> str:
    word = params.get(name, otherwise)
    if word not in words:
        raise bad(f"{name} is {' or '.join(words)}")
    return word


def _choice(name: str, description: str, words: Any, default: str) -> Any:
    return parameter(name, description, enum=list(words), default=default)


_DOCUMENTATION: Final[dict[str, Any]] = {
    "description": "The rows of an analysts' view, in the order of business dates. What is closed meanwhile is in the"
    " file where its business date lies ahead; who must miss nothing follows /api/changes. A reply without its end is a"
    " file that was cut off.",
    "parameters": [
        parameter("kind", "The view.", "path", enum=list(KINDS)),
        STORE,
        parameter("from", "The first business date.", format="date"),
        parameter("to", "The last one.", format="date"),
        *(one for one in FILTERS if not one["name"].startswith("business_")),
        _choice("format", "What the file is.", MEDIA_TYPES, "csv"),
        _choice("delimiter", "What parts cells of CSV.", DELIMITERS, "comma"),
        _choice("bom", "Whether CSV begins with the mark by which spreadsheets know UTF-8.", ("true", "false"), "true"),
        _choice(
            "decimal", "What parts decimals in CSV: point, or comma for spreadsheets that want one.", DECIMALS, "point"
        ),
    ],
    "responses": {
        "200": {
            "description": "The file.",
            "content": {kind.partition(";")[0]: {"schema": {"type": "string"}} for kind in MEDIA_TYPES.values()},
        },
        "400": {"description": "A parameter can't be read; detail says which."},
        "401": {"description": "No valid bearer token."},
        "403": {"description": "The token does not allow one of the stores."},
        "404": {"description": "There is no such view."},
        "501": {"description": "This service was installed without what writes Parquet."},
        "503": {"description": "The database is away, or too many exports are running; try again."},
    },
}
