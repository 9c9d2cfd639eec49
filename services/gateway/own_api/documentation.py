"""What /docs says of the own API. Its examples are a whole session, and may be run as often as one likes.

The requests are read by hand: FastAPI would check them itself and answer 422 in a shape of its own.
"""

from typing import Annotated, Any, Final

from fastapi import Path

from contracts.jsontext import BODY_BYTES_MAX
from services.gateway.ledger_queries import LIMIT_DEFAULT, LIMIT_MAX
from services.platform.http.body import CODING
from services.platform.http.query import UNKNOWN

BEARER: Final[list[dict[str, list[str]]]] = [{"HTTPBearer": []}]

_SESSION_ID: Final = "0193a4c2-7f00-7000-8000-000000000001"


def _example(number: int, kind: str, **members: Any) -> dict[str, Any]:
    return {
        "kind": kind,
        "command_id": f"0193a4c2-7f00-7000-8000-0000000001{number:02}",
        "store_id": "parrot",
        "profile_id": "caja-1",
        "session_id": _SESSION_ID,
        "occurred_at": f"2026-01-05T09:{number:02}:00-06:00",
        "actor": {"id": "ana"},
        **members,
    }


EXAMPLES: Final[dict[str, dict[str, Any]]] = {
    "open_session": _example(1, "open_session", currency="MXN", opening=[{"tender": "cash", "amount_minor": 50_000}]),
    "record_order": _example(
        2,
        "record_order",
        order_id="A-1",
        revision=0,
        provider="STORE",
        order_type="counter",
        status="finished",
        gross_minor=11_600,
        discounts=[],
        service_charges=[],
        tax_minor=1_600,
        payments=[{"tender": "cash", "amount_minor": 11_600, "tendered_minor": 20_000, "change_minor": 8_400}],
    ),
    "move_cash": _example(3, "move_cash", movement="pay_out", amount_minor=2_500, category="ice"),
    "close_session": _example(4, "close_session", counted=[{"tender": "cash", "amount_minor": 59_000}]),
}
"""A session at the till `caja-1` of the store `parrot`; sent again, each command gets its first answer again."""


SETTINGS: Final[dict[str, Any]] = {
    "name": "Caja 1",
    "currency": "MXN",
    "tenders": [{"id": "cash", "name": "Efectivo", "type": "cash", "currency": "MXN", "exchange_rate": "1"}],
    "over_short_limit_minor": 5_000,
    "business_day_starts_at": "04:00",
    "time_zone": "America/Mexico_City",
}


CommandId = Annotated[
    str, Path(description="The command's id, a UUID.", examples=[EXAMPLES["open_session"]["command_id"]])
]
SessionId = Annotated[str, Path(description="The session's id, a UUID.", examples=[_SESSION_ID])]
StoreId = Annotated[str, Path(description="The store.", examples=["parrot"])]
ProfileId = Annotated[str, Path(description="The till.", examples=["caja-1"])]
UserId = Annotated[str, Path(description="The user.", examples=["ana"])]
KeyId = Annotated[str, Path(description="The key's id.", examples=["4f1c2ab90d3e"])]


def parameter(name: str, description: str, location: str = "query", **schema: Any) -> dict[str, Any]:
    """A parameter of a query, or a header; text where `schema` says nothing else."""
    return {
        "name": name,
        "in": location,
        "required": False,
        "description": description,
        "schema": {"type": "string"} | schema,
    }


def operation(
    summary: str, description: str, parameters: list[dict[str, Any]], responses: dict[str, str], **more: Any
) -> dict[str, Any]:
    """The keyword arguments of a route."""
    texts = (
        {"400": UNKNOWN}
        | {"503": "The broker or the ledger is away; try again."}
        | responses
        | {"401": "No valid bearer token."}
    )
    return {
        "summary": summary,
        "description": description,
        "tags": ["Own API"],
        "openapi_extra": {
            "parameters": parameters,
            "responses": {status: {"description": text} for status, text in sorted(texts.items())},
            "security": BEARER,
            **more,
        },
    }


_STORE: Final = parameter(
    "store",
    "Only this store; may be repeated. Without it: all stores of the token.",
    type="array",
    items={"type": "string"},
)
CURSOR: Final = parameter("cursor", "next_cursor of the page before.")
LIMIT: Final = parameter(
    "limit", "Items on a page.", type="integer", minimum=1, maximum=LIMIT_MAX, default=LIMIT_DEFAULT
)
_NO_SESSION: Final = {"404": "None of the token's stores has such a session."}
_BLIND: Final = {
    "403": "The token does not allow the store, or the till is counted blind and its session is not closed."
}
PAGE: Final = {
    "200": "{items, next_cursor}; next_cursor is null on the last page.",
    "400": "A parameter can't be read.",
}
_WALL: Final = {"403": "The token does not allow the store."}

POST_COMMAND: Final = operation(
    "Send a command",
    "One command as on Kafka; the reply is its answer as it is on the events topic. The same command again gets the "
    "same answer again and counts once.",
    [
        parameter(
            "Idempotency-Key",
            "Names the command where the body has no command_id: a UUID, or other text of 1 to 255 characters.",
            "header",
        ),
        parameter("traceparent", "W3C trace context; the answer's is of the same trace.", "header"),
    ],
    {
        "200": "Accepted: the event.",
        "202": "Not answered yet: {command_id, status, location}. It is applied later; ask at Location.",
        "400": f"Nothing that a register would be answered for: no JSON object of at most {BODY_BYTES_MAX} bytes with "
        "valid ids, or the Idempotency-Key contradicts it. Nothing was sent.",
        "403": "Refused: forbidden. For another store's command: problem details, and nothing was sent.",
        "404": "Refused: profile_unknown, session_unknown, movement_unknown.",
        "409": "Refused for any other reason.",
        "415": CODING,
        "422": "Refused: malformed, amount_invalid, tender_unknown, currency_mismatch; or the Idempotency-Key was "
        "used for another request.",
        "500": "The service keeps failing on this command and has parked it; nothing was changed.",
    },
    requestBody={
        "required": True,
        "content": {
            "application/json": {
                "schema": {"type": "object"},
                "examples": {name: {"summary": name, "value": body} for name, body in EXAMPLES.items()},
            }
        },
    },
)
GET_COMMAND: Final = operation(
    "Ask for the answer to a command",
    "What the command's id was answered, as it is on the events topic.",
    [
        _STORE,
    ],
    {
        "200": "The answer that claims the id, refusals too; else the newest that claims nothing, while it is kept.",
        "202": "It was sent here and waits to be applied.",
        "404": "Nobody sent a command of this id; or it was sent over Kafka and waits there; or its answers claimed "
        "nothing, and none of them is kept any more.",
        **_WALL,
    },
)
LIST_SESSIONS: Final = operation(
    "List sessions",
    "Ordered by store, profile and opening.",
    [
        _STORE,
        parameter("profile", "Only this profile."),
        parameter("state", "Only in this state.", enum=["open", "suspended", "pending", "closed", "voided"]),
        parameter("business_date", "Only of this day.", format="date"),
        CURSOR,
        LIMIT,
    ],
    PAGE | _WALL,
)
LIST_TILLS: Final = operation(
    "Look at all tills",
    "Ordered by store and profile: each with its sessions that are not closed, the latest first, or with its latest "
    "one. Figures are null where whoever asks counts the till blind; what a blind till should hold is shown to nobody "
    "before it was counted.",
    [_STORE, parameter("profile", "Only this till."), CURSOR, LIMIT],
    PAGE | _WALL,
)
FOLLOW_SESSIONS: Final = operation(
    "Follow what changes",
    "Server-sent events: of each accepted command that its session changed, by ids and states alone: no amount and no "
    "name. Without Last-Event-ID it begins now. The event reset asks to look anew, cut_off says that lines came faster "
    "than they were taken.",
    [
        _STORE,
        parameter("Last-Event-ID", "Goes on after the event with this id, or says reset.", "header"),
    ],
    {
        "200": "The stream; it ends when the token does.",
        "400": "Last-Event-ID is no id of this stream, or the path knows no such parameter.",
        "503": "Too many streams are open (its reason is too_many_streams), or events can't be followed just now.",
        **_WALL,
    },
)
GET_SESSION: Final = operation(
    "Look at a session", "Its state and its words.", [_STORE], {"200": "The session.", **_NO_SESSION, **_WALL}
)
GET_JOURNAL: Final = operation(
    "Read a session's journal",
    "Its accepted commands in their order, as canonical JSON, each with its answer as it was published.",
    [
        _STORE,
        parameter("since", "Only what came after the command of this sequence.", type="integer", minimum=0),
        CURSOR,
        LIMIT,
    ],
    PAGE | _NO_SESSION | _BLIND,
)
GET_X_REPORT: Final = operation(
    "Make an X report",
    "The figures as they are now, in the shape of a closing; nothing is changed by it. Of a closed session: what the "
    "closing and its corrections add up to. carried_from and not_carried say what was found of the session before, "
    "as in a closing.",
    [_STORE],
    {"200": "The figures.", "409": "The session was voided.", **_NO_SESSION, **_BLIND},
)
LIST_PROFILES: Final = operation(
    "List the tills of a store",
    "How each is set up, and whether a session holds it.",
    [CURSOR, LIMIT],
    PAGE | _WALL | {"404": "What is named can be no store."},
)
_MANAGERS: Final = {"403": "The token is no manager's or admin's of the store."}
_NO_PROFILE: Final = {"404": "The store has no such till."}
PUT_PROFILE: Final = operation(
    "Set a till",
    "All settings of a till, in place of those before: the `profile` of a set_profile, which is published for the "
    "bearer. The reply is its answer. Settings that are equal after defaults are no new version.",
    [
        parameter("Idempotency-Key", "Makes a repeat the same command: text of 1 to 255 characters.", "header"),
        parameter("traceparent", "W3C trace context; the answer's is of the same trace.", "header"),
    ],
    {
        "200": "Set: profile_set, with the version that is in force.",
        "202": "Not answered yet: {command_id, status, location}. It is applied later; ask at Location.",
        "400": "No JSON object of settings, the command with it is longer than a command may be, or an id that no till "
        "can have. Nothing was sent.",
        "409": "Refused: command_id_reused.",
        "415": CODING,
        "422": "Refused: malformed; or the Idempotency-Key was used for another request.",
        "500": "The service keeps failing on this command and has parked it; nothing was changed.",
        **_MANAGERS,
        "404": "There can be no such store.",
    },
    requestBody={
        "required": True,
        "content": {"application/json": {"schema": {"type": "object"}, "example": SETTINGS}},
    },
)
GET_PROFILE: Final = operation(
    "Look at a till's settings",
    "Those in force, defaults filled in, as PUT takes them; their version and hash, as closings state them; who set "
    "them when, by which command. Nobody is named for what was imported before commands set tills.",
    [],
    {"200": "The settings.", **_MANAGERS, **_NO_PROFILE},
)
GET_PROFILE_HISTORY: Final = operation(
    "Read the history of a till's settings",
    "All versions, the newest first: {version, profile, set_at, command_id, actor}.",
    [CURSOR, LIMIT],
    PAGE | _MANAGERS | _NO_PROFILE,
)
