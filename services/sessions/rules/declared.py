"""What people say of a session's drawer, beside what is computed: carried into it, counted in it, left in it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Declared:
    """Amounts by tender, in each tender's minor units.

    `carried` is what the session before left, as far as it is known. `counted` is what counts as counted now.
    `left_named` is what stays for the next session, by the latest count that said so; since then less may have been
    counted.
    """

    carried: Mapping[str, int]
    counted: dict[str, int]
    left_named: dict[str, int]

    def left(self, tender_id: str) -> int | None:
        """What stays of a counted tender: no more than lies there, and all of it where nobody named less."""
        counted = self.counted.get(tender_id)
        return None if counted is None else min(counted, self.left_named.get(tender_id, counted))


NOTHING_DECLARED: Final = Declared({}, {}, {})
