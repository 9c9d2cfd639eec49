"""The signed differences between two reports of a session, in the shape of a report."""

from typing import Any, Final

from contracts.jsontext import SAFE_INTEGER
from services.sessions.rules.report import largest

NAMES: Final = frozenset(
    {"tender", "provider", "order_type", "id", "name", "rate", "type", "currency", "exchange_rate"}
)
"""Members that name a row instead of counting something."""
KEYS: Final = ("tender", "provider", "order_type", "name", "rate")
"""What tells the rows of one list apart, where they have no `id`."""


def fit(before: Any, after: Any) -> bool:
    """Whether every difference stays within what every JSON reader keeps exactly, as the figures themselves do."""
    return largest(differences(before, after)) <= SAFE_INTEGER


def differences(before: Any, after: Any) -> dict[str, Any]:
    """What must be added to the figures `before` to get those `after`, in the same shape; null counts as 0."""
    result: dict[str, Any] = _difference(before, after)
    return result


def _difference(before: Any, after: Any) -> Any:
    if isinstance(before, dict):
        return {name: after[name] if name in NAMES else _difference(before[name], after[name]) for name in after}
    if isinstance(before, list):
        return _row_differences(before, after)
    if before is None and after is None:
        return None
    return (after or 0) - (before or 0)


def _row_differences(before: list[dict[str, Any]], after: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows by their keys; a row that is on one side only counts from or to 0."""
    old, new = ({_key(row): row for row in rows} for rows in (before, after))
    rows = []
    for key in sorted(old.keys() | new.keys()):
        model = new.get(key) or old[key]
        row = _difference(old.get(key) or _zeros(model), new.get(key) or _zeros(model))
        if not _is_zero(row):
            rows.append(row)
    return rows


def _key(row: dict[str, Any]) -> tuple[str, ...]:
    return (row["id"],) if "id" in row else tuple(row[name] for name in KEYS if name in row)


def _zeros(part: Any) -> Any:
    """The same shape with 0 for every figure."""
    if isinstance(part, dict):
        return {name: value if name in NAMES else _zeros(value) for name, value in part.items()}
    return None if part is None else 0


def _is_zero(part: Any) -> bool:
    if isinstance(part, dict):
        return all(name in NAMES or _is_zero(value) for name, value in part.items())
    return not part
