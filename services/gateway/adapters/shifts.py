"""The Shifts API: a cashier's own shift is the session of the till that the user works at."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated, Any, Final

import orjson
from fastapi import APIRouter, Depends, Request, Response
from sqlalchemy import text

from contracts.limits import Text
from contracts.money import AMOUNT_MAX, CURRENCY_EXPONENTS
from contracts.times import moment
from services.gateway import ledger_queries
from services.gateway.access.callers import ByToken, Caller
from services.gateway.adapters.amounts import as_sent, whole_number
from services.gateway.adapters.base import AdapterRequest, Answer, named_store, passwords_of, read_json
from services.gateway.adapters.documented import documented
from services.gateway.adapters.errors import Refused, shaped
from services.gateway.ledger_queries import ProfileRow
from services.gateway.resources import Resources, resources
from services.platform.auth.store_scope import StoreRefused, StoreScope, scope_of
from services.platform.http.replies import json_reply
from services.platform.money_text import json_amount
from services.sessions.rules.model import Session

ROLES: Final = frozenset({"admin", "manager", "cashier"})
MOVEMENTS: Final = {"cash_in": "pay_in", "cash_out": "pay_out"}

STATUS: Final[Mapping[str, HTTPStatus]] = {
    "unauthenticated": HTTPStatus.UNAUTHORIZED,
    "forbidden": HTTPStatus.FORBIDDEN,
    "malformed": HTTPStatus.UNPROCESSABLE_ENTITY,
    "amount_invalid": HTTPStatus.UNPROCESSABLE_ENTITY,
    "tender_unknown": HTTPStatus.UNPROCESSABLE_ENTITY,
    "command_id_reused": HTTPStatus.UNPROCESSABLE_ENTITY,
    "session_unknown": HTTPStatus.NOT_FOUND,
    "session_closed": HTTPStatus.NOT_FOUND,
    "session_voided": HTTPStatus.NOT_FOUND,
    "awaiting_approval": HTTPStatus.NOT_FOUND,
}
"""The status of each refusal; those that are not named are conflicts."""
MESSAGES: Final[Mapping[str, str]] = {"session_already_open": "A shift is open at this till already."}
NONE_OPEN: Final = "No open shift was found."

USERS: Final = """
    SELECT store_id, profile_id FROM gateway.users
     WHERE user_id = :user_id AND revoked_at IS NULL {and_stores} ORDER BY store_id LIMIT 2
"""
AND_STORES: Final = "AND store_id = ANY(CAST(:stores AS text[]))"


def error_body(_: int, message: str) -> dict[str, Any]:
    """An error as the Shifts API tells it."""
    return {"message": message}


def _refusal(answer: Answer) -> Refused:
    reason = answer["reason"]
    message = NONE_OPEN if STATUS.get(reason) is HTTPStatus.NOT_FOUND else MESSAGES.get(reason, answer["message"])
    return Refused(STATUS.get(reason, HTTPStatus.CONFLICT), message)


async def _worker(who: ByToken) -> Caller:
    if who.claims.role not in ROLES:
        raise Refused(HTTPStatus.FORBIDDEN, "Shifts are for the roles admin, manager and cashier.")
    return who


Worker = Annotated[Caller, Depends(_worker)]

router = APIRouter(prefix="/api/v1/shifts", route_class=shaped(error_body), tags=["Shifts API"])


_SHIFT: Final = {"403": "The role has no shifts.", "409": "The user has no till, or the state forbids it."}
_NO_SHIFT: Final = _SHIFT | {"404": "No open shift."}
_BAD: Final = {"422": "A field is missing or wrong, or the Idempotency-Key was used for another request."}
_TOO_MANY_ATTEMPTS: Final = {"429": "Five wrong passwords within 15 minutes; Retry-After says when to try again."}


@router.post(
    "/start",
    summary="Start the own shift",
    openapi_extra=documented(
        {"201": "The shift."} | _SHIFT | _BAD | _TOO_MANY_ATTEMPTS,
        example={"start_cash": 100000, "password": "your_password"},
        required=("start_cash", "password"),
    ),
    status_code=HTTPStatus.CREATED,
)
async def start(request: Request, who: Worker) -> Response:
    """Open the till that the user works at."""
    body = await read_json(request)
    start_cash, password = _whole(body, "start_cash", 0), _password(body)
    profile = await _till(request, who, password)
    adapter_request = _adapter_request(request, who, profile, {"start_cash": as_sent(body["start_cash"])})
    cash = profile.cash_tender
    opened = await adapter_request.ask(
        "open_session",
        adapter_request.id_of_opened(),
        {"id": who.claims.sub},
        currency=profile.currency,
        opening=[{"tender": cash, "amount_minor": _minor("start_cash", start_cash, profile.currency)}],
    )
    data = await _shift(resources(request), profile.store_id, opened["session_id"])
    return _reply("Shift started successfully", data, HTTPStatus.CREATED)


@router.post(
    "/end",
    summary="End the own shift",
    openapi_extra=documented(
        {"200": "The shift with its figures; null while they await approval."} | _NO_SHIFT | _BAD | _TOO_MANY_ATTEMPTS,
        example={"actual_cash_end": 250000, "password": "your_password"},
        required=("actual_cash_end", "password"),
    ),
)
async def end(request: Request, who: Worker) -> Response:
    """Close the shift with what was counted in cash."""
    body = await read_json(request)
    actual, password = _whole(body, "actual_cash_end", 0), _password(body)
    profile = await _till(request, who, password)
    adapter_request = _adapter_request(request, who, profile, {"actual_cash_end": as_sent(body["actual_cash_end"])})
    ended = await adapter_request.again()
    if ended is None:
        session = await _own_session(request, who, profile)
        minor = _minor("actual_cash_end", actual, session.opening.currency)
        ended = await adapter_request.ask(
            "close_session",
            session.session_id,
            {"id": who.claims.sub},
            counted=[{"tender": session.opening.cash_tender, "amount_minor": minor}],
        )
    return _reply("Shift ended successfully", await _shift(resources(request), profile.store_id, ended["session_id"]))


@router.get("/current", summary="The own open shift", openapi_extra=documented({"200": "The shift."} | _NO_SHIFT))
async def current(request: Request, who: Worker) -> Response:
    """The open shift; 404 when there is none."""
    profile = await _till(request, who, None)
    session = await _own_session(request, who, profile)
    return _reply("Current shift retrieved successfully", _open_shift(session))


@router.post(
    "/cash-transaction",
    summary="Put cash in or take it out",
    openapi_extra=documented(
        {"201": "The transaction."} | _NO_SHIFT | _BAD,
        example={
            "amount": 50000,
            "type": "cash_in",
            "category": "Cash Drop",
            "description": "Midday cash drop to safe",
        },
        required=("amount", "type", "category"),
    ),
    status_code=HTTPStatus.CREATED,
)
async def cash_transaction(request: Request, who: Worker) -> Response:
    """Move cash in the open shift. Without an Idempotency-Key a repeat is another transaction."""
    body = await read_json(request)
    amount, kind = _whole(body, "amount", 1), body.get("type")
    if not isinstance(kind, str) or kind not in MOVEMENTS:
        raise _bad("type must be cash_in or cash_out.")
    category, description = _text(body, "category", 1, 64), _text(body, "description", 0, 2_000, required=False)
    profile = await _till(request, who, None)
    words = {"amount": as_sent(body["amount"]), "type": kind, "category": category, "description": description}
    adapter_request = _adapter_request(request, who, profile, words)
    moved = await adapter_request.again()
    if moved is None:
        session = await _own_session(request, who, profile)
        moved = await adapter_request.ask(
            "move_cash",
            session.session_id,
            {"id": who.claims.sub},
            movement=MOVEMENTS[kind],
            amount_minor=_minor("amount", amount, session.opening.currency),
            tender=session.opening.cash_tender,
            category=category,
            description=description,
        )
    data = {
        "id": moved["command_id"],
        "shift_id": moved["session_id"],
        "user_id": moved["actor"]["id"],
        "amount": amount,
        "type": kind,
        "category": category,
        "description": description,
        "created_at": _second(moved["occurred_at"]),
    }
    return _reply("Cash transaction created successfully", data, HTTPStatus.CREATED)


def _adapter_request(request: Request, who: Caller, profile: ProfileRow, words: dict[str, Any]) -> AdapterRequest:
    return AdapterRequest(request, who, profile.store_id, profile.profile_id, words, _refusal)


async def _till(request: Request, who: Caller, password: str | None) -> ProfileRow:
    """The till that the user works at, after their password where one is given. Raises Refused."""
    shared = resources(request)
    store_id, profile_id = await _store_and_till(request, who)
    if password is not None:
        passwords, address = passwords_of(request)
        if await passwords.check_user(store_id, who.claims.sub, password, address) is None:
            raise Refused(HTTPStatus.UNAUTHORIZED, "Invalid password.")
    profile = None
    if profile_id is not None:
        profile = await ledger_queries.profile_of(shared.ledger, store_id, profile_id)
    if profile is None:
        raise Refused(HTTPStatus.CONFLICT, "No till is set up for this user: ask for one (till users add --profile).")
    return profile


async def _store_and_till(request: Request, who: Caller) -> tuple[str, str | None]:
    """The user's store and till; where the token names several stores, the one that has this user."""
    named = named_store(request)
    try:
        scope = scope_of(who.claims, () if named is None else (named,))
    except StoreRefused:
        scope = StoreScope([])
    stores = await ledger_queries.stores_in(resources(request).ledger, scope)
    if named is not None and not stores:
        raise Refused(HTTPStatus.FORBIDDEN, "This token does not allow that store.")
    of_stores = {} if stores is None else {"stores": stores}
    statement = text(USERS.format(and_stores=AND_STORES if of_stores else ""))
    async with resources(request).own.connect() as tx:
        rows = (await tx.execute(statement, {"user_id": who.claims.sub} | of_stores)).all()
    if len(rows) > 1:
        raise Refused(HTTPStatus.CONFLICT, "This user works in several stores: name one in the header x-store-id.")
    if rows:
        return rows[0].store_id, rows[0].profile_id
    # Nobody by this name: the password is asked for all the same, so that a wrong one is told first.
    return (stores or [""])[0], None


async def _own_session(request: Request, who: Caller, profile: ProfileRow) -> Session:
    """The open shift of this user. Another user's at the same till is not theirs."""
    session = await ledger_queries.open_session_of(resources(request).ledger, profile.store_id, profile.profile_id)
    if session is None or session.opening.opened_by.id != who.claims.sub:
        raise Refused(HTTPStatus.NOT_FOUND, NONE_OPEN)
    return session


async def _shift(shared: Resources, store_id: str, session_id: str) -> dict[str, Any]:
    """The shift as it stands now: one that awaits approval is closed, its figures follow."""
    session = await ledger_queries.session_of(shared.ledger, store_id, session_id)
    if session is None:
        raise AssertionError(f"the ledger has answered for the session {session_id} and has none")
    shift, currency, cash = _open_shift(session), session.opening.currency, session.opening.cash_tender
    if session.attempt is not None and session.state == "pending":
        counted = session.attempt.counted.get(cash)
        return shift | {
            "status": "closed",
            "end_time": _second(session.attempt.closed_at),
            "actual_cash_end": None if counted is None else json_amount(counted, currency),
        }
    value = await ledger_queries.closing_of(shared.ledger, store_id, session_id)
    if value is None:
        return shift
    closing = orjson.loads(value)
    row = next((row for row in closing["tenders"] if row["tender"] == cash), None)
    names = {
        "expected_cash_end": "expected_minor",
        "actual_cash_end": "counted_minor",
        "difference": "over_short_minor",
    }
    figures = {
        name: None if row is None or row[figure] is None else json_amount(row[figure], currency)
        for name, figure in names.items()
    }
    return shift | {"status": "closed", "end_time": _second(closing["closed_at"])} | figures


def _open_shift(session: Session) -> dict[str, Any]:
    opening = session.opening
    return {
        "id": session.session_id,
        "user_id": opening.opened_by.id,
        "status": "open",
        "start_time": _second(opening.opened_at),
        "end_time": None,
        "start_cash": json_amount(session.opening_minor, opening.currency),
        "expected_cash_end": None,
        "actual_cash_end": None,
        "difference": None,
        "created_at": _second(opening.opened_at),
        "updated_at": _second(session.last_command_at),
    }


def _reply(message: str, data: dict[str, Any], status: HTTPStatus = HTTPStatus.OK) -> Response:
    return json_reply({"message": message, "data": data}, status)


def _second(when: str) -> str:
    return moment(when).strftime("%Y-%m-%dT%H:%M:%SZ")


def _minor(name: str, major: int, currency: str) -> int:
    minor = major * int(10 ** CURRENCY_EXPONENTS[currency])
    if minor > AMOUNT_MAX:
        raise _bad(f"{name} is too large.")
    return minor


def _whole(body: dict[str, Any], name: str, least: int) -> int:
    value = whole_number(body.get(name))
    if value is None or value < least:
        raise _bad(f"{name} must be a whole number from {least}.")
    return value


def _text(body: dict[str, Any], name: str, shortest: int, longest: int, *, required: bool = True) -> str | None:
    value = body.get(name)
    if value is None and not required:
        return None
    if not isinstance(value, str):
        raise _bad(f"{name} must be a text of {shortest} to {longest} bytes.")
    try:
        return Text(shortest, longest).check(value)
    except ValueError as error:
        raise _bad(f"{name}: {error}.") from None


def _password(body: dict[str, Any]) -> str:
    password = body.get("password")
    if not isinstance(password, str) or not password:
        raise _bad("password must be a text.")
    return password


def _bad(sentence: str) -> Refused:
    return Refused(HTTPStatus.UNPROCESSABLE_ENTITY, sentence)
