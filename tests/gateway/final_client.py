"""What the tests of the Final API share: its tills, its published example, and somebody who asks."""

from typing import Any

import httpx

from tests.gateway.adapter_setup import add_key, import_tills
from tests.support.market import Market

PATH = "/v1/api/session"
STATION = "507f1f77bcf86cd799439011"
TENDER = '{{""id"":""{}"",""name"":""{}"",""type"":""{}"",""currency"":""USD"",""exchange_rate"":""1""}}'
KINDS = (("cash", "Cash", "cash"), ("card", "Card", "credit_card"), ("oliverPay", "Oliver", "wallet"))
TENDERS = f'"[{",".join(TENDER.format(*words) for words in KINDS)}]"'
PROFILES = f"""store_id,profile_id,name,currency,tenders,over_short_limit_minor,company_id
final,{STATION},Front,USD,{TENDERS},,acme
final,a1,A,USD,{TENDERS},,acme
final,a2,A,USD,{TENDERS},,acme
final,a3,A,USD,{TENDERS},,acme
final,a4,A,USD,{TENDERS},,acme
final,a5,A,USD,{TENDERS},,acme
final,a6,A,USD,{TENDERS},,acme
final,a7,A,USD,{TENDERS},,acme
final,a8,A,USD,{TENDERS},,acme
final,b1,B,USD,{TENDERS},,acme
final,b2,B,USD,{TENDERS},,acme
final,b3,B,USD,{TENDERS},,acme
final,b4,B,USD,{TENDERS},,acme
final,b5,B,USD,{TENDERS},,acme
final,b6,B,USD,{TENDERS},,acme
final,b7,B,USD,{TENDERS},,acme
final,b8,B,USD,{TENDERS},,acme
final,b9,B,USD,{TENDERS},,acme
final,limited,Limited,USD,,100,acme
final,yen,Yen,JPY,,,acme
final,theirs,Theirs,USD,,,other
final,nobodys,Nobody's,USD,,,
"""
# The request of the published documentation, to the letter.
EXAMPLE: dict[str, Any] = {
    "stationId": STATION,
    "sessionNumber": "S-2025-001",
    "openedBy": "John Doe",
    "closedBy": "Jane Smith",
    "openTime": "2025-01-29T09:00:00.000Z",
    "closeTime": "2025-01-29T17:00:00.000Z",
    "openingAmount": "200.00",
    "closingAmount": "2500.00",
    "closingReportData": "{}",
    "notes": ["Opened on time", "Register balanced"],
    "closingAmounts": {"cash": "500.00", "card": "1500.00", "oliverPay": "200.00"},
    "closingNote": "All transactions verified",
    "openingNote": "Starting new shift",
}
MEMBERS = ["id", "createdAt", "updatedAt", "companyId", *EXAMPLE]
CLOSING = ("closedBy", "closeTime", "closingAmount", "closingReportData", "closingNote")
OPEN = {name: value for name, value in EXAMPLE.items() if name not in CLOSING} | {"closingAmounts": {}}


class FinalClient:
    def __init__(self, market: Market, key: dict[str, str]) -> None:
        self.market = market
        self.key = key

    async def ask(self, method: str, path: str = "", body: Any = None, **headers: str) -> httpx.Response:
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.market.client.request(method, PATH + path, json=body, headers=self.key | headers)

    async def open(self, station: str, **changed: Any) -> dict[str, Any]:
        reply = await self.ask("POST", body=OPEN | {"stationId": station} | changed)
        assert reply.status_code == 201, reply.text
        return dict(reply.json())

    async def put(self, record: dict[str, Any], **changed: Any) -> dict[str, Any]:
        reply = await self.ask("PUT", f"/{record['id']}", changed)
        assert reply.status_code == 200, reply.text
        got = await self.ask("GET", f"/{record['id']}")
        assert got.json() == reply.json()
        return dict(reply.json())


async def set_up(market: Market) -> FinalClient:
    """The tills, and a manager's key to them."""
    await import_tills(market, PROFILES)
    return FinalClient(market, await add_key(market, "acme", "final"))


def refusal(reply: httpx.Response) -> tuple[int, str]:
    body = reply.json()
    assert list(body) == ["statusCode", "message", "error"]
    assert body["statusCode"] == reply.status_code
    assert body["error"] == reply.reason_phrase
    return reply.status_code, body["message"]
