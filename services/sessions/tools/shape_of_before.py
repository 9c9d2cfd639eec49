"""The shape in which the version before wrote closings and corrections, for proving those that it wrote."""

from typing import Any, Final

from contracts.closings import SINCE_THE_FIRST_VERSION, closing_hash

MARK: Final = "staff"
"""A figure that every closing and every correction has since."""
AS_THEY_CAME: Final = frozenset({"sales_report"})


def in_the_form_of(stored: dict[str, Any], closing: dict[str, Any]) -> dict[str, Any]:
    """`closing` without the members that the version which stored it did not know yet, hashed as it hashed it."""
    older: dict[str, Any] = closing if MARK in stored else figures_of_before(closing)
    older = {name: value for name, value in older.items() if name in stored or name not in SINCE_THE_FIRST_VERSION}
    if older == closing:
        return closing
    older["hash"] = closing_hash(older)
    return older


def figures_of_before(part: Any) -> Any:
    """The same without what the version before did not write."""
    if isinstance(part, dict):
        return {
            name: value if name in AS_THEY_CAME else figures_of_before(value)
            for name, value in part.items()
            if name not in SINCE_THE_FIRST_VERSION
        }
    if isinstance(part, list):
        return [figures_of_before(item) for item in part]
    return part
