"""A consumer is stopped while its broker is away, and whoever stops it goes on."""

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from aiokafka.consumer import consumer
from aiokafka.consumer.subscription_state import SubscriptionState
from aiokafka.errors import KafkaConnectionError

from services.platform.kafka.connection import connection
from services.platform.kafka.stoppable import Fetcher
from services.platform.settings import Settings

LONG_MS = 60_000


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


def test_every_client_of_ours_can_be_stopped_so(tmp_path: Path) -> None:
    connection(Settings(home=tmp_path))
    assert consumer.Fetcher is Fetcher
