"""The worker's loop is everybody's: heartbeats, readiness and the servers' replies wait while it is held."""

import json
import time
from uuid import uuid4

import orjson
import pytest

from contracts.jsontext import compact
from contracts.topics import key_of
from services.platform.auth.signing_keys import ensure_key
from services.platform.auth.tokens import mint
from services.sessions.worker.read_record import read
from tests.support.commands import STORE, movement
from tests.support.dear_bodies import dear_bodies
from tests.support.full_commands import body
from tests.support.sessions_service import SessionsService
from tests.support.till import TOPIC, Raw
from tests.support.waiting import eventually

HELD_GOOD_ORDERS_MAX = 3_000
"""At a stretch the loop is held for less processor time than reading so many good orders takes: 50 ms where one takes
16 us. As a count it is true of slow machines too. Without slices it is half as many again."""
SMALL = 6_000
"""Of each kind: as many as the largest batch takes."""
ROUNDS = 7


def good_order_ns() -> float:
    """What reading one takes here, at best."""
    record = Raw(TOPIC, 0, 0, 0, None, compact(body("record_order")))
    least = float("inf")
    for _ in range(ROUNDS):
        begun = time.thread_time_ns()
        for _ in range(500):
            read(record, None)
        least = min(least, (time.thread_time_ns() - begun) / 500)
    return least


@pytest.mark.parametrize("with_token", [False, True], ids=["without a token", "with a token"])
async def test_the_loop_is_never_held_for_long_by_the_dearest_bodies_and_the_largest_batches(
    service: SessionsService, *, with_token: bool
) -> None:
    await service.profiles(["p0"])
    ensure_key(service.settings)
    token = mint(service.settings, sub="ana", role="register", stores=[STORE], ttl_s=3_600)
    headers = [("authorization", b"Bearer " + token.encode())] if with_token else []
    refused = movement("p0", str(uuid4()), 1)
    values = [
        *dear_bodies().values(),
        *(orjson.dumps(refused | {"command_id": str(uuid4())}) for _ in range(SMALL)),
        *(orjson.dumps(refused | {"command_id": str(uuid4()), "movement": "?"}) for _ in range(SMALL)),
    ]
    topic, key = service.settings.topics.commands, key_of(STORE, "p0")
    waiting = [await service.producer.send(topic, value, key=key, headers=headers, partition=0) for value in values]
    for sent in waiting:
        await sent
    worker = await service.ready_worker("--time-loop", TILL_AUTH="required")

    async def all_read() -> bool:
        return len(service.seen.events) + len(service.seen.letters) >= len(values)

    await eventually(all_read, within_s=90)

    assert await worker.stopped() == 0
    (logged,) = [json.loads(line) for line in worker.log.read_text().splitlines() if "loop_held" in line]
    held = logged["longest_ns"] / good_order_ns()
    assert 10 < held < HELD_GOOD_ORDERS_MAX, f"{logged['longest_ns'] / 1e6:.1f} ms"
