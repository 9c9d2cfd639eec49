"""What registers send in these tests, and what must have come of it."""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any
from uuid import uuid4

Body = dict[str, Any]

STORE = "s1"


def command(kind: str, profile: str, session_id: str, **members: Any) -> Body:
    """One command with an id of its own."""
    return {
        "kind": kind,
        "command_id": str(uuid4()),
        "store_id": STORE,
        "profile_id": profile,
        "session_id": session_id,
        "occurred_at": "2026-11-20T12:00:00Z",
        "actor": {"id": "ana"},
        **members,
    }


def opening(profile: str, session_id: str, amount_minor: int = 1_000, **members: Any) -> Body:
    float_ = [{"tender": "cash", "amount_minor": amount_minor}]
    return command("open_session", profile, session_id, currency="MXN", opening=float_, **members)


def movement(profile: str, session_id: str, amount_minor: int, kind: str = "pay_in", **members: Any) -> Body:
    members = {"category": "change", **members}
    return command("move_cash", profile, session_id, movement=kind, amount_minor=amount_minor, **members)


def order(profile: str, session_id: str, order_id: str, amount_minor: int, revision: int = 0) -> Body:
    return command(
        "record_order",
        profile,
        session_id,
        order_id=order_id,
        revision=revision,
        provider="STORE",
        order_type="counter",
        status="finished",
        gross_minor=amount_minor,
        discounts=[],
        service_charges=[],
        tax_minor=0,
        payments=[{"tender": "cash", "amount_minor": amount_minor}],
    )


def closing(profile: str, session_id: str, counted_minor: int = 0) -> Body:
    counted = [{"tender": "cash", "amount_minor": counted_minor}]
    return command("close_session", profile, session_id, counted=counted)


def shift(profile: str, length: int) -> list[Body]:
    """A whole session: an opening, `length` movements and orders of which one is revised and one voided, a closing."""
    session_id = str(uuid4())
    bodies = [opening(profile, session_id)]
    for number in range(length):
        if number % 2:
            bodies.append(order(profile, session_id, f"o{number // 4}", 100 + number, revision=number))
        else:
            kind = "pay_out" if number % 4 else "pay_in"
            bodies.append(movement(profile, session_id, 10 + number, kind))
    moved = [one for one in bodies if one["kind"] == "move_cash"]
    if moved:
        bodies.append(command("void_movement", profile, session_id, movement_id=moved[-1]["command_id"], reason="typo"))
    return [*bodies, closing(profile, session_id, counted_minor=1_000)]


def shifts(profiles: Sequence[str], each: int, length: int) -> list[Body]:
    """`each` sessions in a row at every profile, the profiles taking turns as they do on a busy day."""
    days = [[body for _ in range(each) for body in shift(profile, length)] for profile in profiles]
    return [body for one_of_each in zip(*days, strict=True) for body in one_of_each]


def written(body: Body) -> bytes:
    """The bytes of a body as registers send them."""
    return json.dumps(body, separators=(",", ":")).encode()


def by_session(bodies: Iterable[Body]) -> dict[str, list[Body]]:
    """Bodies by the session that they name, in their order."""
    sessions: dict[str, list[Body]] = defaultdict(list)
    for body in bodies:
        sessions[body["session_id"]].append(body)
    return dict(sessions)


def batches(records: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    """`records` in portions."""
    for start in range(0, len(records), size):
        yield records[start : start + size]
