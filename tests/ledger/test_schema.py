"""The ledger's tables: they are made once, whoever makes them, and each constraint refuses what it is there for."""

import asyncio
from pathlib import Path

import pytest
from sqlalchemy.exc import IntegrityError

from services.platform.postgres.migrate import upgrade
from services.platform.settings import Settings
from services.sessions.ledger.engine import ledger_engine
from services.sessions.migrations import versions
from tests.ledger.ledger import MIGRATIONS, Ledger, profile
from tests.ledger.week import a_week
from tests.support.corner import BY_FORCE

COPY = "INSERT INTO {0} SELECT * FROM {0} LIMIT 1"
VERSION = "INSERT INTO profile_versions SELECT (jsonb_populate_record(v, '{}')).* FROM profile_versions v"

VIOLATIONS = {
    "profiles_pkey": COPY.format("profiles"),
    "profiles_limit_not_negative": "UPDATE profiles SET over_short_limit_minor = -1",
    "profiles_time_zone_is_a_name": "UPDATE profiles SET time_zone = ''",
    "profiles_blind_may_go_negative": "UPDATE profiles SET blind = true, allow_negative_drawer = false",
    "profiles_hash_is_sha256": "UPDATE profiles SET hash = ''",
    "profiles_version_from_one": "UPDATE profiles SET version = 0",
    "profile_versions_pkey": COPY.format("profile_versions"),
    "profile_versions_of_a_profile": VERSION.replace(
        "{}", '{"profile_id": "nobody", "command_id": "0195e3a0-9999-7000-8000-000000000003"}'
    ),
    "profile_versions_one_per_command": VERSION.replace("{}", '{"version": 2}'),
    "profile_versions_from_one": VERSION.replace("{}", '{"version": 0}'),
    "profile_versions_hash_is_sha256": VERSION.replace("{}", '{"hash": ""}'),
    "profile_versions_by_a_command": VERSION.replace("{}", '{"version": 2, "command_id": null, "actor_id": null}'),
    "profile_versions_by_an_actor": VERSION.replace("{}", '{"actor_id": null}'),
    "tills_pkey": COPY.format("tills"),
    "tills_profile_version_from_one": "UPDATE tills SET profile_version = 0",
    "tills_of_a_profile": "DELETE FROM profiles",
    "tills_numbers_not_negative": "UPDATE tills SET fence = -1",
    "tills_hash_is_sha256": "UPDATE tills SET last_hash = ''",
    "sessions_pkey": COPY.format("sessions"),
    "sessions_of_a_till": "UPDATE sessions SET profile_id = 'nobody' WHERE state = 'open'",
    "sessions_state_known": "UPDATE sessions SET state = 'gone'",
    "sessions_ordinal_once": "UPDATE sessions SET ordinal = 1",
    "sessions_ordinal_from_one": "UPDATE sessions SET ordinal = 0 WHERE ordinal = 1",
    "sessions_sequence_from_one": "UPDATE sessions SET sequence = 0",
    "sessions_journal_form_known": "UPDATE sessions SET journal_form = 3",
    "sessions_hash_is_sha256": "UPDATE sessions SET journal_hash = ''",
    "one_open_session_per_profile": "UPDATE sessions SET state = 'suspended' WHERE state = 'closed'",
    "journal_pkey": COPY.format("journal"),
    "journal_hash_is_sha256": "UPDATE journal SET body_hash = ''",
    "journal_refused_or_in_sequence": "UPDATE journal SET command = NULL WHERE reason IS NULL",
    "journal_sequence_once": "UPDATE journal SET sequence = 1 WHERE sequence = 2",
    "journal_order_revision_once": "UPDATE journal SET revision = 0 WHERE revision = 1",
    "voids_once": COPY.format("voids"),
    "voids_by_a_command": "UPDATE voids SET command_id = gen_random_uuid()",
    "reused_answers_pkey": COPY.format("reused_answers"),
    "place_answers_pkey": COPY.format("place_answers"),
    "closings_one_per_session": COPY.format("closings"),
    "closings_z_number_once": "UPDATE closings SET z_number = 1",
    "closings_of_a_session": "UPDATE closings SET session_id = gen_random_uuid() WHERE z_number = 2",
    "closings_z_number_from_one": "UPDATE closings SET z_number = 0 WHERE z_number = 1",
    "corrections_number_once": COPY.format("corrections"),
    "corrections_one_per_command": """
        INSERT INTO corrections SELECT (jsonb_populate_record(c, '{"correction_number": 2}')).* FROM corrections c
    """,
    "corrections_of_a_closing": "DELETE FROM closings WHERE z_number = 1",
    "corrections_number_from_one": "UPDATE corrections SET correction_number = 0",
    "consumed_pkey": COPY.format("consumed"),
    "consumed_answers_follow_effects": "UPDATE consumed SET answered_offset = next_offset + 1",
    "revocations_pkey": COPY.format("revocations"),
    "revocations_end_after_they_begin": "UPDATE revocations SET restored_at = revoked_at - interval '1 second'",
}

ALL_NAMED = """
    SELECT conname FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND contype IN ('p', 'u', 'f', 'c')
     UNION
    SELECT indexrelid::regclass::text FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
     WHERE i.indisunique AND c.relnamespace = 'public'::regnamespace
"""


async def test_each_constraint_refuses_what_it_is_there_for(ledger: Ledger) -> None:
    await ledger.apply(*a_week())
    await ledger.apply(a_week()[-1], verify=lambda *_: "missing")
    await ledger.sql("INSERT INTO revocations VALUES ('s', 'lucia', now(), NULL)")
    await ledger.sql(BY_FORCE)
    wrong = []
    for name, statement in VIOLATIONS.items():
        try:
            await ledger.sql(statement)
        except IntegrityError as refused:
            constraint = refused.orig.__cause__.constraint_name  # type: ignore[union-attr]
            if constraint != name:
                wrong.append(f"{name}: {constraint} refused it")
        else:
            wrong.append(f"{name}: nothing refused it")
    assert wrong == []


async def test_no_constraint_is_without_a_case(ledger: Ledger) -> None:
    named = {row[0] for row in await ledger.sql(ALL_NAMED)}
    assert {name for name in named if not name.startswith("alembic_version")} == set(VIOLATIONS)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE journal SET reason = 'malformed' WHERE reason IS NULL",
        "UPDATE journal SET sequence = NULL WHERE sequence IS NOT NULL",
        "UPDATE journal SET link = NULL WHERE link IS NOT NULL",
        "UPDATE journal SET session_id = NULL WHERE sequence IS NOT NULL",
        "UPDATE journal SET sequence = 99 WHERE reason IS NOT NULL",
        "UPDATE journal SET command = answer WHERE reason IS NOT NULL",
    ],
)
async def test_a_journal_row_is_a_refusal_or_has_its_place(ledger: Ledger, statement: str) -> None:
    await ledger.apply(*a_week())
    await ledger.sql(BY_FORCE)
    with pytest.raises(IntegrityError, match="journal_refused_or_in_sequence"):
        await ledger.sql(statement)


async def test_migrations_may_be_run_twice_and_by_several_at_once(corner: Settings) -> None:
    await asyncio.gather(*(upgrade(corner.database_url, MIGRATIONS) for _ in range(3)))
    await upgrade(corner.database_url, MIGRATIONS)
    engine = ledger_engine(corner.database_url)
    try:
        ledger = Ledger(engine)
        await ledger.import_profiles(profile())
        await upgrade(corner.database_url, MIGRATIONS)
        assert [row.profile_id for row in await ledger.sql("SELECT profile_id FROM tills")] == ["p"]
        steps = sorted(path.name[:4] for path in Path(versions.__file__).parent.glob("0*.py"))
        assert [row[0] for row in await ledger.sql("SELECT version_num FROM alembic_version_sessions")] == steps[-1:]
    finally:
        await engine.dispose()


async def test_a_session_has_its_day_also_where_a_worker_of_the_version_before_opened_it(ledger: Ledger) -> None:
    await ledger.apply(*a_week())
    columns = "journal_hash, journal_form, opening, tenders, totals, register, ending, moved_at, fence, sequence, state"
    await ledger.sql(
        f"""INSERT INTO sessions (store_id, profile_id, session_id, ordinal, {columns})
            SELECT store_id, profile_id, gen_random_uuid(), 99, {columns}
              FROM sessions WHERE ordinal = 1"""  # noqa: S608 - constants
    )

    days = await ledger.sql("SELECT business_date, convert_from(opening, 'UTF8')::jsonb ->> 4 FROM sessions")
    assert len(days) == 4
    assert all(str(column) == opening for column, opening in days)
