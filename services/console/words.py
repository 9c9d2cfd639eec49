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

MOVEMENTS: Final[Mapping[str, str]] = {
    "pay_in": phrase("Paid in"),
    "float_loan": phrase("Change brought in"),
    "pay_out": phrase("Paid out"),
    "safe_drop": phrase("Put into the safe"),
    "bank_pickup": phrase("Taken to the bank"),
    "tip_out": phrase("Tips paid out"),
    "no_sale": phrase("Drawer opened without a sale"),
}
TAKEN_OUT: Final = frozenset({"pay_out", "safe_drop", "bank_pickup", "tip_out"})
"""Movements that leave less in the drawer."""
KINDS: Final[Mapping[str, str]] = {
    "open_session": phrase("Session opened"),
    "move_cash": phrase("Cash moved"),
    "void_movement": phrase("Movement voided"),
    "record_order": phrase("Order"),
    "count_drawer": phrase("Drawer counted"),
    "close_session": phrase("Counted to close"),
    "approve_closing": phrase("Closing decided"),
    "force_close": phrase("Closed without a count"),
    "recount": phrase("Counted again after closing"),
    "hand_over": phrase("Handed over"),
    "suspend_session": phrase("Suspended"),
    "resume_session": phrase("Resumed"),
    "amend_session": phrase("Details changed"),
    "void_session": phrase("Session voided"),
    "set_profile": phrase("Till set up"),
}
"""What was done, by the commands of the wire."""
OTHER: Final = phrase("Something else")
"""What was done by a command that this console does not know yet."""

SETTINGS: Final[Mapping[str, str]] = {
    "name": phrase("Name"),
    "enabled": phrase("Sessions may be opened on it"),
    "currency": phrase("Currency"),
    "tenders": phrase("Means of payment"),
    "over_short_limit_minor": phrase("Limit for over and short"),
    "blind": phrase("Counted blind"),
    "allow_negative_drawer": phrase("The drawer may go below zero"),
    "idle_close_after_s": phrase("Closed when nothing happens for"),
    "late_window_s": phrase("Takes what comes late for"),
    "business_day_starts_at": phrase("The business day starts at"),
    "time_zone": phrase("Time zone"),
    "own_provider": phrase("Provider of its own orders"),
    "store_name": phrase("Name of the store"),
    "company_id": phrase("Company"),
}
"""What a till is set by, in the order of its form."""
TENDER_TYPES: Final[Mapping[str, str]] = {
    "cash": phrase("cash"),
    "debit_card": phrase("debit card"),
    "credit_card": phrase("credit card"),
    "wallet": phrase("wallet"),
    "voucher": phrase("voucher"),
    "third_party": phrase("paid to a third party"),
    "other": phrase("other"),
}

CORRECTIONS: Final[Mapping[str, str]] = {
    "late_movement": phrase("A movement came late"),
    "late_order": phrase("An order came late"),
    "late_void": phrase("A movement was voided late"),
    "recount": phrase("Counted again after closing"),
    "session_voided": phrase("Session voided"),
}

REASONS: Final[Mapping[str, str]] = {
    "unauthenticated": phrase("Your sign-in is not taken any more. Sign in again."),
    "forbidden": phrase("Your role may not do this. Ask a manager of this store."),
    "command_id_reused": phrase("This was sent already. Look at the session before you send it again."),
    "malformed": phrase("Something that you filled in can't be read."),
    "profile_unknown": phrase("There is no such till any more."),
    "profile_disabled": phrase("This till is switched off."),
    "session_already_open": phrase("Another session is open on this till."),
    "session_unknown": phrase("There is no such session in this store."),
    "session_closed": phrase("The session is closed by now."),
    "session_suspended": phrase("The session is suspended: resume it first."),
    "session_voided": phrase("The session was voided."),
    "session_not_suspended": phrase("The session is not suspended any more."),
    "session_not_closed": phrase("The session is not closed yet."),
    "session_active": phrase(
        "Something has happened in this session since you looked. Look at it again before you decide."
    ),
    "not_awaiting_approval": phrase(
        "No closing waits for a decision here any more: somebody else has decided, or it is to be counted again."
    ),
    "awaiting_approval": phrase("A closing waits for a decision here: decide on it first."),
    "second_person_required": phrase("Who counted can't approve it too: another manager must decide."),
    "tender_unknown": phrase("This session has no such means of payment."),
    "tender_in_use": phrase("The session has this means of payment already, with other settings."),
    "currency_mismatch": phrase("The currency is another than the till's."),
    "amount_invalid": phrase("The amount is not possible here."),
    "movement_unknown": phrase("There is no such movement in this session."),
    "movement_already_voided": phrase("This movement was voided before."),
    "order_revision_stale": phrase("A newer version of this order is known."),
    "not_enough_cash": phrase("The drawer would go below zero."),
}
"""Why a command was refused, for whoever sent it from a page."""
