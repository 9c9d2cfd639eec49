"""A register whose line is down takes commands, and then sends them: `register_load outbox puts queued…`.

Prints its figures as one line of JSON. It is a process of its own, so that its memory is its own.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import psutil

from services.register.entries import Entry
from services.register.errors import LineDown
from services.register.register import Register
from services.register.settings import RegisterSettings

ORDER: Final = {
    "kind": "record_order",
    "revision": 0,
    "provider": "counter",
    "order_type": "takeaway",
    "status": "finished",
    "gross_minor": 1_250,
    "discounts": [],
    "service_charges": [],
    "tax_minor": 172,
    "payments": [{"tender": "cash", "amount_minor": 1_250, "tendered_minor": 2_000, "change_minor": 750}],
}
FILLED_AT_ONCE: Final = 256
ANSWER: Final = b'{"kind":"order_recorded","event_id":"00000000-0000-5000-8000-000000000000","sequence":1}'


class Switched:
    """A line that is down, and answers at once when it is up."""

    def __init__(self) -> None:
        self.up, self.answered = False, 0

    async def send(self, _: Entry) -> bytes | None:
        if not self.up:
            raise LineDown("The line is cut.")
        self.answered += 1
        return ANSWER

    async def ask(self, _: Entry) -> bytes | None:
        raise AssertionError("All is answered at once.")

    async def close(self) -> None:
        """Nothing is open."""


def rss_mib() -> float:
    return float(psutil.Process().memory_info().rss) / 2**20


def settings_of(path: Path) -> RegisterSettings:
    return RegisterSettings(outbox=path, store_id="cafe", profile_id="caja-1", actor="ana", currency="MXN")


async def put(register: Register, number: int) -> float:
    """Take an order; how long that took, in seconds."""
    begun = time.perf_counter()
    await register.put(ORDER | {"order_id": f"order-{number}"})
    return time.perf_counter() - begun


async def taken(register: Register, first: int, count: int, at_once: int) -> dict[str, float]:
    """So many orders, by so many callers who each wait for their last one."""
    numbers, times = iter(range(first, first + count)), list[float]()

    async def caller() -> None:
        for number in numbers:
            times.append(await put(register, number))

    begun = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(at_once)))
    return {"at_once": at_once, "per_s": count / (time.perf_counter() - begun)} | shares(times)


def shares(times: Sequence[float]) -> dict[str, float]:
    ranked = sorted(times)
    return {f"p{share}_ms": ranked[len(ranked) * share // 100] * 1_000 for share in (50, 99)}


def syncs(path: Path, count: int) -> dict[str, float]:
    """What the disk takes for a page that is written and synced, with nothing around it."""
    handle, page, times = os.open(path, os.O_WRONLY | os.O_CREAT), bytes(4_096), list[float]()
    for number in range(count):
        begun = time.perf_counter()
        os.pwrite(handle, page, 4_096 * (number % 256))
        os.fsync(handle)
        times.append(time.perf_counter() - begun)
    os.close(handle)
    return {"at_once": 0, "per_s": count / sum(times)} | shares(times)


async def queued(register: Register, path: Path, first: int, size: int, puts: int) -> dict[str, float]:
    """Fill it until so many wait; what it takes then, and what that costs."""
    count = size - (await register.status()).counts.queued - puts
    # Nothing is noted meanwhile: a million times would be the larger part of the memory.
    for begin in range(first, first + count, FILLED_AT_ONCE):
        numbers = range(begin, min(begin + FILLED_AT_ONCE, first + count))
        await asyncio.gather(*(put(register, number) for number in numbers))
    times = (await taken(register, first + count, puts, 1)) | {"queued": size}
    begun = time.perf_counter()
    await register.status()
    status_ms = (time.perf_counter() - begun) * 1_000
    return times | {"status_ms": status_ms, "rss_mib": rss_mib(), "file_mib": path.stat().st_size / 2**20}


async def sent(register: Register, line: Switched, count: int) -> float:
    """How many are sent and recorded in a second, by a line that answers at once."""
    waiting = (await register.status()).counts.queued
    line.up, begun = True, time.perf_counter()
    while (left := (await register.status()).counts.queued) > waiting - count:
        await asyncio.sleep(0.02)
    return (waiting - left) / (time.perf_counter() - begun)


async def main(path: Path, puts: int, sizes: Sequence[int], say: Callable[[int], None]) -> dict[str, Any]:
    figures: dict[str, Any] = {"disk": syncs(path.with_name("page"), puts), "queued": []}
    line = Switched()
    async with Register(settings_of(path), line) as register:
        await register.put({"kind": "open_session", "opening": []})
        figures["rss_mib"] = rss_mib()
        figures["taken"] = [await taken(register, index * puts, puts, at_once) for index, at_once in enumerate((1, 16))]
        for size in sizes:
            figures["queued"].append(await queued(register, path, size * 10, size, puts))
            say(size)
    begun = time.perf_counter()
    async with Register(settings_of(path), line) as register:
        await register.status()
        figures["opened_ms"] = (time.perf_counter() - begun) * 1_000
        figures["sent_per_s"] = await sent(register, line, puts)
        figures["rss_sent_mib"] = rss_mib()
    return figures


if __name__ == "__main__":
    words = [int(word) for word in sys.argv[2:]]
    figures_of_all = asyncio.run(main(Path(sys.argv[1]), words[0], words[1:], lambda _: None))
    sys.stdout.write(json.dumps(figures_of_all) + "\n")
