"""What the wire's own words are called on pages. English here; every other language has them in its catalogue."""

from collections.abc import Mapping
from typing import Final

from services.console.languages import phrase

ROLES: Final[Mapping[str, str]] = {
    "admin": phrase("admin"),
    "manager": phrase("manager"),
    "cashier": phrase("cashier"),
    "register": phrase("register"),
    "reader": phrase("reader"),
}
STATES: Final[Mapping[str, str]] = {
    "open": phrase("Open"),
    "suspended": phrase("Suspended"),
    "pending": phrase("Waits for you"),
    "counting": phrase("Counted again"),
    "closed": phrase("Closed"),
    "voided": phrase("Voided"),
    "off": phrase("Switched off"),
}
"""States of a till and of its sessions; a pending one waits for an approval, or for a new count."""
