"""What other languages' libraries write, recorded once by running them; `record` says how."""

import json
from pathlib import Path
from typing import Any, Final

HERE: Final = Path(__file__).parent


def recorded(library: str) -> dict[str, Any]:
    """What `record` kept of a library: its version, and what it wrote."""
    written: dict[str, Any] = json.loads((HERE / f"{library}.json").read_text(encoding="utf-8"))
    return written
