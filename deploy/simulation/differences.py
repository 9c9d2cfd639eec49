"""How the closings of a simulated chain differ from the recount. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass

from deploy.demo.tally import Difference, closing_differences, correction_differences
from deploy.demo.tape import Body
from deploy.simulation.recount import TillRecount


@dataclass(frozen=True, slots=True)
class StoreClosings:
    """What the reporting reader has of a store. `standing` are closings as they stand now, None where not known yet."""

    closings: list[Body]
    standing: list[Body | None]
    corrections: list[Body]


def is_complete(tills: Iterable[TillRecount], shown: StoreClosings) -> bool:
    """Whether the reader has as much as there must be: what it has yet to learn is no difference."""
    tills = list(tills)
    closings = sum(len(till.closings) for till in tills)
    corrections = sum(len(till.corrections) for till in tills)
    return len(shown.closings) >= closings and len(shown.corrections) >= corrections and None not in shown.standing


def differences(tills: Iterable[TillRecount], shown: StoreClosings) -> list[Difference]:
    """What is not as it must be: closings, their corrections, and what the reader says of both together."""
    tills = list(tills)
    expected = [closing for till in tills for closing in till.closings]
    unlike = closing_differences(shown.closings, expected)
    corrections = [correction for till in tills for correction in till.corrections]
    unlike += correction_differences(shown.corrections, shown.closings, corrections)
    standing = {session_id: now for till in tills for session_id, now in till.as_it_stands().items()}
    names = {row["session_id"]: f"{row['store_id']}/{row['profile_id']} Z {row['z_number']}" for row in expected}
    for closing, now in zip(shown.closings, shown.standing, strict=True):
        row = standing.get(closing["session_id"])
        if row is not None:
            name, seen = names[closing["session_id"]], now or {}
            unlike += [
                Difference(name, f"{member} as it stands", seen.get(member), row[member])
                for member in row
                if seen.get(member) != row[member]
            ]
    return unlike
