"""A short shift through the gateway: the same commands and answers, for registers that speak HTTP and no Kafka."""

import json
import urllib.error
import urllib.request
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from deploy.demo.tally import Tally

Body = dict[str, Any]

STORE_ID, PROFILE_ID, USER_ID = "duka-nairobi", "till-3", "amina"
REQUEST_LIMIT_S = 15.0
OK, CREATED = 200, 201
FLOAT, BREAD, COUNTED, SHORT = 2_000, 500, 1_840, 10
"""Shillings: what the Shifts API calls major units."""
SALE_MINOR, TENDERED_MINOR = 35_000, 50_000
ANSWERS = {"session_opened": 1, "order_recorded": 1, "cash_moved": 1, "session_closed": 1}
"""What the events topic must hold more once the shift is over; the repeat comes on top."""


class GatewayError(Exception):
    """A reply that is not the one it must be, told in a sentence."""


@dataclass
class Visit:
    """One cashier's shift. `show` is called with a sentence for each step."""

    url: str
    password: str
    tally: Tally
    show: Callable[[str], None]
    token: str | None = None
    session_id: str | None = None
    faults: list[str] = field(default_factory=list)

    def work(self) -> None:
        """The whole shift. Afterwards `faults` holds a sentence for what went wrong first, if anything did."""
        try:
            self._sign_in()
            self._start()
            self._sell()
            self._pay_out()
            self._end()
        except GatewayError as error:
            self.faults.append(str(error))
        except (OSError, ValueError, KeyError, TypeError) as error:
            self.faults.append(f"The gateway's reply could not be had or read: {error!r}.")

    def expect_more(self, expected: Body) -> Body:
        """What must come of the day and of this shift together; of the day alone where the shift failed."""
        if self.faults:
            return expected
        drawer = FLOAT * 100 + SALE_MINOR - BREAD * 100
        figures = {"expected_minor": drawer, "counted_minor": COUNTED * 100, "over_short_minor": -SHORT * 100}
        nothing_else = {"prepaid_minor": 0, "change_given_minor": 0, "opening_difference_minor": None}
        closing = {
            "store_id": STORE_ID,
            "profile_id": PROFILE_ID,
            "session_id": self.session_id,
            "z_number": 1,
            "tenders": {"cash": figures | nothing_else | {"left_minor": COUNTED * 100}},
            "sales_minor": SALE_MINOR,
            "orders": 1,
        }
        return expected | {
            "accepted": dict(Counter(expected["accepted"]) + Counter(ANSWERS)),
            "repeated": expected["repeated"] + 1,
            "closings": [*expected["closings"], closing],
        }

    def _sign_in(self) -> None:
        words = {"store_id": STORE_ID, "user": USER_ID, "password": self.password}
        reply = json.loads(self._post("/auth/token", words, OK))
        self.token = reply["access_token"]
        self.show(f"Amina gives her password and gets a token for {reply['expires_in'] // 60} minutes.")

    def _start(self) -> None:
        words = {"start_cash": FLOAT, "password": self.password}
        shift = json.loads(self._command("/api/v1/shifts/start", words, CREATED, str(uuid.uuid4())))["data"]
        self.session_id = shift["id"]
        self.show(f"She starts her shift with {FLOAT:,} KES: {CREATED}, the shift is {shift['status']}.")

    def _sell(self) -> None:
        """A sale, sent twice with one key."""
        key, order = str(uuid.uuid4()), self._order()
        first = self._command("/api/commands", order, OK, key)
        answer = json.loads(first)
        self.show(f"A sale of {SALE_MINOR // 100} KES: {OK}, {answer['kind']}, sequence {answer['sequence']}.")
        if self._command("/api/commands", order, OK, key) != first:
            raise GatewayError("The same Idempotency-Key brought another answer than the first time.")
        self.show(f"The same request with the same Idempotency-Key: {OK}, and the same bytes.")

    def _order(self) -> Body:
        paid = {"amount_minor": SALE_MINOR, "tendered_minor": TENDERED_MINOR}
        return {
            "kind": "record_order",
            "store_id": STORE_ID,
            "profile_id": PROFILE_ID,
            "session_id": self.session_id,
            "occurred_at": datetime.now(UTC).isoformat(),
            "actor": {"id": USER_ID},
            "order_id": f"{PROFILE_ID}-1-0001",
            "revision": 0,
            "provider": "STORE",
            "order_type": "Counter",
            "status": "finished",
            "gross_minor": SALE_MINOR,
            "discounts": [],
            "service_charges": [],
            "tax_minor": 0,
            "payments": [{"tender": "cash", "change_minor": TENDERED_MINOR - SALE_MINOR} | paid],
        }

    def _pay_out(self) -> None:
        words = {"amount": BREAD, "type": "cash_out", "category": "bread"}
        self._command("/api/v1/shifts/cash-transaction", words, CREATED, str(uuid.uuid4()))
        self.show(f"{BREAD} KES go out for bread: {CREATED}.")

    def _end(self) -> None:
        words = {"actual_cash_end": COUNTED, "password": self.password}
        shift = json.loads(self._command("/api/v1/shifts/end", words, OK, str(uuid.uuid4())))["data"]
        expected, difference = shift["expected_cash_end"], shift["difference"]
        self.show(f"She counts {COUNTED:,} KES: {OK}, {expected:,} expected, difference {difference:+}.")
        if (expected, difference) != (COUNTED + SHORT, -SHORT):
            raise GatewayError(f"The shift should end {SHORT} KES short, with {COUNTED + SHORT} expected.")

    def _command(self, path: str, words: Body, status: int, key: str) -> bytes:
        """Post what becomes one command. Its id is the key, so its answer is known among the events."""
        self.tally.owe(key)
        return self._post(path, words, status, {"idempotency-key": key})

    def _post(self, path: str, words: Body, status: int, more: dict[str, str] | None = None) -> bytes:
        """The reply's bytes. Raises GatewayError for another status, OSError where nobody replies."""
        headers = {"content-type": "application/json"} | (more or {})
        if self.token is not None:
            headers["authorization"] = f"Bearer {self.token}"
        address = self.url + path
        request = urllib.request.Request(address, json.dumps(words).encode(), headers)  # noqa: S310 - our own
        try:
            with urllib.request.urlopen(request, timeout=REQUEST_LIMIT_S) as reply:  # noqa: S310
                got, value = reply.status, reply.read()
        except urllib.error.HTTPError as error:
            got, value = error.code, error.read()
        if got != status:
            raise GatewayError(f"POST {path} gave {got} and not {status}: {value[:300].decode(errors='replace')}")
        return bytes(value)
