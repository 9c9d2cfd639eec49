"""What /docs says of the adapters' routes."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from services.platform.http.body import CODING, UNPACKED_BYTES_MAX
from services.platform.http.query import UNKNOWN

SENDS: Final = {
    "202": "Taken, not answered yet: {command_id, status, location}. It is applied later.",
    "500": "The service keeps failing on this command and has parked it; nothing was changed.",
}
"""What every request that sends a command may be told."""
PACKED_TOO_LONG: Final = f"The body has more than {UNPACKED_BYTES_MAX} bytes unpacked."
UNREADABLE: Final = "The body is no JSON object that can be read, or the Idempotency-Key is none."


def documented(
    responses: Mapping[str, str],
    *,
    example: Mapping[str, Any] | None = None,
    required: Sequence[str] = (),
    headers: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """What /docs says of a route beside its summary; one with an example takes a body, and an Idempotency-Key."""
    named = dict(headers or {})
    texts = {"400": UNKNOWN, "401": "Nobody who is known.", "503": "The broker or the ledger is away; try again."}
    texts |= ({"400": UNREADABLE} if example is not None else {}) | dict(responses)
    more: dict[str, Any] = {}
    if example is not None:
        named["Idempotency-Key"] = "A request that is sent again under its key counts once; 1 to 255 characters."
        texts |= SENDS | {"413": PACKED_TOO_LONG, "415": CODING}
        schema = {"type": "object", "required": list(required)}
        content = {"application/json": {"schema": schema, "example": dict(example)}}
        more["requestBody"] = {"required": True, "content": content}
    return more | {
        "parameters": [
            {"name": name, "in": "header", "required": False, "description": text, "schema": {"type": "string"}}
            for name, text in named.items()
        ],
        "responses": {status: {"description": text} for status, text in sorted(texts.items())},
    }
