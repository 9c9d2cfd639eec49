"""What closing a session costs: one with a few orders beside one with very many, closed by turns by one worker."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

import orjson
import psutil
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from contracts.times import from_millis
from services.platform.settings import Settings
from tests.bench.corner import OURS, BenchFailed, prepare, worker
from tests.bench.traffic import Progress, command_id_of, connected, follower, publish
from tests.bench.workload import BEGIN_MS, Command, tender_of, uuid7

LOADED_LIMIT_S: Final = 240.0
ANSWER_LIMIT_S: Final = 30.0
POLL_S: Final = 0.25
WARM_UP_CLOSINGS: Final = 10

TENDERS: Final = (
    tender_of("card", "Card", "debit_card"),
    tender_of("cash", "Cash", "cash"),
    tender_of("voucher", "Voucher", "voucher"),
)
PROVIDERS: Final = ("STORE", "bicycle", "scooter")
RATES: Final = ("7", "19", "0")

# The session and its till as they are before the closing. What a closing adds is removed after it, and these come back,
# so that the same session is closed again and again. Fences only ever grow, so they are left alone.
REMEMBER: Final = (
    "CREATE TABLE session_before AS SELECT * FROM sessions",
    "CREATE TABLE till_before AS SELECT * FROM tills",
    "ALTER TABLE closings DISABLE TRIGGER append_only",
    "ALTER TABLE journal DISABLE TRIGGER append_only",
)
PUT_BACK: Final = (
    "DELETE FROM closings",
    "DELETE FROM journal WHERE kind = 'session_closed'",
    """
    UPDATE sessions s
       SET (state, sequence, journal_hash, totals, register, ending, moved_at)
         = (b.state, b.sequence, b.journal_hash, b.totals, b.register, b.ending, b.moved_at)
      FROM session_before b WHERE (s.store_id, s.session_id, s.state) = (b.store_id, b.session_id, 'closed')
    """,
    """
    UPDATE tills t SET (open_session_id, z_number, last_hash) = (b.open_session_id, b.z_number, b.last_hash)
      FROM till_before b
     WHERE (t.store_id, t.profile_id) = (b.store_id, b.profile_id) AND t.open_session_id IS NULL
    """,
)


@dataclass(frozen=True, slots=True)
class Closings:
    """Milliseconds from the publishing of a close to its answer in a consumer's hands."""

    orders: int
    closings: int
    median_ms: float
    quartiles_ms: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Day:
    """One session of `orders` orders on a till of its own."""

    till: tuple[str, str]
    session_id: str
    orders: int

    def commands(self) -> Iterator[Command]:
        """Its opening and its orders."""
        opening = {
            "currency": "EUR",
            "opening": [{"tender": "cash", "amount_minor": 10_000}],
            "tenders": TENDERS,
            "business_date": "2026-01-05",
        }
        chance = random.Random(self.orders)  # noqa: S311 - the same on every run is what is wanted
        yield self._command("open_session", 1, chance, opening)
        for at in range(self.orders):
            yield self._command("record_order", at + 2, chance, _order(at, chance))

    def close(self, chance: random.Random) -> Command:
        """Its close, under a new id each time."""
        counted = [{"tender": tender["id"], "amount_minor": 10_000} for tender in TENDERS]
        return self._command("close_session", self.orders + 2, chance, {"counted": counted})

    def _command(self, kind: str, number: int, chance: random.Random, details: dict[str, Any]) -> Command:
        now_ms = BEGIN_MS + number
        command_id = uuid7(now_ms, chance)
        body = {
            "kind": kind,
            "command_id": command_id,
            "store_id": self.till[0],
            "profile_id": self.till[1],
            "session_id": self.session_id,
            "occurred_at": from_millis(now_ms),
            "actor": {"id": "cashier-1", "name": "Ada"},
            "register_seq": number,
        }
        return Command(command_id, kind, self.till, orjson.dumps(body | details))


def _order(at: int, chance: random.Random) -> dict[str, Any]:
    """The first three meet every tender, provider, rate and seller: a small session's figures have as many rows."""
    amount = chance.randint(100, 5_000)
    return {
        "order_id": str(at),
        "revision": 0,
        "provider": PROVIDERS[at % len(PROVIDERS)],
        "order_type": "counter",
        "status": "finished",
        "gross_minor": amount,
        "discounts": [],
        "service_charges": [],
        "tax_minor": amount // 10,
        "payments": [{"tender": TENDERS[at % len(TENDERS)]["id"], "amount_minor": amount}],
        "taxes": [
            {"name": "VAT", "rate": RATES[at % len(RATES)], "net_minor": amount, "tax_minor": amount // 10},
        ],
        "change": [{"tender": TENDERS[(at + 1) % len(TENDERS)]["id"], "amount_minor": 5}],
        "rounding_minor": -1,
        "sold_by": {"id": f"waiter-{at % 3}", "name": f"Waiter {at % 3}"},
    }


async def measure(
    settings: Settings, sizes: tuple[int, int], closings: int, logs: Path, progress: Progress | None = None
) -> list[Closings]:
    """Bring a session of each size in through the topic, then close each `closings` times, by turns.

    Raises BenchFailed where a session doesn't come in, or where a close gets no answer or a refusal.
    """
    chance = random.Random(11)  # noqa: S311 - ids need no secrecy
    days = [Day(("store-close", f"till-{orders}"), uuid7(BEGIN_MS, chance), orders) for orders in sizes]
    await prepare(settings, [day.till for day in days], logs)
    engine = create_async_engine(settings.database_url)
    try:
        async with worker(OURS, settings, logs / "closing.log") as process:
            for day in days:
                await publish(settings, settings.topics.commands, day.commands())
            await _loaded(engine, process, sum(sizes) + len(days), progress)
            await _run(engine, REMEMBER)
            async with _closer(settings) as close:
                took = await _by_turns(engine, days, closings, close, chance)
    finally:
        await engine.dispose()
    return [Closings(day.orders, closings, *_middle(took[day.orders])) for day in days]


async def _loaded(engine: AsyncEngine, process: psutil.Popen, expected: int, progress: Progress | None) -> None:
    """Wait until the ledger has this many accepted commands."""
    limit, loaded = time.monotonic() + LOADED_LIMIT_S, 0
    while loaded < expected:
        await asyncio.sleep(POLL_S)
        async with engine.connect() as tx:
            loaded = int((await tx.execute(text("SELECT coalesce(sum(sequence), 0) FROM sessions"))).scalar_one())
        if progress is not None:
            progress(loaded)
        if process.poll() is not None or time.monotonic() > limit:
            raise BenchFailed(
                f"Only {loaded} of the {expected} commands before the closings were accepted; see the log."
            )


class _Closer:
    """Publishes one close at a time and waits for its answer."""

    def __init__(self, settings: Settings, producer: AIOKafkaProducer, consumer: AIOKafkaConsumer) -> None:
        self._topic, self._producer, self._consumer = settings.topics.commands, producer, consumer

    async def took_s(self, command: Command) -> float:
        """Seconds from publishing to answer. Raises BenchFailed unless the answer is that the session is closed."""
        begun = time.perf_counter()
        await self._producer.send(self._topic, command.value, key=command.key)
        while time.perf_counter() - begun < ANSWER_LIMIT_S:
            for records in (await self._consumer.getmany(timeout_ms=1_000)).values():
                now = time.perf_counter()
                for record in records:
                    if command_id_of(record) == command.command_id:
                        if b".session_closed." not in dict(record.headers)["ce_type"]:
                            raise BenchFailed(f"A close was refused: {record.value.decode()}")
                        return now - begun
        raise BenchFailed(f"A close had no answer within {ANSWER_LIMIT_S:.0f} s.")


@asynccontextmanager
async def _closer(settings: Settings) -> AsyncIterator[_Closer]:
    """A closer that hears the answers from now on."""
    producer = AIOKafkaProducer(bootstrap_servers=settings.kafka, acks="all", enable_idempotence=True)
    async with connected(producer), connected(follower(settings, settings.topics.events)) as consumer:
        await consumer.seek_to_end()
        yield _Closer(settings, producer, consumer)


async def _by_turns(
    engine: AsyncEngine, days: list[Day], closings: int, closer: _Closer, chance: random.Random
) -> dict[int, list[float]]:
    """The seconds of each size's closings; the first ones of each only warm up."""
    took: dict[int, list[float]] = {day.orders: [] for day in days}
    for number in range(WARM_UP_CLOSINGS + closings):
        # Who goes first changes, so that neither size always follows the same work of the servers.
        for day in days if number % 2 else reversed(days):
            took[day.orders].append(await closer.took_s(day.close(chance)))
            await _run(engine, PUT_BACK)
    return {orders: seconds[WARM_UP_CLOSINGS:] for orders, seconds in took.items()}


async def _run(engine: AsyncEngine, statements: tuple[str, ...]) -> None:
    async with engine.begin() as tx:
        for statement in statements:
            await tx.execute(text(statement))


def _middle(seconds: list[float]) -> tuple[float, tuple[float, float]]:
    ordered = sorted(value * 1_000 for value in seconds)
    quarter = len(ordered) // 4
    return median(ordered), (ordered[quarter], ordered[-1 - quarter])
