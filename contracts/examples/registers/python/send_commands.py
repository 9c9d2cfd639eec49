"""Send a till's commands on Kafka in their order, each once the one before it is answered; the gateway has the answers.

    pip install kafka-python
    SENDS=… ASKS=… python send_commands.py localhost:9092 till.commands.v1 http://127.0.0.1:8080 day.jsonl

SENDS is the token that goes with each record (audience `commands`), ASKS the one that opens the gateway (`api`). A line
of the file is a command with its id: however often this is run, it counts once. It ends at the first refusal.
"""

import json
import os
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from kafka import KafkaProducer

broker, topic, gateway, path = sys.argv[1:5]
ANSWER_WAIT_S = 60
# These claim nothing: what is missing may come, and the same command sent again is decided afresh.
CLAIMLESS = ["unauthenticated", "forbidden", "profile_unknown", "session_unknown", "tender_unknown", "movement_unknown"]
rights = [("authorization", f"Bearer {os.environ['SENDS']}".encode())]
# Its own partitioner is murmur2, as the wire asks.
producer = KafkaProducer(bootstrap_servers=broker, acks="all", enable_idempotence=True)


def ask(command_id: str) -> dict[str, Any] | None:
    """The answer to a command as the gateway has it, None where it has none."""
    address = f"{gateway}/api/commands/{command_id}"
    request = urllib.request.Request(address, headers={"authorization": f"Bearer {os.environ['ASKS']}"})
    while True:
        try:
            with urllib.request.urlopen(request, timeout=10) as reply:
                return json.load(reply) if reply.status == 200 else None
        except OSError as error:
            trouble, code = error, getattr(error, "code", None)
        if code == 404:
            return None
        if code in (401, 403):
            sys.exit(f"The gateway does not take the token in ASKS: {trouble}")
        print(f"The gateway is asked again: {trouble}", file=sys.stderr)
        time.sleep(1)


def answer_to(line: bytes) -> dict[str, Any]:
    """Send one command and wait for its answer, unless an earlier run has one that stays."""
    command = json.loads(line)
    earlier = ask(command["command_id"]) or {}
    if earlier and earlier["kind"] != "command_parked" and earlier.get("reason") not in CLAIMLESS:
        return earlier
    key = f"{command['store_id']}/{command['profile_id']}".encode()
    producer.send(topic, line, key=key, headers=rights).get(timeout=ANSWER_WAIT_S)
    until = time.monotonic() + ANSWER_WAIT_S
    while time.monotonic() < until:
        answer = ask(command["command_id"])
        # Each delivery of a refusal that claims nothing has an id of its own: this is not the earlier one.
        if answer and answer["event_id"] != earlier.get("event_id"):
            return answer
        time.sleep(0.2)
    sys.exit(f"{command['command_id']} is on the topic and has no answer yet: run this again.")


for line in Path(path).read_bytes().splitlines():
    answer = answer_to(line)
    print(answer["command_id"], answer["command_kind"], answer["kind"], flush=True)
    if answer["kind"] in ("command_rejected", "command_parked"):
        sys.exit(f"{answer['command_id']} was refused ({answer.get('reason', 'parked')}): {answer['message']}")
