"""What every API of the gateway replies where a command has no answer yet."""

from http import HTTPStatus

from fastapi import Request, Response

from services.platform.http.links import link_to
from services.platform.http.replies import json_reply


def pending_reply(request: Request, command_id: str, location: str | None = None) -> Response:
    """The 202 of a command that is on its topic; `location` is the path where its answer is asked for."""
    location = link_to(request, location or f"/api/commands/{command_id}")
    body = {"command_id": command_id, "status": "pending", "location": location}
    return json_reply(body, HTTPStatus.ACCEPTED, {"location": location, "retry-after": "1"})
