"""Which stores a request is about: the one answer to it, for every API."""

from collections.abc import Sequence
from dataclasses import dataclass

from contracts.values import ID_TEXT
from services.platform.auth.claims import EVERY_STORE, Claims
from services.platform.errors import TillError


class StoreRefused(TillError):
    """A store was named that the caller's token does not allow, or in which its bearer was revoked."""

    def __init__(self, store_id: str) -> None:
        super().__init__(store_id)
        self.store_id = store_id


@dataclass(frozen=True, slots=True)
class StoreScope:
    """The stores to look at; `stores` None means every store there is, but for those in `without`."""

    stores: Sequence[str] | None
    without: frozenset[str] = frozenset()

    def has(self, store_id: str) -> bool:
        """Whether the store is one of them."""
        return store_id not in self.without if self.stores is None else store_id in self.stores


def scope_of(claims: Claims, named: Sequence[str] = ()) -> StoreScope:
    """The stores that are named, else all of the caller's. Raises StoreRefused for one beyond the wall."""
    for store_id in named:
        if not claims.allows_store(store_id):
            raise StoreRefused(store_id)
    if named:
        # What can't be a store's id is none; it must not reach the database as one.
        return StoreScope([store_id for store_id in named if ID_TEXT.fullmatch(store_id)])
    if EVERY_STORE not in claims.stores:
        return StoreScope(sorted(one for one in claims.stores - claims.revoked if ID_TEXT.fullmatch(one)))
    return StoreScope(None, claims.revoked)
