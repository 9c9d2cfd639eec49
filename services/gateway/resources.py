"""What the requests of one gateway process share; every module of an API gets it from its request."""

from dataclasses import dataclass, field

from fastapi import Request
from sqlalchemy.ext.asyncio import AsyncEngine

from services.gateway.commands.client import CommandClient
from services.gateway.ledger_queries import ProfileRow
from services.gateway.remembered import Remembered
from services.gateway.shared_readings import SharedReadings
from services.platform.access_log import AccessLog
from services.platform.auth.tokens import Verifier
from services.platform.settings import Settings


@dataclass(frozen=True, slots=True)
class Resources:
    """The connections of the process. `ledger` can only read; `own` reads and writes the schema `gateway`."""

    settings: Settings
    commands: CommandClient
    ledger: AsyncEngine
    own: AsyncEngine
    verifier: Verifier
    access_log: AccessLog
    tills: Remembered[ProfileRow] = field(default_factory=Remembered)
    readings: SharedReadings = field(default_factory=SharedReadings)


def resources(request: Request) -> Resources:
    """The resources of the process that serves this request."""
    shared: Resources = request.app.state.resources
    return shared
