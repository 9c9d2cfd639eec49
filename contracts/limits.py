"""What one field may hold where Pydantic has no word for it: bytes of text, items, a sales report.

Pydantic makes a field malformed on a ValueError, so no check here raises a TypeError.
"""

import re
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, cast

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema
from pydantic_core.core_schema import (
    no_info_after_validator_function,
    no_info_before_validator_function,
)

from contracts.jsontext import SAFE_INTEGER, Digits, size_of

SALES_REPORT_BYTES_MAX: Final = 32_768

_CONTROL_CHARACTER = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")


class Text(NamedTuple):
    """A text of so many UTF-8 bytes without control characters."""

    shortest: int
    longest: int

    def check(self, text: str) -> str:
        """`text` itself. Raises ValueError with a sentence."""
        if len(text) < self.shortest:
            raise ValueError("the text is empty")
        # What is printable holds none, which is answered sooner than a search ends.
        if not text.isprintable() and _CONTROL_CHARACTER.search(text):
            raise ValueError("the text holds a control character or a lone surrogate")
        if len(text) * 4 > self.longest and len(text.encode()) > self.longest:
            raise ValueError(f"the text is longer than {self.longest} bytes of UTF-8")
        return text

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        description = (
            f"At most {self.longest} bytes of UTF-8 (bytes count, not characters); "
            "no control characters but \\n, \\t, \\r."
        )
        limits = {"minLength": self.shortest, "maxLength": self.longest}
        return {**handler(schema), **limits, "description": description}


@dataclass(frozen=True)
class Items:
    """Makes a JSON list of so many items the tuple that a frozen model holds.

    The length is judged before the items: Pydantic would keep an error for every bad one (85,000
    took 0.8 s, a batch of such bodies minutes), and call a list of bad items too short as well.
    """

    shortest: int
    longest: int

    def check(self, value: Any) -> Any:
        """`value` as a tuple. Raises ValueError with a sentence."""
        if not isinstance(value, (list, tuple)):
            raise ValueError("Input should be a list")  # noqa: TRY004
        if not self.shortest <= len(value) <= self.longest:
            raise ValueError(f"the list has {len(value)} items; {self.shortest} to {self.longest} are allowed")
        return tuple(value)

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return no_info_before_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {**handler(schema), "minItems": self.shortest, "maxItems": self.longest}


class Objects(Items):
    """As Items; the first bad one ends the reading. `first_errors` then looks for what else is wrong."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        objects = handler(source)
        cast("dict[str, Any]", objects)["fail_fast"] = True
        return no_info_before_validator_function(self.check, objects)


def check_sales_report(value: Any) -> Any:
    """`value`, an object that every JSON reader keeps exactly. Raises ValueError for any other."""
    if not isinstance(value, dict):
        raise ValueError("the sales report is a JSON object")  # noqa: TRY004
    size = size_of(value)
    if size is None:
        raise ValueError("the sales report holds a lone surrogate or an integer outside ±(2^53 − 1)")
    if size > SALES_REPORT_BYTES_MAX:
        raise ValueError(f"the sales report is longer than {SALES_REPORT_BYTES_MAX} bytes as canonical JSON")
    waiting: list[Any] = [value]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            waiting.extend(part.keys())
            waiting.extend(part.values())
        elif isinstance(part, list):
            waiting.extend(part)
        else:
            _check_report_leaf(part)
    return value


def _check_report_leaf(leaf: Any) -> None:
    if isinstance(leaf, Digits | float):
        problem = "no number on this wire has a fraction, an exponent or more than 19 digits"
        raise ValueError(problem)  # noqa: TRY004
    if isinstance(leaf, int) and abs(leaf) > SAFE_INTEGER:
        raise ValueError("an integer in the sales report lies outside ±(2^53 − 1)")
    if isinstance(leaf, str) and "\0" in leaf:
        raise ValueError("a string in the sales report holds U+0000")
