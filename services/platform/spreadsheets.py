"""Cells for spreadsheets: in UTF-8 with its mark, and whatever a text holds, nothing in it is a formula. Pure."""

import re
from typing import Final

MARK: Final = b"\xef\xbb\xbf"
"""By this, spreadsheets know that names are written in UTF-8."""
FORMULA_SIGNS: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""What a spreadsheet may take for the beginning of a formula, wide ones too: such a name is text behind a '."""
_PARTED: Final = r'([{parts}|\t\r\n][\s"]*)(?=[=+\-@\uff1d\uff0b\uff0d\uff20])'
# A sign behind what parts cells elsewhere: there, half of such a name is a cell of its own. What a comma parts is a
# quoted cell of the file, so where it parts cells it does so nowhere else.
_BEHIND_A_PART: Final = re.compile(_PARTED.format(parts=";"))
_BEHIND_A_COMMA_TOO: Final = re.compile(_PARTED.format(parts=";,"))


def harmless(text: str, delimiter: str = ",") -> str:
    """The text as a cell that no spreadsheet takes for a formula. Numbers are no texts: they stay as they are."""
    if text.isalnum():
        return text
    text = (_BEHIND_A_PART if delimiter == "," else _BEHIND_A_COMMA_TOO).sub(r"\1'", text)
    return f"'{text}" if text.lstrip(" ").startswith(FORMULA_SIGNS) else text
