"""Follow the closings of all tills: each once, its hash recomputed, its chain without a gap.

    pip install kafka-python rfc8785
    python read_closings.py localhost:9092 till.closings.v1 closings.seen

What was taken is a line of the file: ce_id, till, the till's last hash, kind. Kafka is told afterwards: what a crash
brings again is known by its ce_id. It ends at a closing that was changed or does not follow the one before it, and at
a record that it can't read.
"""

import hashlib
import json
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import rfc8785
from kafka import KafkaConsumer

broker, topic, path = sys.argv[1:4]
seen: set[str] = set()
last: dict[str, str] = defaultdict(lambda: "0" * 64)


def check(closing: dict[str, Any], till: str) -> None:
    """End where this closing is not as it was, or not the next one of its till."""
    claimed, name = closing.pop("hash", None), f"{till} closing {closing.get('z_number')}"
    if hashlib.sha256(rfc8785.dumps(closing)).hexdigest() != claimed:
        sys.exit(f"{name} was changed")
    if closing.get("prev_hash") != last[till]:
        sys.exit(
            f"{name} does not follow: its prev_hash is {closing.get('prev_hash')}, the last one taken has {last[till]}"
        )
    last[till] = claimed


def take(record: Any) -> None:
    """Take a record, unless it was taken before."""
    ce_id, message = dict(record.headers)["ce_id"].decode(), json.loads(record.value)
    till = f"{message['store_id']}/{message['profile_id']}"
    if ce_id not in seen:
        if message["kind"] == "closing":
            check(message, till)
        seen.add(ce_id)
        print(ce_id, till, last[till], message["kind"], file=file, flush=True)


consumer = KafkaConsumer(
    topic,
    bootstrap_servers=broker,
    group_id=f"{topic}.reader",
    session_timeout_ms=10_000,  # So long does the next one wait after a crash.
    auto_offset_reset="earliest",
    enable_auto_commit=False,
)
with Path(path).open("a+", encoding="utf-8") as file:
    file.seek(0)
    for parts in map(str.split, file):
        if len(parts) == 4:  # Not what a crash left of a line.
            seen.add(parts[0])
            last[parts[1]] = parts[2]
    print(file=file, flush=True)
    for record in consumer:
        try:
            take(record)
        except (LookupError, TypeError, ValueError, AttributeError) as fault:
            sys.exit(f"partition {record.partition} offset {record.offset} could not be taken: {fault!r}")
        consumer.commit()
