"""The books can be added to and never changed, whatever the role."""

import pytest
from sqlalchemy.exc import DBAPIError

from services.sessions.tools.verify import verify
from tests.ledger.ledger import Ledger, silent
from tests.ledger.week import a_week

BOOKS = ("journal", "closings", "corrections")


@pytest.mark.parametrize("table", BOOKS)
@pytest.mark.parametrize("change", ["UPDATE {} SET store_id = store_id", "DELETE FROM {}", "TRUNCATE {} CASCADE"])
async def test_nobody_changes_what_was_written(ledger: Ledger, table: str, change: str) -> None:
    await ledger.apply(*a_week())
    # The role of the tests owns everything and is a superuser.
    with pytest.raises(DBAPIError, match=r"rows of .* are only ever added"):
        await ledger.sql(change.format(table))
    await verify(ledger.engine, progress=silent)
