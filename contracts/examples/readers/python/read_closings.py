"""Follow the closings of all tills: each once, its hash recomputed, its chain without a gap.

    pip install kafka-python rfc8785
    python read_closings.py localhost:9092 till.closings.v1 closings.seen

What was taken is a line of the file: ce_id, till, the till's last hash, kind. Kafka is told afterwards: what a crash
brings again is known by its ce_id. It ends at a closing that was changed or does not follow the one before it.
"""

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import rfc8785
from kafka import KafkaConsumer

broker, topic, path = sys.argv[1:4]
seen: set[str] = set()
last: dict[str, str] = {}


def check(closing: dict[str, Any], till: str) -> None:
    """End where this closing is not as it was, or not the next one of its till."""
    claimed, number = closing.pop("hash"), closing["z_number"]
    if hashlib.sha256(rfc8785.dumps(closing)).hexdigest() != claimed:
        sys.exit(f"{till} closing {number} was changed")
    if closing["prev_hash"] != last.get(till, "0" * 64):
        before = f"closing {number - 1} is missing, or was replaced"
        sys.exit(f"{till} closing {number} does not follow the last one taken: {before}")
    last[till] = claimed


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
        ce_id, message = dict(record.headers)["ce_id"].decode(), json.loads(record.value)
        till = f"{message['store_id']}/{message['profile_id']}"
        if ce_id not in seen:
            if message["kind"] == "closing":
                check(message, till)
            seen.add(ce_id)
            print(ce_id, till, last[till], message["kind"], file=file, flush=True)
        consumer.commit()
