"""Asks the reporting reader for the Parrot Cafe's day, as any other program would."""

import json
import time
import urllib.error
import urllib.request
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

from deploy.demo.parrot_day import SESSION_ID
from services.platform.auth import tokens
from services.platform.settings import Settings

FOLLOWS_WITHIN_S = 30.0
"""The reader promises 5 s when it is healthy; a busy machine gets more."""
ASK_AGAIN_AFTER_S = 0.25
REQUEST_LIMIT_S = 10.0
STORE_ID = "parrot-cafe"
SESSIONS_OF_THE_DAY = 2
PUBLISHED_TOTAL = Decimal("7041.6")
"""What the published example of this API shows for session 308."""

Body = dict[str, Any]


def parrot_day(settings: Settings, reporting_url: str | None) -> tuple[Body | None, list[str]]:
    """The page with the café's sessions of the day, and what is wrong with it, as sentences."""
    if reporting_url is None:
        return None, ["The reporting reader does not run."]
    token = tokens.mint(
        settings, sub="demo", role="reader", stores=[STORE_ID], ttl_s=600, audiences=[tokens.API_AUDIENCE]
    )
    day = {
        "startTimestamp": "2025-01-01T00:00:00-06:00",
        "endTimestamp": "2025-01-02T12:00:00-06:00",
        "storeUUID": STORE_ID,
    }
    request = urllib.request.Request(  # noqa: S310 - the address is our own
        f"{reporting_url}/v1/cashier-sessions/?{urlencode(day)}",
        headers={"authorization": f"Bearer {token}"},
    )
    page, trouble = _patiently(request)
    if page is None:
        return None, [f"The reporting reader gave no page: {trouble}."]
    totals = {session["uuid"]: session["sales"]["totalSales"] for session in page["data"]}
    if len(totals) != SESSIONS_OF_THE_DAY or totals.get(SESSION_ID) != PUBLISHED_TOTAL:
        return page, [f"The reporting reader shows {len(totals)} sessions with totals {totals}."]
    return page, []


def _patiently(request: urllib.request.Request) -> tuple[Body | None, str]:
    """Ask until the reader has caught up, or the time is over; then what it gave last."""
    until = time.monotonic() + FOLLOWS_WITHIN_S
    page: Body | None = None
    trouble = "no answer"
    while time.monotonic() < until:
        try:
            with urllib.request.urlopen(request, timeout=REQUEST_LIMIT_S) as reply:  # noqa: S310
                # Exact: the numbers never become floats.
                page = json.loads(reply.read(), parse_float=Decimal, parse_int=Decimal)
        except (OSError, ValueError) as error:
            trouble = str(error)
        if page is not None and len(page["data"]) >= SESSIONS_OF_THE_DAY:
            break
        time.sleep(ASK_AGAIN_AFTER_S)
    return page, trouble
