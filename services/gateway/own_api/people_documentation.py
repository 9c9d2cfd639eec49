"""What /docs says of those who may come into a store: its users and its API keys."""

from typing import Any, Final

from services.gateway.own_api.documentation import CURSOR, LIMIT, PAGE, operation, parameter
from services.platform.http.body import CODING

_PEOPLE: Final[dict[str, Any]] = {"tags": ["People and keys"]}
_ADMINS: Final = {"403": "The token is no admin's of the store."}
_NO_STORE: Final = {"404": "What is named can be no store."}
_CHANGED: Final = {
    "503": "Too many changes wait, or the broker or the database is away: nothing of it is sure, do it again."
}
_BODY: Final = {
    "400": "The body is no JSON object, or the path knows no such parameter.",
    "413": "The body is too long.",
    "415": CODING,
    "422": "A field is missing or wrong; errors says which.",
}


def _taken(example: dict[str, Any]) -> dict[str, Any]:
    return {"required": True, "content": {"application/json": {"schema": {"type": "object"}, "example": example}}}


LIST_USERS: Final = (
    operation(
        "List the users of a store",
        "{user, role, profile_id, revoked}, by their ids; whom other stores know too is listed in each.",
        [CURSOR, LIMIT],
        PAGE | _ADMINS | _NO_STORE,
    )
    | _PEOPLE
)
POST_USER: Final = (
    operation(
        "Add a user",
        "Or replace one: role, till and password. Who was revoked in the store may come in again; their tokens of "
        "before stay ended. Tokens of a user who was not revoked count until they expire.",
        [],
        {
            "200": "The user as they are now; never the password.",
            "409": "The store has no room for more users, or they are revoked in all stores.",
            "429": "The store has no more changes today; Retry-After says when.",
            **_BODY,
            **_ADMINS,
            **_NO_STORE,
            **_CHANGED,
        },
        requestBody=_taken(
            {"user": "ana", "role": "cashier", "profile_id": "caja-1", "password": "what only Ana knows"}
        ),
    )
    | _PEOPLE
)
DELETE_USER: Final = (
    operation(
        "Revoke a user",
        "Their password and every token of theirs for this store end within 5 s; what they did stays. The revocation "
        "is on the access topic before this is replied.",
        [],
        {"200": "Revoked, also who was so before.", "404": "The store has no such user.", **_ADMINS, **_CHANGED},
    )
    | _PEOPLE
)
LIST_KEYS: Final = (
    operation(
        "List the API keys of a store",
        "{key, company_id, role, revoked, previous_until}: their ids, never what they are. One page.",
        [],
        {"200": "{items, next_cursor}; next_cursor is null.", **_ADMINS, **_NO_STORE},
    )
    | _PEOPLE
)
POST_KEY: Final = (
    operation(
        "Make an API key",
        "For a company at this store. `secret` is the key: it is replied this once, and only a hash of it is kept.",
        [parameter("Idempotency-Key", "A repeat makes no second key: text of 1 to 255 characters.", "header")],
        {
            "200": "The key was made by this request before, and its secret replied then: `secret` is null.",
            "201": "The key, and its secret.",
            "409": "The store has no room for more keys.",
            "429": "The store has no more changes today; Retry-After says when.",
            **_BODY,
            **_ADMINS,
            **_NO_STORE,
            **_CHANGED,
        },
        requestBody=_taken({"company_id": "cafes", "role": "manager"}),
    )
    | _PEOPLE
)
ROTATE_KEY: Final = (
    operation(
        "Give an API key a new secret",
        "It keeps its id. The secret of before counts `overlap_s` seconds longer, a day where nothing is said; the one "
        "before that ends. `previous_until` is the key's, as the list has it.",
        [],
        {
            "200": "The key, and its new secret: it is replied this once.",
            "404": "The store has no such key, or it was revoked.",
            "409": "The key was rotated meanwhile: its previous_until is another.",
            "429": "The store has no more changes today; Retry-After says when.",
            **_BODY,
            **_ADMINS,
            **_CHANGED,
        },
        requestBody=_taken({"previous_until": None, "overlap_s": 86_400}),
    )
    | _PEOPLE
)
DELETE_KEY: Final = (
    operation(
        "Revoke an API key",
        "It and the tokens that were signed for it end within 5 s. The revocation is on the access topic before this "
        "is replied.",
        [],
        {"200": "Revoked.", "404": "The store has no such key, or it was revoked before.", **_ADMINS, **_CHANGED},
    )
    | _PEOPLE
)
