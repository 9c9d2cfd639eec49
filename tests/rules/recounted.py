"""Closings that the independent recount has found as well."""

from tests.support import recount
from tests.support.till import TENDERS, Body, Till, amounts


def closing_of(till: Till) -> Body:
    """The closing of the till's session, which the recount must agree with."""
    carried = till.batch_state.sessions[till.store, till.session_id].opening.carried.amounts
    closing = till.closed({"cash": 0})
    opening, *commands = till.accepted[till.session_id]
    again = recount.figures(opening, commands, amounts({"cash": 0}), "PARROT", TENDERS, carried=carried)
    assert {name: closing[name] for name in again} == again
    return closing
