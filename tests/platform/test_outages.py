"""A consumer in an outage is stopped, and whoever stops it goes on; what is gone is asked for with pauses."""

import asyncio
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from aiokafka import TopicPartition
from aiokafka.consumer import consumer
from aiokafka.consumer.subscription_state import SubscriptionState
from aiokafka.errors import KafkaConnectionError

from services.platform.kafka.connection import connection
from services.platform.kafka.outages import Fetcher
from services.platform.settings import Settings
from tests.support.waiting import eventually

LONG_MS = 60_000
PAUSE_S = 0.1


async def test_a_fetch_that_pauses_in_an_outage_ends_with_its_consumer_and_ends_nobody_else() -> None:
    asked = asyncio.Event()

    async def send(_node: int, _request: Any) -> Any:
        asked.set()
        raise KafkaConnectionError

    client = SimpleNamespace(_loop=asyncio.get_running_loop(), _metadata_max_age_ms=LONG_MS, send=send)
    fetching = Fetcher(client, SubscriptionState(), retry_backoff_ms=LONG_MS)
    await asyncio.sleep(0)  # It begins with none, and waits for partitions.
    fetch = asyncio.create_task(fetching._proc_fetch_request(None, 0, SimpleNamespace(topics=[])))
    fetching._pending_tasks.add(fetch)
    await asyncio.wait_for(asked.wait(), 5)
    assert not fetch.done(), "it pauses"

    await fetching.close()
    assert fetch.result() is False


async def test_a_topic_that_is_gone_is_asked_for_with_pauses() -> None:
    asked: list[float] = []
    loop = asyncio.get_running_loop()

    def ask() -> asyncio.Future[bool]:
        asked.append(loop.time())
        reply = loop.create_future()
        loop.call_soon(reply.set_result, True)
        return reply

    nobody = SimpleNamespace(leader_for_partition=lambda _partition: None)
    client = SimpleNamespace(_loop=loop, _metadata_max_age_ms=LONG_MS, cluster=nobody, force_metadata_update=ask)
    subscriptions = SubscriptionState()
    subscriptions.assign_from_user([TopicPartition("gone", 0)])
    fetching = Fetcher(client, subscriptions, retry_backoff_ms=PAUSE_S * 1000, fetcher_timeout=PAUSE_S / 10)

    async def goes_on() -> bool:
        return len(asked) > 2

    await eventually(goes_on)
    await fetching.close()

    assert all(later - earlier >= PAUSE_S for earlier, later in pairwise(asked))


def test_every_client_of_ours_bears_outages_so(tmp_path: Path) -> None:
    connection(Settings(home=tmp_path))
    assert consumer.Fetcher is Fetcher
