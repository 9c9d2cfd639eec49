"""A revoked token lists nothing, shows nothing and follows nothing: within five seconds, in the reader as it is run."""

import asyncio
import time

import httpx
from aiokafka import AIOKafkaProducer
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from contracts.access import AccessRecord, Restored, Revoked
from services.platform import access_log
from services.platform.http.event_stream import write_id
from services.platform.settings import Settings
from tests.reporting.closing_messages import closing, value
from tests.reporting.closing_pages import PATH, z_numbers
from tests.reporting.listener import listening, stream_status
from tests.reporting.reader import TABLES, bearer, checking_reader, publish, until_read
from tests.support.waiting import eventually

WITHIN_S = 5.0
TICKETS = "/api/stream-tickets"
GOING_ON = {"last-event-id": write_id({}).decode()}
PARROT = "/v1/cashier-sessions/?startTimestamp=2025-01-01T00:00:00Z&endTimestamp=2025-01-02T00:00:00Z"


async def say(settings: Settings, *records: AccessRecord) -> None:
    await access_log.publish(settings, records)


async def until_stream_ends(
    http: httpx.AsyncClient, opened: asyncio.Event, headers: dict[str, str], **asked: str
) -> float:
    """Follow the stream to its end; when that was."""
    async with listening(http, headers, **{"from": "beginning"} | asked) as stream:
        while await stream.event() is not None:
            opened.set()
    return time.monotonic()


async def test_a_revoked_token_reads_nothing_and_its_streams_end(reporting: Settings) -> None:
    await publish(reporting, [value(closing(1)), value(closing(2, store_id="s2"))])
    async with checking_reader(reporting) as (_, http):
        rita, nora = bearer(reporting, "s1"), bearer(reporting, "s1", sub="nora")

        async def read() -> bool:
            return z_numbers(await http.get(PATH, headers=rita)) == [1]

        await eventually(read)
        closing_id = (await http.get(PATH, headers=rita)).json()["items"][0]["closing_id"]
        ticket, of_nora = [(await http.post(TICKETS, headers=asked)).json()["ticket"] for asked in (rita, nora)]
        opened = [asyncio.Event() for _ in range(4)]
        stream = asyncio.create_task(until_stream_ends(http, opened[0], rita))
        by_ticket = asyncio.create_task(until_stream_ends(http, opened[1], {}, ticket=ticket))
        others = [
            asyncio.create_task(until_stream_ends(http, opened[2], nora)),
            asyncio.create_task(until_stream_ends(http, opened[3], {}, ticket=of_nora)),
        ]
        await asyncio.gather(*(event.wait() for event in opened))

        await say(reporting, Revoked(store_id="*", subject="rita"))
        revoked_at = time.monotonic()

        assert await stream - revoked_at < WITHIN_S
        assert await by_ticket - revoked_at < WITHIN_S
        for path in (PATH, f"{PATH}/{closing_id}", f"{PATH}/stream", PARROT):
            assert (await http.get(path, headers=rita)).status_code == 401, path
        assert z_numbers(await http.get(PATH, headers=nora)) == [1]
        assert [await stream_status(http, headers, ticket=ticket) for headers in ({}, GOING_ON)] == [401, 401]
        assert (await http.post(TICKETS, headers=rita)).status_code == 401
        assert await stream_status(http, {}, ticket=of_nora) == 200
        for other in others:
            assert not other.done()
            other.cancel()
        await say(reporting, Restored(store_id="*", subject="rita"))
        again = bearer(reporting, "s1")

        async def back() -> bool:
            return (await http.get(PATH, headers=again)).status_code == 200

        await eventually(back, within_s=WITHIN_S)
        assert (await http.get(PATH, headers=rita)).status_code == 401, "its token was issued before"
        assert await stream_status(http, {}, ticket=ticket) == 401, "and so was what it was made from"


async def test_a_reader_that_begins_anew_over_empty_tables_forgets_no_revocation(
    reporting: Settings, engine: AsyncEngine
) -> None:
    """Its database knows the key of its tickets alone, as one that was restored from before the revocation does."""
    await publish(reporting, [value(closing(1))])
    async with checking_reader(reporting) as (_, http):
        rita, nora = bearer(reporting, "s1"), bearer(reporting, "s1", sub="nora")
        await until_read(engine, 1)
        before = [(await http.post(TICKETS, headers=asked)).json()["ticket"] for asked in (rita, nora)]
    await say(reporting, Revoked(store_id="*", subject="rita"))
    async with engine.begin() as tx:
        await tx.execute(text(f"TRUNCATE {', '.join(f'reporting.{table}' for table in TABLES)}"))
    async with checking_reader(reporting) as (_, http):
        await until_read(engine, 1)
        assert z_numbers(await http.get(PATH, headers=nora)) == [1]
        assert (await http.get(PATH, headers=rita)).status_code == 401
        assert await stream_status(http, rita) == 401
        assert [await stream_status(http, GOING_ON, ticket=ticket) for ticket in before] == [401, 200]


async def test_a_revocation_in_one_store_leaves_the_others(reporting: Settings) -> None:
    await publish(reporting, [value(closing(1)), value(closing(2, store_id="s2"))])
    await say(reporting, Revoked(store_id="s1", subject="rita"))
    async with checking_reader(reporting) as (_, http):
        everywhere, both = bearer(reporting, "*"), bearer(reporting, "s1", "s2")

        async def read() -> bool:
            return z_numbers(await http.get(PATH, headers=bearer(reporting, "*", sub="nora"))) == [1, 2]

        await eventually(read)
        items = (await http.get(PATH, headers=bearer(reporting, "*", sub="nora"))).json()["items"]
        for headers in (everywhere, both):
            assert z_numbers(await http.get(PATH, headers=headers)) == [2]
            assert (await http.get(PATH, headers=headers, params={"store": "s1"})).status_code == 403
            status = [(await http.get(f"{PATH}/{item['closing_id']}", headers=headers)).status_code for item in items]
            assert status == [404, 200]
            assert (await http.get(PARROT, headers=headers)).json()["pagination"]["count"] == 1
            async with listening(http, headers, **{"from": "beginning"}) as stream:
                assert (await stream.event())["store_id"] == "s2"
        assert (await http.get(PATH, headers=bearer(reporting, "s1"))).status_code == 401


async def test_a_reader_without_the_access_topic_says_so_and_knows_of_no_revocations(reporting: Settings) -> None:
    await say(reporting, Revoked(store_id="*", subject="rita"))
    async with checking_reader(reporting.model_copy(update={"access_topic": ""})) as (process, http):
        assert process.has_logged("no_revocations")
        assert (await http.get(PATH, headers=bearer(reporting, "s1"))).status_code == 200


async def test_what_can_not_be_read_on_the_access_topic_stops_readiness(reporting: Settings) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=reporting.kafka)
    await producer.start()
    await producer.send_and_wait(reporting.topics.access, b"{", partition=0)
    await producer.stop()
    await say(reporting, Revoked(store_id="*", subject="rita"))

    async with checking_reader(reporting) as (process, http):
        assert "access" in (await http.get("/health/ready")).json()["failed"]
        assert process.has_logged("access_record_unreadable")
        assert (await http.get(PATH, headers=bearer(reporting, "s1"))).status_code == 401, "what follows it was read"
