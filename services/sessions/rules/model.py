"""What deciding needs to know, in memory: tills, sessions, orders and movements of one batch."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple

from contracts.closings import GAPS_MAX, GENESIS_HASH
from contracts.commands import FieldError
from contracts.records import Actor, Command, MoveCash, RecordOrder, Tender
from services.platform.auth.claims import Flaw
from services.sessions.rules.declared import Declared
from services.sessions.rules.totals import OPENING, Tenders, Totals

State = Literal["open", "suspended", "pending", "closed", "voided"]
HOLDING: Final = frozenset({"open", "suspended"})
"""The states in which a session holds its profile."""
UNCLOSED: Final = HOLDING | {"pending"}

Origin = Literal["register", "idle", "manager"]
"""Who closed a session: its register, the sweeper of idle sessions, or a manager."""
JournalForm = Literal[1, 2]
LINKED_WITH_VERSION: Final = 2
"""The form of a journal whose links hold the version of the profile. Sessions that the version before opened have 1."""
StoredIn = Literal["journal", "reused", "position", "nothing"]
CASH: Final = "cash"
"""The tender that is meant where a movement names none, and the one of a profile that has no others."""
TillKey = tuple[str, str]
SessionKey = tuple[str, str]
OrderKey = tuple[str, str, str]


def cash_tender(tenders: Iterable[tuple[str, str, str]], currency: str) -> str:
    """The tender that is meant by cash where none is named: `cash` itself, or the first cash in this currency.

    Of each tender its id, type and currency are asked for.
    """
    cash = [tender_id for tender_id, kind, its_currency in tenders if (kind, its_currency) == ("cash", currency)]
    return CASH if CASH in cash or not cash else cash[0]


@dataclass(frozen=True, slots=True)
class Profile:
    """The rules of a till set-up, as they are in force when a command is applied."""

    name: str
    currency: str
    tenders: tuple[Tender, ...]
    enabled: bool
    blind: bool
    allow_negative_drawer: bool
    business_day_starts_at: str
    own_provider: str
    store_name: str
    company_id: str | None
    over_short_limit_minor: int | None
    late_window_s: int
    time_zone: str | None = None


def profile_tenders(profile: Profile) -> tuple[Tender, ...]:
    """The tenders of a till: cash alone where nobody set any."""
    return profile.tenders or cash_alone(profile.currency)


def cash_alone(currency: str) -> tuple[Tender, ...]:
    """The tenders of a till that was given none."""
    return (Tender(id=CASH, name=CASH, type="cash", currency=currency, exchange_rate="1"),)


@dataclass(slots=True)
class Till:
    """A profile's row: what serialises its sessions, numbers its closings and chains them."""

    store_id: str
    profile_id: str
    profile: Profile
    open_session_id: str | None
    sessions_opened: int
    z_number: int
    last_hash: str
    fence: int
    profile_version: int = 1
    profile_hash: str = ""
    stored: bool = True
    changed: bool = False


class LeftTender(NamedTuple):
    """What the session before left in a tender that the session does not have, in that tender's minor units."""

    tender: str
    currency: str
    left_minor: int


@dataclass(frozen=True, slots=True)
class Carried:
    """What the till's session before left in the drawer, by tender; frozen at the opening.

    `session_id` is None where there is no such session, where a new count of it is asked for, or where the session was
    opened by a version that did not look. `sequence` is the last command of that session's journal that counted: later
    ones changed nothing here.
    """

    session_id: str | None
    amounts: Mapping[str, int]
    not_carried: tuple[LeftTender, ...]
    sequence: int | None = None

    def as_shown(self) -> dict[str, Any]:
        """What closings and X reports say of it beside their figures."""
        return {"carried_from": self.session_id, "not_carried": [left._asdict() for left in self.not_carried]}


NOTHING_CARRIED: Final = Carried(None, {}, ())


@dataclass(frozen=True, slots=True)
class Opening:
    """What was frozen when the session was opened; tenders and words may have come later.

    `follows_profile`: its tenders were its profile's, so it may get those that its profile has later. `added` are those
    of its tenders that came after the opening, in the order in which they came.
    """

    currency: str
    tenders: Tenders
    opened_at: str
    opened_by: Actor
    business_date: str
    session_number: str
    station: str | None
    note: str | None
    notes: tuple[str, ...]
    own_provider: str
    store_name: str
    profile_name: str
    company_id: str | None
    time_zone: str | None = None
    carried: Carried = NOTHING_CARRIED
    follows_profile: bool = False
    added: tuple[Tender, ...] = ()

    @property
    def first_tenders(self) -> tuple[Tender, ...]:
        """The tenders that the session was opened with."""
        return tuple(tender for tender in self.tenders.tenders.values() if tender not in self.added)

    @property
    def cash_tender(self) -> str:
        """The tender that is meant by cash where none is named; none that came later takes its place."""
        return cash_tender(((t.id, t.type, t.currency) for t in self.first_tenders), self.currency)


@dataclass(slots=True)
class RegisterSequence:
    """What the register says of itself: which of its own numbers were seen, and its clock.

    `gaps` are inclusive, sorted, and at most 100. `latest_at` is the latest time of what a closing holds, as far as the
    clock was set; `clock_adjusted`: somewhere another time counted than the one it said.
    """

    first: int | None = None
    last: int | None = None
    gaps: list[list[int]] = field(default_factory=list)
    latest_at: str = ""
    clock_adjusted: bool = False

    def see(self, number: int) -> None:
        """Note a number, in whatever order numbers come."""
        if self.first is None or self.last is None:
            self.first = self.last = number
        elif number > self.last:
            if number > self.last + 1:
                self._note_gap(self.last + 1, number - 1)
            self.last = number
        elif number < self.first:
            if number < self.first - 1:
                self._note_gap(number + 1, self.first - 1)
            self.first = number
        else:
            self._fill(number)

    def _note_gap(self, start: int, end: int) -> None:
        self.gaps = sorted([*self.gaps, [start, end]])[:GAPS_MAX]

    def _fill(self, number: int) -> None:
        gap = next((gap for gap in self.gaps if gap[0] <= number <= gap[1]), None)
        if gap is None:
            return
        self.gaps.remove(gap)
        for start, end in ((gap[0], number - 1), (number + 1, gap[1])):
            if start <= end:
                self._note_gap(start, end)


@dataclass(slots=True)
class Attempt:
    """The latest attempt to close a session whose over/short is above the limit; it waits for a second person."""

    waits_for: Literal["approval", "count"]
    counted: dict[str, int]
    closed_at: str
    closed_by: Actor
    limit_minor: int | None
    note: str | None
    notes: tuple[str, ...]
    sales_report: dict[str, Any] | None
    left_named: dict[str, int] = field(default_factory=dict)
    clock_adjusted: bool = False
    profile_version: int | None = None
    profile_hash: str | None = None


@dataclass(slots=True)
class Ended:
    """What later commands need to know of a session's closing.

    `counted` is what counts now, recounts included, and `left_named` what was last said to stay of it, by tender.
    `counted_by` is None of a session that nobody counted at its closing.
    """

    closing_id: str
    closing_hash: str
    closed_at: str
    applied_at: str
    origin: Origin
    counted_by: str | None
    counted: dict[str, int]
    corrections: int = 0
    left_named: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class Session:
    """One session, from the opening of a drawer to its closing and beyond.

    `ordinal` counts the profile's sessions from 1. `moved_at` is when its last command was accepted, `next_opened_at`
    when the profile was opened again after it (known only of sessions that the register did not close itself).
    """

    store_id: str
    profile_id: str
    session_id: str
    state: State
    opening: Opening
    totals: Totals
    sequence: int = 0
    journal_form: JournalForm = LINKED_WITH_VERSION
    journal_hash: str = GENESIS_HASH
    register: RegisterSequence = field(default_factory=RegisterSequence)
    ordinal: int = 0
    last_command_at: str = ""
    suspended_at: str | None = None
    attempt: Attempt | None = None
    ended: Ended | None = None
    next_opened_at: str | None = None
    fence: int = 0
    stored: bool = False
    changed: bool = False
    amended: bool = False

    @property
    def opening_minor(self) -> int:
        """The opening float in cash, in the base currency's minor units."""
        cells = self.totals.tenders.get(self.opening.cash_tender)
        return 0 if cells is None else cells[OPENING]

    @property
    def counted(self) -> dict[str, int]:
        """What counts as counted, by tender: later counts included, and those that await approval."""
        count = self._count
        return {} if count is None else count.counted

    @property
    def declared(self) -> Declared:
        """What was said of the drawer, as it counts now."""
        count = self._count
        if count is None:
            return Declared(self.opening.carried.amounts, {}, {})
        return Declared(self.opening.carried.amounts, count.counted, count.left_named)

    @property
    def _count(self) -> Ended | Attempt | None:
        return self.ended or (self.attempt if self.state == "pending" else None)


@dataclass(slots=True)
class KnownAnswer:
    """The answer that a command id already has, and the hash of the body that it was given for."""

    body_hash: bytes
    event_id: str
    kind: str
    received_at: str
    value: bytes


@dataclass(slots=True)
class Received:
    """One readable command as it came from the topic. `received_at` is the broker's append time: the only clock.

    `members` are those that an answer repeats, where there is no `command` to repeat them from. `key` is the one that
    its record must have. Without a good token `text` and `body_hash` are empty and `command` is None, whatever the body
    is: it is not looked at.
    """

    raw: Any
    topic: str
    partition: int
    offset: int
    received_at: str
    traceparent: bytes | None
    refused_right: Literal["forbidden"] | Flaw | None
    """Why the sender may not ask for this."""
    command_id: str
    store_id: str
    profile_id: str
    key: bytes
    text: bytes
    body_hash: bytes
    command: Command | None
    members: dict[str, Any]
    errors: tuple[FieldError, ...]


@dataclass(slots=True)
class Outcome:
    """What one record led to: the answer's bytes, and where it is stored.

    `journal`: the answer claims the command's id. `reused`: it is kept by (command id, body). `position`: it claims
    nothing and is kept by the record's position. `nothing`: it was kept before.
    """

    record: Received
    stored_in: StoredIn
    event_id: str
    kind: str
    received_at: str
    value: bytes
    reason: str | None = None
    sequence: int | None = None
    profile_version: int | None = None
    link: str | None = None
    register_seq: int | None = None
    closing: dict[str, Any] | None = None
    closing_value: bytes | None = None
    correction: dict[str, Any] | None = None
    correction_value: bytes | None = None
    error: str | None = None
    sold_by: Actor | None = None


@dataclass(frozen=True, slots=True)
class ProfileChange:
    """New settings of a till, as `contracts.profiles.settings_object` gives them, and the command that set them."""

    store_id: str
    profile_id: str
    version: int
    settings: dict[str, Any]
    hash: str
    set_at: str
    command_id: str
    actor: Actor


@dataclass(slots=True)
class BatchState:
    """Everything that the commands of one batch can touch, loaded behind the locks of its profiles."""

    tills: dict[TillKey, Till] = field(default_factory=dict)
    sessions: dict[SessionKey, Session] = field(default_factory=dict)
    forced: dict[tuple[str, str, int], Session] = field(default_factory=dict)
    """Sessions that their register did not close itself, by (store, profile, ordinal)."""
    by_opening: dict[TillKey, list[Session]] = field(default_factory=dict)
    """Of tills that are opened in the batch: their sessions in the order in which they opened, as far as one of them
    can be the one that a next session carries from."""
    orders: dict[OrderKey, RecordOrder] = field(default_factory=dict)
    sold_by: dict[OrderKey, Actor] = field(default_factory=dict)
    """Whose sale an order is, where its latest revision does not say so itself: it keeps what an earlier one said."""
    orders_of_before: set[OrderKey] = field(default_factory=set)
    """Orders whose latest revision the version before counted: for nobody, and their money only once finished."""
    movements: dict[tuple[str, str], MoveCash] = field(default_factory=dict)
    voided: set[tuple[str, str]] = field(default_factory=set)
    answers: dict[tuple[str, str], KnownAnswer] = field(default_factory=dict)
    reused: dict[str, KnownAnswer] = field(default_factory=dict)
    profile_changes: list[ProfileChange] = field(default_factory=list)

    def seller_of(self, key: OrderKey) -> Actor:
        """Whose sale the order is, by the register's word; the actor of its first revision where that said nothing."""
        order = self.orders[key]
        return order.sold_by or self.sold_by.get(key, order.actor)

    def changed_sessions(self) -> Iterable[Session]:
        """The sessions that this batch opened or moved."""
        return (session for session in self.sessions.values() if session.changed)
