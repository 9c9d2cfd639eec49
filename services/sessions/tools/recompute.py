"""One session, recomputed from its journal alone and compared with what is stored of it.

Whether a command was rightly accepted is not asked again. What it did to the figures, the words, the closing and the
corrections is, by the very rules that did it: what is found is a row that was altered since, not a rule that is wrong.
The limit of a closing, the tenders and words of an opening and the tenders that came later are those of the settings in
force then, by the till's history. Where the version before applied the command the limit is taken from the closing, and
the others from the session's row. What it wrote has the first form of closings.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any, Final

import orjson

from contracts.closings import GAPS_MAX, journal_link
from contracts.jsontext import canonical, compact
from contracts.record_classes import plain
from contracts.records import (
    Actor,
    AmendSession,
    ApproveClosing,
    CloseSession,
    Command,
    ForceClose,
    MoveCash,
    OpenSession,
    RecordOrder,
    Recount,
    ResumeSession,
    VoidMovement,
    read_stored,
)
from contracts.times import CLOCK_SET_FROM, counted_time, wire_time
from services.platform.errors import TillError
from services.sessions.ledger import encoding
from services.sessions.ledger.load import COUNTS_OF_BEFORE
from services.sessions.rules.added_tenders import add_tenders, named
from services.sessions.rules.carried import recounted
from services.sessions.rules.cash_and_orders import movement_of, replace_order
from services.sessions.rules.close_session import attempt_of, end_session, no_figures, origin_of
from services.sessions.rules.context import border_at, by_tender, note_time
from services.sessions.rules.corrections import correction_body, recounted_rows
from services.sessions.rules.declared import NOTHING_DECLARED, Declared
from services.sessions.rules.differences import differences
from services.sessions.rules.model import LINKED_WITH_VERSION, Origin, RegisterSequence, Session
from services.sessions.rules.open_session import opening_words
from services.sessions.rules.report import report
from services.sessions.rules.session_details import reword
from services.sessions.rules.totals import Tenders, Totals, add_movement, new_totals
from services.sessions.tools.settings_of_then import Version, are_answered, are_of, wrong_at_opening
from services.sessions.tools.shape_of_before import MARK, figures_of_before, in_the_form_of

DATED: Final = frozenset({"cash_moved", "movement_voided", "order_recorded", "drawer_counted"})
"""Answers to what a closing holds: it is never closed before that."""


class LedgerMismatch(TillError):
    """The first row that is not as it must be."""


def stored_object(value: bytes, name: str) -> dict[str, Any]:
    """The JSON object that was stored. Raises LedgerMismatch where these bytes are none."""
    try:
        body = orjson.loads(value)
    except orjson.JSONDecodeError:
        body = None
    if not isinstance(body, dict):
        raise LedgerMismatch(f"{name}: its content is no JSON object")
    return body


class Recomputation:
    """A session folded again from its accepted commands, one by one, and from the history of its till's settings."""

    def __init__(self, name: str, row: Any, history: Mapping[int, Version]) -> None:
        """Raises LedgerMismatch where the session's row can't be read."""
        self._history = history
        try:
            opening, self._stored = encoding.read_opening(row.opening, row.tenders), encoding.read_totals(row.totals)
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            raise LedgerMismatch(f"{name}: its row can't be read: {error!r}") from error
        self._to_come = opening.added
        """Tenders of the row that no command has brought yet."""
        opening = replace(opening, tenders=Tenders(opening.first_tenders, opening.currency), added=())
        empty = new_totals(opening.tenders, {})
        self.name = name
        self.session = Session(row.store_id, row.profile_id, str(row.session_id), "open", opening, empty)
        self.session.ordinal, self.session.journal_form = row.ordinal, row.journal_form
        self.closing: Any = None
        self.corrections: list[Any] = []
        self._movements: dict[str, MoveCash] = {}
        self._orders: dict[str, tuple[RecordOrder, Actor, bool]] = {}
        """The latest revision of each order, whose sale it is, and whether the version before counted it."""
        self._corrected = 0
        self._closed = False
        self._numbers: set[int] = set()

    def see(self, register_seq: int | None) -> None:
        """Note a number of the register; their order does not matter here."""
        if register_seq is not None:
            self._numbers.add(register_seq)

    def add(self, entry: Any) -> None:
        """The next row of the journal. Raises LedgerMismatch where its neighbours and its content ask for another."""
        session = self.session
        where = f"{self.name}, command {entry.sequence} ({entry.command_id})"
        if entry.sequence != session.sequence + 1:
            raise LedgerMismatch(f"{self.name}: command {session.sequence + 1} is missing from its journal")
        session.sequence = entry.sequence
        version = entry.profile_version if session.journal_form == LINKED_WITH_VERSION else None
        session.journal_hash = journal_link(session.journal_hash, entry.sequence, entry.command, version)
        if entry.link.hex() != session.journal_hash:
            raise LedgerMismatch(f"{where}: its content does not have the hash that links it")
        try:
            command = read_stored(entry.command)
        except ValueError as error:
            raise LedgerMismatch(f"{where}: it can't be read: {error}") from error
        if command.command_id != str(entry.command_id):
            raise LedgerMismatch(f"{where}: its content is another command's")
        if not self._closed:
            self.see(command.register_seq)
        before = session.totals.copy() if session.ended else None
        declared = session.declared
        self._note_clock(command, entry)
        self._add_tenders(command, entry, where)
        self._apply(command, entry, where)
        if before is not None:
            self._check_correction(command, before, declared, entry, where)

    def _note_clock(self, command: Any, entry: Any) -> None:
        """What the command's time means to the closing."""
        session = self.session
        if isinstance(command, OpenSession):
            session.register.clock_adjusted = session.opening.opened_at != command.occurred_at
        elif entry.kind in DATED:
            note_time(session, _counted(command, entry), clock_set=command.occurred_at >= CLOCK_SET_FROM)

    def _add_tenders(self, command: Any, entry: Any, where: str) -> None:
        """The tenders that the command brought in: its own, or those that it names and the row says came next."""
        tenders = self.session.opening.tenders.tenders
        brought = command.add_tenders or () if isinstance(command, AmendSession) else ()
        missing = [tender.id for tender in brought] or [
            one for one in dict.fromkeys(named(command)) if one not in tenders
        ]
        if not missing and entry.added is None:
            return
        added, self._to_come = self._to_come[: len(missing)], self._to_come[len(missing) :]
        answered = (
            () if entry.added is None else stored_object(entry.added, f"{where}: its answer").get("tenders_added")
        )
        if [tender.id for tender in added] != missing or (brought and brought != added):
            raise LedgerMismatch(f"{where}: its session's row lacks tenders that it brought in")
        if [plain(tender) for tender in added] != answered:
            raise LedgerMismatch(f"{where}: its session's row has other added tenders than its answer")
        version = self._in_force(entry)
        if not brought and version is not None and not are_of(version, added):
            raise LedgerMismatch(f"{where}: it brought in tenders that its till did not have so then")
        add_tenders(self.session, added)

    def _in_force(self, entry: Any) -> Version | None:
        """The settings by which the command was applied; None where the version before did it."""
        if entry.profile_version is None:
            return None
        version = self._history.get(entry.profile_version)
        if version is None:
            raise LedgerMismatch(
                f"{self.name}: command {entry.sequence} was applied by version {entry.profile_version} of its profile, "
                "which is not in the history"
            )
        return version

    def _is_of_the_first_form(self) -> bool:
        """Whether the session was closed before a closing could be later than its command says."""
        if self.closing is None:
            return False
        return "clock_adjusted" not in stored_object(self.closing.body, f"{self.name}, its closing")

    def _approved_at(self, command: ApproveClosing, entry: Any) -> str:
        attempt = self.session.attempt
        if attempt is None or self._is_of_the_first_form():
            return min(command.occurred_at, wire_time(entry.received_at))
        return max(_counted(command, entry), attempt.closed_at)

    def finish(self, row: Any) -> None:
        """Compare with the session's row. Raises LedgerMismatch where it says something else."""
        session = self.session
        if (row.sequence, row.journal_hash.hex()) != (session.sequence, session.journal_hash):
            raise LedgerMismatch(
                f"{self.name}: its row ends at command {row.sequence}, its journal at {session.sequence}"
            )
        if row.state != session.state:
            raise LedgerMismatch(f"{self.name}: its row says {row.state}, its journal leads to {session.state}")
        tenders = session.opening.tenders
        if self._stored.tenders.keys() != session.totals.tenders.keys() or report(
            self._stored, tenders, NOTHING_DECLARED
        ) != report(session.totals, tenders, NOTHING_DECLARED):
            raise LedgerMismatch(f"{self.name}: its running totals are not what its journal adds up to")
        if self._to_come:
            raise LedgerMismatch(f"{self.name}: its row has added tenders that its journal does not lead to")
        if self.closing is not None and not self._closed:
            raise LedgerMismatch(f"{self.name}: it has a closing that its journal does not lead to")
        if self._corrected < len(self.corrections):
            raise LedgerMismatch(f"{self.name}: it has corrections that its journal does not lead to")
        # What later commands go by: the count that waits for a decision, and what counts since the closing.
        stored = stored_object(row.ending, f"{self.name}, its end")
        expected = stored_object(encoding.ending_row(session), self.name)
        part = "attempt" if session.state == "pending" else "ended"
        if session.journal_form == LINKED_WITH_VERSION and canonical(stored.get(part)) != canonical(expected.get(part)):
            raise LedgerMismatch(f"{self.name}: what its row says of its end is not what its journal leads to")

    def _apply(self, command: Any, entry: Any, where: str) -> None:
        session = self.session
        match command:
            case OpenSession():
                self._open(command, entry, where)
            case MoveCash() | VoidMovement() | RecordOrder():
                self._move(command, where, of_before=entry.counts == COUNTS_OF_BEFORE)
            case AmendSession() | ResumeSession():
                reword(session, command)
            case CloseSession() | ForceClose():
                self._attempt(command, entry)
            case ApproveClosing():
                self._approve(command, entry)
            case Recount():
                if session.ended is not None:
                    again = recounted(session.declared, session.opening.tenders, command)
                    session.ended.counted, session.ended.left_named = again.counted, again.left_named
        states = {"session_suspended": "suspended", "session_resumed": "open", "session_voided": "voided"}
        session.state = states.get(entry.kind, session.state)  # type: ignore[assignment]

    def _open(self, command: OpenSession, entry: Any, where: str) -> None:
        session, answered = self.session, stored_object(entry.opened, f"{where}: its answer")
        # The words as they were at the opening: those in the row may have been amended since.
        session.opening = replace(session.opening, **opening_words(command, session.ordinal))
        if answered.get("business_date") != session.opening.business_date:
            raise LedgerMismatch(f"{self.name}: its day is not that of its opening's answer")
        wrong = wrong_at_opening(session.opening, command, self._in_force(entry))
        if wrong is not None:
            raise LedgerMismatch(f"{self.name}: its row says {wrong}")
        if not are_answered(session.opening.first_tenders, answered.get("tenders")):
            raise LedgerMismatch(f"{self.name}: its tenders are not those of its opening's answer")
        session.totals = new_totals(session.opening.tenders, by_tender(command.opening))

    def _approve(self, command: ApproveClosing, entry: Any) -> None:
        attempt = self.session.attempt
        if command.decision == "approve":
            self._check_closing(entry, approved=(self._approved_at(command, entry), command.actor))
        elif attempt is not None:
            attempt.waits_for = "count"

    def _move(self, command: MoveCash | VoidMovement | RecordOrder, where: str, *, of_before: bool) -> None:
        totals = self.session.totals
        match command:
            case MoveCash():
                self._movements[command.command_id] = command
                add_movement(totals, movement_of(command))
            case VoidMovement():
                voided = self._movements.pop(command.movement_id, None)
                if voided is None:
                    raise LedgerMismatch(f"{where}: it voids a movement that is not there")
                add_movement(totals, movement_of(voided), -1)
            case RecordOrder():
                self._replace_order(command, of_before=of_before)

    def _replace_order(self, order: RecordOrder, *, of_before: bool) -> None:
        """As the rule does it; what the version before counted it counted for nobody."""
        earlier, keeps, earlier_of_before = self._orders.get(order.order_id, (None, order.actor, False))
        seller = order.sold_by or keeps
        replace_order(
            self.session.totals,
            self.session.opening,
            (earlier, None if earlier_of_before else keeps),
            (order, None if of_before else seller),
        )
        self._orders[order.order_id] = (order, seller, of_before)

    def _attempt(self, command: CloseSession | ForceClose, entry: Any) -> None:
        """An attempt to close; where it led to the closing, that is compared."""
        session = self.session
        if self._is_of_the_first_form():
            closed_at = min(command.occurred_at, wire_time(entry.received_at))
        else:
            closed_at = border_at(session, _counted(command, entry))
        limit_minor = self._stated_limit()
        profile: tuple[int | None, str | None] = None, None
        version = self._in_force(entry)
        if version is not None:
            limit_minor = version.over_short_limit_minor
            profile = entry.profile_version, version.hash
        session.attempt = attempt_of(
            command, session.opening.tenders, closed_at=closed_at, limit_minor=limit_minor, profile=profile
        )
        if entry.kind == "closing_pending":
            session.state = "pending"
            return
        self._check_closing(entry, origin=origin_of(command))

    def _stated_limit(self) -> int | None:
        """The profile's limit of a day before settings had versions, which only the closing still tells."""
        if self.closing is None:
            return None
        limit: int | None = stored_object(self.closing.body, f"{self.name}, its closing").get("limit_in_force_minor")
        return limit

    def _check_closing(self, entry: Any, *, origin: Origin = "register", approved: Any = None) -> None:
        session, attempt, stored = self.session, self.session.attempt, self.closing
        if attempt is None or stored is None:
            raise LedgerMismatch(f"{self.name}: it was closed by command {entry.sequence}, but has no closing")
        closing = stored_object(stored.body, f"{self.name}, its closing")
        clock = session.register
        session.register = replace(
            self._register(closing), latest_at=clock.latest_at, clock_adjusted=clock.clock_adjusted
        )
        body = end_session(
            session,
            attempt,
            z_number=stored.z_number,
            prev_hash=stored.prev_hash.hex(),
            origin=origin,
            approved=approved,
            applied_at=wire_time(entry.received_at),
        )
        # The journal keeps a report's value, the closing also the order in which the register wrote its members.
        sales_report = closing.get("sales_report")
        if canonical(sales_report) == canonical(body["sales_report"]):
            body["sales_report"] = sales_report
        body = in_the_form_of(closing, body)
        if session.ended is not None:
            session.ended.closing_hash = body["hash"]
        if compact(body) != stored.body:
            raise LedgerMismatch(f"{self.name}: its closing (z {stored.z_number}) is not what its journal leads to")
        self._closed = True

    def _register(self, closing: dict[str, Any]) -> RegisterSequence:
        """The register's numbers as the closing states them, unless its accepted commands say otherwise.

        Refused commands count too, those that claim nothing are not kept, and of many gaps the lowest are known only as
        numbers came: so a closing may have seen more numbers than its journal holds, and never fewer.
        """
        first, last = closing.get("first_register_seq"), closing.get("last_register_seq")
        numbers = sorted(self._numbers)
        if type(first) is int and type(last) is int:
            gaps = _gaps(closing.get("register_seq_gaps"), first, last)
            around = not numbers or (first <= numbers[0] and numbers[-1] <= last)
            if around and all(bisect_left(numbers, low) == bisect_right(numbers, high) for low, high in gaps):
                return RegisterSequence(first, last, gaps)
        missing = [[low + 1, high - 1] for low, high in pairwise(numbers) if high > low + 1]
        return RegisterSequence(min(numbers, default=None), max(numbers, default=None), missing)

    def _check_correction(self, command: Any, before: Totals, declared: Declared, entry: Any, where: str) -> None:
        """A command after the closing: what it changed must be what its correction says."""
        session, ended = self.session, self.session.ended
        if isinstance(command, AmendSession) or ended is None:
            return
        tenders = session.opening.tenders
        after = report(session.totals, tenders, session.declared)
        if session.state == "voided":
            after = no_figures(session)
        stored = next((c for c in self.corrections if str(c.command_id) == command.command_id), None)
        if stored is None:
            raise LedgerMismatch(f"{where}: it came after the closing, but its correction is missing")
        self._corrected += 1
        ended.corrections = self._corrected
        correction = stored_object(stored.body, f"{where}: its correction")
        own = ended.counted_by == command.actor.id
        deltas = differences(report(before, tenders, declared), after)
        if MARK not in correction.get("deltas", {}):
            deltas = figures_of_before(deltas)
        expected = correction_body(
            session,
            command,
            deltas,
            received_at=wire_time(entry.received_at),
            reason=getattr(command, "reason", None),
            needs_review=own or correction.get("needs_review") is True,
            recounted=recounted_rows(after, by_tender(command.counted)) if command.kind == "recount" else None,
        )
        if compact(expected) != stored.body or stored.correction_number != self._corrected:
            wrong = [name for name, value in expected.items() if correction.get(name) != value]
            raise LedgerMismatch(
                f"{where}: its correction {stored.correction_number} has another {', '.join(wrong) or 'form'}"
            )


def _gaps(stated: Any, first: int, last: int) -> list[list[int]]:
    """The gaps that a closing lists, as far as they are some: in order, apart, within its numbers."""
    gaps: list[list[int]] = []
    end = first
    for gap in stated[:GAPS_MAX] if isinstance(stated, list) else []:
        if not isinstance(gap, list) or [type(number) for number in gap] != [int, int]:
            break
        if not end < gap[0] <= gap[1] < last:
            break
        gaps.append(gap)
        end = gap[1] + 1
    return gaps


def _counted(command: Command, entry: Any) -> str:
    return counted_time(command.occurred_at, wire_time(entry.received_at))
