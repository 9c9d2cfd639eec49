"""The reply to a command, as all routes of the own API give it."""

from http import HTTPStatus
from typing import Final

from fastapi import Request, Response

from services.gateway.commands.client import Reply
from services.gateway.replies import pending_reply
from services.platform.http.replies import json_reply

STATUS: Final = {
    "unauthenticated": HTTPStatus.UNAUTHORIZED,
    "forbidden": HTTPStatus.FORBIDDEN,
    "profile_unknown": HTTPStatus.NOT_FOUND,
    "session_unknown": HTTPStatus.NOT_FOUND,
    "movement_unknown": HTTPStatus.NOT_FOUND,
    "malformed": HTTPStatus.UNPROCESSABLE_ENTITY,
    "amount_invalid": HTTPStatus.UNPROCESSABLE_ENTITY,
    "tender_unknown": HTTPStatus.UNPROCESSABLE_ENTITY,
    "currency_mismatch": HTTPStatus.UNPROCESSABLE_ENTITY,
}
"""The status of each refusal; those that are not named are conflicts."""


def answer_reply(request: Request, reply: Reply, *, keyed: bool) -> Response:
    """A command's answer as it is on the topic, or the 202 of one that waits; `keyed` by an Idempotency-Key."""
    if reply.answer is None or reply.raw is None:
        return pending_reply(request, reply.command_id)
    status = HTTPStatus.OK
    if reply.answer["kind"] == "command_parked":
        status = HTTPStatus.INTERNAL_SERVER_ERROR
    elif reply.answer["kind"] == "command_rejected":
        reason = reply.answer["reason"]
        of_a_key = keyed and reason == "command_id_reused"
        status = HTTPStatus.UNPROCESSABLE_ENTITY if of_a_key else STATUS.get(reason, HTTPStatus.CONFLICT)
    return json_reply(reply.raw, status)
