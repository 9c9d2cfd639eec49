"""What each service's role may do in the database: only what it does."""

from collections.abc import Sequence
from typing import Final

from sqlalchemy import text

from services.platform.postgres.migrate import alone_in
from services.platform.settings import Settings

# Every table by its name: one that a later migration adds belongs to nobody until somebody has thought about it.
# Each may read how far the tables are that it lives on: it waits for them before it starts.
# `revocations` is read by pods of the version before alone, which run beside this one's during an update.
LEDGER: Final = (
    "GRANT USAGE ON SCHEMA public TO {role}",
    "GRANT SELECT ON revocations, alembic_version_sessions TO {role}",
    "GRANT SELECT, INSERT, UPDATE ON profiles TO {role}",
    "GRANT SELECT, INSERT ON journal, voids, reused_answers, place_answers, closings, corrections TO {role}",
    "GRANT SELECT, INSERT ON profile_versions TO {role}",
    # Old ones are locked before they are deleted, which takes the right to change one column of them, whichever.
    "GRANT DELETE, UPDATE (received_at) ON place_answers TO {role}",
    "GRANT SELECT, INSERT, UPDATE ON tills TO {role}",
    "GRANT SELECT, INSERT, UPDATE ON sessions, consumed TO {role}",
)
GATEWAY: Final = (
    "GRANT USAGE ON SCHEMA public, gateway TO {role}",
    "GRANT SELECT ON profiles, profile_versions, revocations, tills, sessions, consumed TO {role}",
    "GRANT SELECT ON alembic_version_sessions, alembic_version_gateway TO {role}",
    "GRANT SELECT ON journal, reused_answers, place_answers, closings, corrections TO {role}",
    "GRANT SELECT, INSERT, UPDATE, DELETE ON gateway.pending, gateway.requests, gateway.keyed TO {role}",
    "GRANT SELECT, INSERT, UPDATE, DELETE ON gateway.users, gateway.profile_passwords, gateway.api_keys TO {role}",
    "GRANT SELECT, INSERT, UPDATE, DELETE ON gateway.failures, gateway.known_addresses, gateway.final_words TO {role}",
)
REPORTING: Final = (
    "GRANT USAGE ON SCHEMA reporting, analyst TO {role}",
    "GRANT SELECT, INSERT, UPDATE ON reporting.closings, reporting.corrections, reporting.consumed TO {role}",
    "GRANT SELECT, INSERT, UPDATE ON reporting.unreadable, reporting.ticket_key TO {role}",
    # Triggers count them, with their owner's rights.
    "GRANT SELECT ON reporting.closed_counts TO {role}",
    "GRANT SELECT ON ALL TABLES IN SCHEMA analyst TO {role}",
    "GRANT SELECT ON public.alembic_version_reporting TO {role}",
)
# What it sends, and how far it has come; whoever reads closings has no part in its secrets.
WEBHOOKS: Final = (
    "GRANT USAGE ON SCHEMA reporting, webhooks TO {role}",
    "GRANT SELECT ON reporting.closings, reporting.corrections, reporting.consumed TO {role}",
    "GRANT SELECT ON webhooks.endpoints TO {role}",
    # How far it has come and who has it; where messages go to, and whose, is not the sender's to say.
    "GRANT UPDATE (cursor, delivered, attempts, lease, leased_until) ON webhooks.endpoints TO {role}",
    "GRANT UPDATE (next_try_at, waits_from) ON webhooks.endpoints TO {role}",
    "GRANT UPDATE (paused_because, tries, is_slow) ON webhooks.endpoints TO {role}",
    "GRANT UPDATE (failing_message, failing_because, failing_since) ON webhooks.endpoints TO {role}",
    "GRANT SELECT ON webhooks.secrets TO {role}",
    "GRANT SELECT, INSERT, DELETE ON webhooks.deliveries TO {role}",
    "GRANT SELECT ON public.alembic_version_reporting TO {role}",
)
# Who lacks it can't come in. Where everybody has it, it is left at that: only the database's owner may give it.
CONNECT: Final = """
    DO $$ BEGIN
        IF NOT has_database_privilege({name}, current_database(), 'CONNECT') THEN
            EXECUTE format('GRANT CONNECT ON DATABASE %I TO %I', current_database(), {name});
        END IF;
    END $$
"""
ANALYST: Final = (
    "GRANT USAGE ON SCHEMA analyst TO {role}",
    "GRANT SELECT ON ALL TABLES IN SCHEMA analyst TO {role}",
)


async def grant(settings: Settings) -> list[str]:
    """Give the roles that the settings name their rights, and take what they had beyond; the names of these roles.

    The tables and the roles are there already. Raises SQLAlchemyError where one is not.
    """
    await _grant(settings.database_url, settings.ledger_role, "public", LEDGER)
    await _grant(settings.database_url, settings.gateway_role, "public, gateway", GATEWAY)
    reader = settings.reader_database_url
    schemas = "reporting, webhooks, analyst"
    await _grant(reader, settings.reporting_role, schemas, REPORTING)
    await _grant(reader, settings.webhooks_role, schemas, WEBHOOKS)
    await _grant(reader, settings.analyst_role, schemas, ANALYST)
    roles = (settings.ledger_role, settings.gateway_role, settings.reporting_role, settings.webhooks_role)
    return [role for role in (*roles, settings.analyst_role) if role]


async def _grant(database_url: str, role: str | None, schemas: str, grants: Sequence[str]) -> None:
    if role is None:
        return
    async with alone_in(database_url) as tx:
        for statement in (CONNECT, f"REVOKE ALL ON ALL TABLES IN SCHEMA {schemas} FROM {{role}}", *grants):
            # Quoted, and the settings take nothing that could end the quotation.
            await tx.execute(text(statement.format(role=f'"{role}"', name=f"'{role}'")))
