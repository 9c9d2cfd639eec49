"""Each service's role does its work and nothing else."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from uuid import uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine

from services.operations.database_grants import grant
from services.platform.postgres.migrate import is_behind, upgrade
from services.platform.settings import Settings
from services.reporting.export_rows import KINDS
from services.sessions.ledger.engine import ledger_engine
from services.sessions.ledger.frontier import database_works, note_restored, restored_partitions, vouch
from services.sessions.ledger.published import forget_place_answers
from services.sessions.ledger.transaction import transaction
from services.sessions.tools.verify import verify
from tests.ledger.ledger import TOPIC_ID, Ledger, profile, silent
from tests.ledger.week import a_week

BOOKS = ("journal", "closings", "corrections")
CHANGES = [
    change.format(table)
    for table in BOOKS
    for change in ("UPDATE {} SET store_id = 'x'", "DELETE FROM {}", "TRUNCATE {} CASCADE")
]
SCHEMA = ["CREATE TABLE more (a int)", "ALTER TABLE journal DISABLE TRIGGER append_only", "DROP TABLE closings"]
FORBIDDEN = {
    "ledger": [
        *CHANGES,
        *SCHEMA,
        "DELETE FROM sessions",
        "DELETE FROM profiles",
        "UPDATE revocations SET restored_at = now()",
        "SELECT * FROM gateway.users",
        "SELECT * FROM reporting.closings",
    ],
    "gateway": [
        *CHANGES,
        *SCHEMA,
        "INSERT INTO journal SELECT * FROM journal",
        "UPDATE sessions SET state = 'closed'",
        "UPDATE tills SET z_number = 0",
        "SELECT * FROM sessions FOR UPDATE",
        "DELETE FROM profiles",
        "SELECT * FROM reporting.closings",
        "TABLE voids",
    ],
    "reporting": [
        *CHANGES,
        *SCHEMA,
        "SELECT * FROM journal",
        "SELECT * FROM closings",
        "SELECT * FROM sessions",
        "INSERT INTO closings SELECT * FROM closings",
        "SELECT * FROM gateway.users",
        "DELETE FROM reporting.closings",
        "DELETE FROM reporting.consumed",
        "DELETE FROM reporting.closed_counts",
        "TABLE webhooks.secrets",
        "TABLE webhooks.endpoints",
    ],
    "webhooks": [
        *CHANGES,
        *SCHEMA,
        *(f"TABLE {table}" for table in ("journal", "closings", "sessions", "gateway.users")),
        "TABLE reporting.ticket_key",
        "DELETE FROM reporting.closings",
        "UPDATE reporting.consumed SET next_offset = 0",
        "DELETE FROM webhooks.endpoints",
        "UPDATE webhooks.endpoints SET url = ''",
        "UPDATE webhooks.endpoints SET stores = NULL",
        "UPDATE webhooks.endpoints SET types = types",
        "UPDATE webhooks.secrets SET key = ''",
    ],
    "analyst": [
        *CHANGES,
        *SCHEMA,
        *(f"TABLE {table}" for table in ("journal", "closings", "sessions", "gateway.users")),
        *(f"TABLE reporting.{table}" for table in ("closings", "corrections", "consumed")),
        *(f"TABLE webhooks.{table}" for table in ("endpoints", "secrets", "deliveries")),
        "CREATE TABLE analyst.more (a int)",
        "DELETE FROM analyst.currencies",
    ],
}
ALLOWED = {
    "gateway": ["SELECT * FROM journal", "UPDATE gateway.users SET revoked_at = now()", "DELETE FROM gateway.failures"],
    "reporting": ["SELECT * FROM reporting.closings FOR UPDATE", "UPDATE reporting.consumed SET next_offset = 0"],
    "webhooks": [
        "SELECT * FROM reporting.closings, reporting.corrections, reporting.consumed",
        "SELECT * FROM webhooks.endpoints FOR UPDATE SKIP LOCKED",
        "TABLE webhooks.secrets",
        "UPDATE webhooks.endpoints SET waits_from = NULL",
        "DELETE FROM webhooks.deliveries",
    ],
    "analyst": [f"TABLE analyst.{view}" for view in (*KINDS, "currencies")],
}


@dataclass(frozen=True)
class Roles:
    """A migrated database, and the addresses by which its roles come to it."""

    owner: Settings
    urls: dict[str, str]

    async def may(self, role: str, statement: str) -> bool:
        """Whether rights let this statement through; nothing of it stays."""
        engine = create_async_engine(self.urls[role])
        try:
            async with engine.connect() as tx:
                await tx.execute(text(statement))
        except DBAPIError as refused:
            # Not any refusal: the books have a guard of their own, which speaks to those whom the rights let through.
            return not any(words in str(refused) for words in ("permission denied", "must be owner"))
        finally:
            await engine.dispose()
        return True


@pytest.fixture
async def roles(corner: Settings) -> AsyncIterator[Roles]:
    for service in ("sessions", "gateway", "reporting"):
        await upgrade(corner.database_url, f"services.{service}.migrations")
    names = {role: f"{role}_{uuid4().hex[:8]}" for role in FORBIDDEN}
    address = make_url(corner.database_url)
    engine = create_async_engine(corner.database_url)
    async with engine.begin() as tx:
        # As deployments have it: who isn't named doesn't come in.
        await tx.execute(text(f'REVOKE ALL ON DATABASE "{address.database}" FROM PUBLIC'))
        for name in names.values():
            await tx.execute(text(f"CREATE ROLE {name} LOGIN PASSWORD 'x'"))
    owner = corner.model_copy(update={f"{role}_role": name for role, name in names.items()})
    assert await grant(owner) == list(names.values())
    urls = {
        role: address.set(username=name, password="x").render_as_string(hide_password=False)
        for role, name in names.items()
    }
    yield Roles(owner, urls)
    async with engine.begin() as tx:
        for name in names.values():
            await tx.execute(text(f"DROP OWNED BY {name}"))
            await tx.execute(text(f"DROP ROLE {name}"))
    await engine.dispose()


async def test_the_ledgers_role_does_all_that_its_service_does(roles: Roles) -> None:
    owner = create_async_engine(roles.owner.database_url)
    await Ledger(owner).import_profiles(profile())
    await owner.dispose()
    engine = ledger_engine(roles.urls["ledger"])
    ledger = Ledger(engine)
    await ledger.know()
    await ledger.apply(*a_week())
    await ledger.apply(a_week()[-1], verify=lambda *_: "missing")
    async with transaction(engine) as tx:
        assert await forget_place_answers(tx, 0, 10) == 1
    assert await database_works(engine, TOPIC_ID)
    async with engine.begin() as tx:
        await note_restored(tx, TOPIC_ID, {0: 10**9})
        assert await restored_partitions(tx, TOPIC_ID)
        await vouch(tx, TOPIC_ID, {0: 0}, {0: 10**9})
    assert (await verify(engine, progress=silent)).closings == 2
    await engine.dispose()


@pytest.mark.parametrize("role", FORBIDDEN)
async def test_a_role_may_do_nothing_else(roles: Roles, role: str) -> None:
    assert [statement for statement in FORBIDDEN[role] if await roles.may(role, statement)] == []


@pytest.mark.parametrize("role", ALLOWED)
async def test_a_role_may_do_its_work(roles: Roles, role: str) -> None:
    assert [statement for statement in ALLOWED[role] if not await roles.may(role, statement)] == []


@pytest.mark.parametrize(
    ("role", "packages"),
    [
        ("ledger", ["sessions"]),
        ("gateway", ["sessions", "gateway"]),
        ("reporting", ["reporting"]),
        ("webhooks", ["reporting"]),
    ],
)
async def test_a_role_may_see_how_far_its_tables_are(roles: Roles, role: str, packages: list[str]) -> None:
    behind = [await is_behind(roles.urls[role], f"services.{package}.migrations") for package in packages]
    assert not any(behind)


async def test_rights_that_somebody_added_are_taken_away_again(roles: Roles) -> None:
    engine = create_async_engine(roles.owner.database_url)
    async with engine.begin() as tx:
        await tx.execute(text(f"GRANT DELETE ON sessions TO {roles.owner.gateway_role}"))
    assert await roles.may("gateway", "DELETE FROM sessions")
    await grant(roles.owner)
    assert not await roles.may("gateway", "DELETE FROM sessions")
    await engine.dispose()
