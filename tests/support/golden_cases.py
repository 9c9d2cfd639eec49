"""The golden cases of tests/golden, and what it takes to play one."""

import csv
import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson
from pydantic import TypeAdapter

from contracts.profiles import profile_hash
from contracts.values import Tender
from services.platform.auth.claims import Claims, Flaw
from services.sessions.ledger.profiles import read_profiles
from services.sessions.rules.model import BatchState, Profile, Till
from services.sessions.worker.apply import Read
from services.sessions.worker.read_record import Headers, read
from tests.support.settings_objects import settings_of
from tests.support.till import GENESIS, TOPIC, Body, Raw

HERE = Path(__file__).parents[1] / "golden"
NAMES = sorted(path.stem for path in HERE.glob("*.json"))
TENDERS = TypeAdapter(tuple[Tender, ...])


@dataclass(frozen=True)
class Case:
    """One file: master data and records in, answers (None for a dead letter) and closings out."""

    name: str
    content: Body
    profiles: list[dict[str, Any]]

    @property
    def answers(self) -> list[bytes | None]:
        return [None if answer is None else orjson.dumps(answer) for answer in self.content["answers"]]

    @property
    def closings(self) -> list[bytes]:
        return [orjson.dumps(closing) for closing in self.content["closings"]]

    def reads(self) -> list[Read]:
        """The records as the service reads them; where the case says who speaks, the right to speak is checked."""
        records = self.content["records"]
        checked = any("claims" in record for record in records)

        def verify(headers: Headers, _at_ms: int, _store_id: str) -> Claims | Flaw:
            claims = records[int(headers[0][1] or b"")].get("claims")
            return "missing" if claims is None else Claims(**_claims(claims))

        return [read(_raw(record, offset), verify if checked else None) for offset, record in enumerate(records)]

    def batch_state(self) -> BatchState:
        """A ledger in memory that knows the case's profiles and nothing else."""
        batch_state = BatchState()
        for row in self.profiles:
            rules = {name: row[name] for name in Profile.__dataclass_fields__}
            rules["tenders"] = TENDERS.validate_python(json.loads(row["tenders"]), strict=False)
            key = row["store_id"], row["profile_id"]
            batch_state.tills[key] = Till(
                *key, Profile(**rules), None, 0, 0, GENESIS, 0, profile_hash=profile_hash(settings_of(row))
            )
        return batch_state


def load(name: str, scratch: Path) -> Case:
    """The case of this name. Its profiles go the way of `till profiles import`, by a CSV file in `scratch`."""
    content = json.loads((HERE / f"{name}.json").read_bytes())
    rows = [{c: json.dumps(v) if c == "tenders" else v for c, v in row.items()} for row in content["profiles"]]
    path = scratch / f"{name}.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(dict.fromkeys(column for row in rows for column in row)))
        writer.writeheader()
        writer.writerows(rows)
    return Case(name, content, read_profiles(path))


def _raw(record: Body, offset: int) -> Raw:
    value = record["raw"] if "raw" in record else json.dumps(record["value"], ensure_ascii=False)
    at = datetime.fromisoformat(record["received_at"])
    key = record.get("key")
    headers = (("case-record", str(offset).encode()),)
    return Raw(TOPIC, 0, offset, round(at.timestamp() * 1000), key and key.encode(), value.encode(), headers)


def _claims(claims: Body) -> Body:
    """What the case leaves out of a token says nothing."""
    nothing = {"company": None, "via": None, "iat": None, "exp": 4e9}
    return nothing | claims | {"stores": frozenset(claims["stores"])}
