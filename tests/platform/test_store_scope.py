"""Which stores a request is about, whoever asks and whatever it names."""

import pytest

from services.platform.auth.claims import Claims
from services.platform.auth.store_scope import StoreRefused, StoreScope, scope_of


def claims(*stores: str, revoked: tuple[str, ...] = ()) -> Claims:
    return Claims("ana", "manager", frozenset(stores), None, None, None, 0.0, frozenset(revoked))


SCOPES = [
    (claims("s1"), (), StoreScope(["s1"])),
    (claims("s2", "s1"), (), StoreScope(["s1", "s2"])),
    (claims("s2", "s1", revoked=("s2",)), (), StoreScope(["s1"])),
    (claims("s2", "s1"), ("s2",), StoreScope(["s2"])),
    (claims("*"), (), StoreScope(None)),
    (claims("*", revoked=("s1",)), (), StoreScope(None, frozenset({"s1"}))),
    (claims("*"), ("s9", "s8"), StoreScope(["s9", "s8"])),
    # What can't be a store's id is none, and must not reach the database as one.
    (claims("*"), ("s9", "no id\0"), StoreScope(["s9"])),
    (claims("*"), ("",), StoreScope([])),
]
REFUSED = [
    (claims("s1"), ("s2",)),
    (claims("s1"), ("s1", "s2")),
    (claims("s1"), ("*",)),
    (claims("s1", "s2", revoked=("s2",)), ("s2",)),
    (claims("*", revoked=("s1",)), ("s1",)),
    (claims("*", revoked=("*",)), ("s1",)),
]


@pytest.mark.parametrize(("who", "named", "scope"), SCOPES)
def test_a_request_is_about_the_stores_it_names_or_else_all_of_its_callers(
    who: Claims, named: tuple[str, ...], scope: StoreScope
) -> None:
    assert scope_of(who, named) == scope


@pytest.mark.parametrize(("who", "named"), REFUSED)
def test_a_store_beyond_the_wall_is_refused(who: Claims, named: tuple[str, ...]) -> None:
    with pytest.raises(StoreRefused):
        scope_of(who, named)
