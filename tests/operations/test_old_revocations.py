"""What the version before kept in a table of the ledger goes to the access topic: once, and before anything else."""

from services.platform.access_log import read_now
from services.platform.settings import Settings
from tests.support.processes import till
from tests.support.sessions_service import SessionsService

ROWS = """
    INSERT INTO revocations VALUES ('s1', 'ana', now() - interval '1 day', NULL), ('*', 'caja-7', now(), NULL),
        ('s1', 'eva', now() - interval '2 days', now() - interval '1 day')
"""


LATER = (
    "ALTER TABLE journal DROP COLUMN sold_by, DROP COLUMN counts",
    "ALTER TABLE profiles DROP COLUMN time_zone",
    "COMMENT ON TABLE revocations IS NULL",
    "CREATE INDEX journal_refused_register_seq ON journal (store_id, session_id)",
    "ALTER TABLE consumed DROP COLUMN vouched_offset",
    "DROP TRIGGER business_date_of_opening ON sessions",
    "DROP FUNCTION session_business_date",
    "ALTER TABLE sessions DROP COLUMN business_date",
    "DROP INDEX sessions_by_state",
    "UPDATE alembic_version_sessions SET version_num = '0005'",
)
"""What the migrations since have done, taken back."""


async def as_the_version_before_left_it(service: SessionsService) -> None:
    for statement in (*LATER, ROWS):
        await service.change(statement)


async def test_the_rows_are_put_on_the_topic_once(service: SessionsService) -> None:
    await as_the_version_before_left_it(service)
    done = [await till(service.settings, "migrate") for _ in range(2)]
    assert [each.returncode for each in done] == [0, 0], done
    assert ["access topic: 3." in each.stdout for each in done] == [True, False]
    revocations, unreadable = await read_now(service.settings)
    assert revocations.in_force() == [("*", "caja-7"), ("s1", "ana")]
    assert unreadable == []


async def test_nothing_is_migrated_where_the_topic_does_not_take_them(service: SessionsService) -> None:
    await as_the_version_before_left_it(service)
    refused = await till(service.settings, "migrate", TILL_KAFKA="127.0.0.1:1")
    assert refused.returncode == 2
    assert "did not take it" in refused.stderr
    version = await service.query("SELECT version_num FROM alembic_version_sessions")
    assert version[0].version_num == "0005"


async def test_without_rows_no_kafka_is_needed(corner: Settings) -> None:
    assert (await till(corner, "migrate", TILL_KAFKA="127.0.0.1:1")).returncode == 0
