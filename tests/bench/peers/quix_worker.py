"""The worker of the Quix Streams way.

Each setting says why its documentation, or that of librdkafka beneath it, names it. BENCH_LATENCY=1 trades throughput
for early answers.
"""

import hashlib
import json
import os
from functools import lru_cache
from typing import Any, Final

import orjson
from quixstreams import Application, State, message_context
from quixstreams.models import Serializer

from contracts.events import claimless_event_id_of, event_id_of, reused_event_id_of
from contracts.jsontext import canonical
from contracts.times import from_millis
from contracts.topics import Headers, cloud_event_headers
from services.platform.settings import Settings
from tests.bench.peers.quix import NAME, answers_topic, folder, tills_file
from tests.bench.peers.quix_rules import Refused, decide, reject

HASH_BYTES: Final = 32

Answered = tuple[bytes, Headers]


class FirstOfPair(Serializer):
    """The bytes of an answer that comes with its headers."""

    def __call__(self, value: Answered, ctx: Any) -> bytes:  # noqa: ARG002 - the name is given by keyword
        return value[0]


class Desk:
    """Where every record of a till is answered, in order. `tills` are those that are known."""

    def __init__(self, tills: list[list[str]]) -> None:
        self.tills = {(store, profile) for store, profile in tills}
        # Thousands of records were appended in the same millisecond.
        self.time_of = lru_cache(maxsize=1_024)(from_millis)

    def answer(self, value: bytes, _key: bytes, timestamp: int, _headers: Any, state: State[bytes, Any]) -> Answered:
        """The answer to one command; where it claims the id it is kept under it, so that a repeat gets it again."""
        body = orjson.loads(value)
        store_id, command_id = body["store_id"], body["command_id"].lower()
        digest = hashlib.sha256(canonical(body)).digest()
        key = b"answer/" + command_id.encode()
        event_id = event_id_of(store_id, command_id)
        known = state.get_bytes(key)
        if known is None:
            received_at = self.time_of(timestamp)
            known_till = (store_id, body["profile_id"]) in self.tills
            try:
                kind, answer = decide(state, body, event_id, received_at, known_till=known_till)
            except Refused as refused:
                return _claimless(body, received_at, refused)
            state.set_bytes(key, digest + answer)
            return answer, _headers_of(event_id, kind, received_at, command_id)
        if known[:HASH_BYTES] != digest:
            return self._reused(body, command_id, digest, timestamp, state)
        return _again(known[HASH_BYTES:])

    def _reused(self, body: Any, command_id: str, digest: bytes, timestamp: int, state: State[bytes, Any]) -> Answered:
        event_id = reused_event_id_of(body["store_id"], command_id, digest.hex())
        key = b"reused/" + event_id.encode()
        known = state.get_bytes(key)
        if known is None:
            known = reject(body, event_id, from_millis(timestamp), Refused("command_id_reused"))
            state.set_bytes(key, known)
        return _again(known)


def _claimless(body: Any, received_at: str, refused: Refused) -> Answered:
    """The answer to a record whose command is decided afresh when it is sent again: nothing is kept."""
    record = message_context()
    event_id = claimless_event_id_of(record.topic, record.partition, record.offset)
    return _again(reject(body, event_id, received_at, refused))


def _again(answer: bytes) -> Answered:
    body = orjson.loads(answer)
    return answer, _headers_of(body["event_id"], body["kind"], body["received_at"], body["command_id"])


def _headers_of(event_id: str, kind: str, received_at: str, command_id: str) -> Headers:
    return [*cloud_event_headers(event_id, kind, received_at), ("till-command-id", command_id.encode())]


THROUGHPUT: Final[dict[str, Any]] = {
    # Longer intervals flush state and changelog less often, says its page on checkpointing; beyond a second there was
    # nothing to gain, while memory grew and the worker stood still longer at each commit.
    "commit_interval": 1.0,
    # librdkafka's one most important setting: fuller batches, fewer requests. A commit flushes without waiting for it.
    "producer_extra_config": {"linger.ms": 50},
}
LATENCY: Final[dict[str, Any]] = {
    # Answers can be read once their transaction is committed, so this is what they wait for.
    "commit_interval": 0.01,
    # While the consumer waits for a record nothing is committed.
    "consumer_poll_timeout": 0.005,
    "producer_extra_config": {"linger.ms": 0},
}


def run(settings: Settings) -> None:
    """Answer commands until told to stop."""
    app = Application(
        broker_address=settings.kafka,
        consumer_group=f"{settings.sessions_group}-{NAME}",
        auto_offset_reset="earliest",
        processing_guarantee="exactly-once",
        state_dir=folder(settings) / "state",
        loglevel="WARNING",
        **(LATENCY if os.environ.get("BENCH_LATENCY") == "1" else THROUGHPUT),
    )
    commands = app.topic(settings.topics.commands, value_deserializer="bytes")
    answers = app.topic(answers_topic(settings), value_serializer=FirstOfPair())
    desk = Desk(json.loads(tills_file(settings).read_text()))
    answered = app.dataframe(commands).apply(desk.answer, stateful=True, metadata=True)
    answered.set_headers(lambda value, _key, _timestamp, _headers: value[1]).to_topic(answers)
    app.run()


if __name__ == "__main__":
    run(Settings())
