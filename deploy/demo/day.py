"""Reads the demo day: the records as they are published, and what must come of them."""

import base64
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PROFILES = HERE / "profiles.csv"
"""The master data of the five stores."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One record. `signed_by` is the store whose token it bears; raw bytes have no command id.

    `manager` is whose own token it is; without one, it is the register's.
    """

    key: bytes
    value: bytes
    signed_by: str | None
    store_id: str
    profile_id: str | None
    command_id: str | None
    manager: str | None = None

    @property
    def has_right_key(self) -> bool:
        """Whether the record goes to the partition of its profile."""
        return self.key == f"{self.store_id}/{self.profile_id}".encode()


def read_day(folder: Path = HERE) -> list[Entry]:
    """Every record of `day.jsonl` in `folder`, in the order of publication."""
    with (folder / "day.jsonl").open(encoding="utf-8") as lines:
        return [_entry(json.loads(line)) for line in lines]


def read_expected(folder: Path = HERE) -> dict[str, Any]:
    """What must come of the day: counts by outcome, and every closing's figures."""
    expected: dict[str, Any] = json.loads((folder / "expected.json").read_text(encoding="utf-8"))
    return expected


def _entry(line: dict[str, Any]) -> Entry:
    key = line["key"]
    if "raw" in line:
        store_id = key.partition("/")[0]
        return Entry(key.encode(), base64.b64decode(line["raw"]), store_id, store_id, None, None)
    body = line["value"]
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    return Entry(
        key.encode(),
        text.encode(),
        line.get("token", body["store_id"]),
        body["store_id"],
        body["profile_id"],
        body["command_id"],
        line.get("manager"),
    )
