"""What stays in a drawer from one session to the next, found a second time: by reading a till's log from its beginning.

As `recount`, it shares no line with the service.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from tests.support import recount
from tests.support.recount import Body


@dataclass
class Carried:
    """What a session found of the one before: its id, what it left by tender, and the rows that nobody took over."""

    session_id: str | None = None
    amounts: dict[str, int] = field(default_factory=dict)
    not_carried: list[Body] = field(default_factory=list)


@dataclass
class Story:
    """A session's accepted bodies, what the latest answer that changed its state was, and what it carried."""

    commands: list[Body]
    tenders: list[Body]
    carried: Carried
    state: str = "session_opened"


def counts_of(commands: Sequence[Body]) -> list[Body]:
    """The commands by which a session was counted: the last attempt to close it, and all recounts since."""
    attempts = [number for number, body in enumerate(commands) if body["kind"] == "close_session"]
    return (
        [body for body in commands[attempts[-1] :] if body["kind"] in {"close_session", "recount"}]
        if attempts
        else [body for body in commands if body["kind"] == "recount"]
    )


def left_of(counts: Iterable[Body], tenders: Iterable[Body]) -> dict[str, int]:
    """What stays of each counted tender of type cash after these counts."""
    cash = {tender["id"] for tender in tenders if tender["type"] == "cash"}
    staying: dict[str, int] = {}
    for tender in cash:
        last_named, lies_there = None, None
        for body in counts:
            amounts = [row["amount_minor"] for row in body["counted"] if row["tender"] == tender]
            if not amounts:
                continue
            lies_there = amounts[0]
            if body.get("left") is not None:
                last_named = sum(row["amount_minor"] for row in body["left"] if row["tender"] == tender)
        if lies_there is not None:
            staying[tender] = lies_there if last_named is None or last_named > lies_there else last_named
    return staying


def stories(log: Iterable[tuple[Body, Body]]) -> dict[str, Story]:
    """One till's sessions in the order of their opening, from its accepted bodies with their answers."""
    sessions: dict[str, Story] = {}
    for body, answer in log:
        session_id, kind = answer["session_id"], answer["kind"]
        if session_id is None:
            continue  # Settings are of no session.
        if kind == "session_opened":
            sessions[session_id] = Story([body], [*answer["tenders"]], _carried(sessions, answer["tenders"]))
            continue
        story = sessions[session_id]
        story.commands.append(body)
        story.tenders += answer.get("tenders_added", ())
        if kind in {"closing_pending", "session_closed", "count_requested", "session_voided"}:
            story.state = kind
    return sessions


def _carried(before: dict[str, Story], tenders: Sequence[Body]) -> Carried:
    ended = [(session_id, story) for session_id, story in before.items() if story.state != "session_voided"]
    if not ended:
        return Carried()
    session_id, story = ended[-1]
    if story.state == "count_requested":
        return Carried()
    cash = {tender["id"]: tender["currency"] for tender in tenders if tender["type"] == "cash"}
    currencies = {tender["id"]: tender["currency"] for tender in story.tenders}
    carried = Carried(session_id)
    for tender, amount in sorted(_lies_there(story).items()):
        if cash.get(tender) == currencies[tender]:
            carried.amounts[tender] = amount
        elif amount != 0:
            carried.not_carried.append({"tender": tender, "currency": currencies[tender], "left_minor": amount})
    return carried


def _lies_there(story: Story) -> dict[str, int]:
    """By tender of type cash: what was left of it, or, where nobody counted at the end, what must be there."""
    left = left_of(counts_of(story.commands), story.tenders)
    if any(body["kind"] == "close_session" for body in story.commands):
        return left
    opening, *commands = story.commands
    rows = recount.figures(opening, commands, None, profile_tenders=story.tenders)["tenders"]
    return {row["tender"]: row["expected_minor"] for row in rows if row["type"] == "cash"} | left
