"""A command whose kind is no text at all is answered like every other malformed one, whoever sends it."""

from typing import Any

import pytest

from services.platform.auth.claims import Claims, Role
from tests.support.till import Till


@pytest.mark.parametrize("kind", [[], {}, ["force_close"], {"kind": "force_close"}])
@pytest.mark.parametrize("role", ["register", "cashier", "manager"])
def test_a_kind_that_is_a_list_or_an_object_is_malformed(role: Role, kind: Any) -> None:
    till = Till()
    body = till.body("open_session", currency="MXN", opening=[]) | {"kind": kind}
    claims = Claims("lucia", role, frozenset({"s"}), None, None, None, 4e9)
    answer = till.send(body, verify=lambda *_: claims)
    assert (answer["reason"], answer["command_kind"]) == ("malformed", None)
