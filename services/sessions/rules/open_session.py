"""The rule of `open_session`."""

from collections.abc import Sequence
from typing import Any

import orjson

from contracts.events import SessionOpened, fill
from contracts.money import is_one
from contracts.records import OpenSession, Tender
from contracts.times import business_date, offset_of
from contracts.zones import ZONES, offset_in
from services.sessions.rules.answers import Refusal
from services.sessions.rules.carried import carry, previous_session
from services.sessions.rules.context import Decision, RuleContext, accept, adds_up, answer_fields, by_tender
from services.sessions.rules.declared import Declared
from services.sessions.rules.model import HOLDING, Carried, Opening, Profile, Session, profile_tenders
from services.sessions.rules.report import fits
from services.sessions.rules.totals import Tenders, new_totals


def open_session(context: RuleContext, command: OpenSession) -> Decision | Refusal:
    """Open the profile's one session, with its tenders and words frozen as they are now."""
    till, profile = context.till, context.till.profile
    refusal = _held(context, command)
    if refusal is not None:
        return refusal
    tenders = command.tenders or profile_tenders(profile)
    refusal = _bad_amounts(command, profile, tenders)
    if refusal is not None:
        return refusal
    frozen = Tenders(tenders, command.currency)
    carried = carry(previous_session(context.state, (till.store_id, till.profile_id)), frozen)
    totals = new_totals(frozen, by_tender(command.opening), carried.amounts)
    if not fits(totals, frozen, Declared(carried.amounts, {}, {})):
        return Refusal("amount_invalid")
    till.sessions_opened += 1
    till.open_session_id = command.session_id
    till.changed = True
    opening = _opening(context, command, frozen, carried)
    session = Session(command.store_id, command.profile_id, command.session_id, "open", opening, totals)
    session.ordinal = till.sessions_opened
    session.register.clock_adjusted = context.occurred != command.occurred_at
    if command.register_seq is not None:
        session.register.see(command.register_seq)
    _set_next_opened_at(context, session)
    context.state.sessions[command.store_id, command.session_id] = session
    context.state.by_opening.setdefault((till.store_id, till.profile_id), []).append(session)
    accept(context, session)
    answer = fill(
        SessionOpened,
        answer_fields(context, session, command),
        currency=command.currency,
        tenders=tenders,
        opening=command.opening,
        business_date=opening.business_date,
        session_number=opening.session_number,
        station=command.station,
        note=command.note,
        notes=opening.notes,
    )
    return Decision(answer)


def _held(context: RuleContext, command: OpenSession) -> Refusal | None:
    till = context.till
    if not till.profile.enabled:
        return Refusal("profile_disabled")
    if till.open_session_id is not None:
        return Refusal("session_already_open", open_session_id=till.open_session_id)
    same_id = context.state.sessions.get((command.store_id, command.session_id))
    if same_id is None:
        return None
    if same_id.state in HOLDING:
        return Refusal("session_already_open", open_session_id=same_id.session_id)
    return Refusal("session_closed")


def _bad_amounts(command: OpenSession, profile: Profile, tenders: Sequence[Tender]) -> Refusal | None:
    with_drawer = {tender.id for tender in tenders if tender.type != "third_party"}
    if any(entry.tender not in with_drawer for entry in command.opening):
        return Refusal("tender_unknown")
    off_base = any(t.currency == command.currency and not is_one(t.exchange_rate) for t in tenders)
    if command.currency != profile.currency or off_base:
        return Refusal("currency_mismatch")
    return None if adds_up(command.opening) else Refusal("amount_invalid")


def _opening(context: RuleContext, command: OpenSession, tenders: Tenders, carried: Carried) -> Opening:
    profile = context.till.profile
    return Opening(
        currency=command.currency,
        tenders=tenders,
        opened_at=context.occurred,
        opened_by=command.actor,
        business_date=command.business_date or _trading_day(context),
        **opening_words(command, context.till.sessions_opened),
        own_provider=profile.own_provider,
        store_name=profile.store_name,
        profile_name=profile.name,
        company_id=profile.company_id,
        time_zone=profile.time_zone,
        carried=carried,
        follows_profile=command.tenders is None,
    )


def _trading_day(context: RuleContext) -> str:
    """The day by the clock on the shop's wall, or by the register's own where the shop has no zone."""
    profile = context.till.profile
    if profile.time_zone in ZONES:
        offset = offset_in(profile.time_zone, context.occurred)
    else:
        # The offset that the register wrote is in the text alone: the command's times are in UTC.
        offset = offset_of(orjson.loads(context.record.text)["occurred_at"])
    return business_date(context.occurred, offset, profile.business_day_starts_at)


def opening_words(command: OpenSession, ordinal: int) -> dict[str, Any]:
    """The words of an opening that may be amended later."""
    return {
        "session_number": command.session_number or str(ordinal),
        "station": command.station,
        "note": command.note,
        "notes": command.notes or (),
    }


def _set_next_opened_at(context: RuleContext, opened: Session) -> None:
    """Late commands of a session that its register did not close are judged by when this one was opened."""
    previous = context.state.forced.get((opened.store_id, opened.profile_id, opened.ordinal - 1))
    if previous is not None:
        previous.next_opened_at = opened.opening.opened_at
