"""What /docs says of the Final API's routes."""

from typing import Final

from services.gateway.adapters.documented import documented
from services.gateway.adapters.final.fields import REQUIRED

EXAMPLE: Final = {
    "stationId": "caja-1",
    "sessionNumber": "S-2025-001",
    "openedBy": "John Doe",
    "closedBy": "Jane Smith",
    "openTime": "2025-01-29T09:00:00.000Z",
    "closeTime": "2025-01-29T17:00:00.000Z",
    "openingAmount": "200.00",
    "closingAmount": "2500.00",
    "closingReportData": "{}",
    "notes": ["Opened on time", "Register balanced"],
    "closingAmounts": {"cash": "500.00"},
    "closingNote": "All transactions verified",
    "openingNote": "Starting new shift",
}
KNOWN: Final = {"404": "The key's store and company have no such session or station."}
BAD: Final = {
    "400": "A field or the Idempotency-Key is missing or wrong; message says which.",
    "403": "A register's key may not do that.",
    "409": "The station has an open session, or the session's state forbids it.",
    "422": "The Idempotency-Key was used for another request.",
}
CREATE: Final = documented({"201": "The session."} | KNOWN | BAD, example=EXAMPLE, required=REQUIRED)
UPDATE: Final = documented({"200": "The session as it is now."} | KNOWN | BAD, example=EXAMPLE)
