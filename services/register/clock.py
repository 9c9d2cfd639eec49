"""The clock of a register: its own, as far as it is right, and steady.

Pure: whoever calls brings the readings. `wall` is the machine's clock in seconds since 1970, which somebody may set;
`steady` is one that nobody can, in seconds since some moment, which goes on while the machine sleeps where the system
has such a clock. Of a reply that left the service in a second `S` and was asked for at `a` and had at `b`, the
service's clock was between S and S + 1 at some moment between `a` and `b`: so its lead lies between S − b and
S + 1 − a. Several such replies narrow that down below a second.
"""

from dataclasses import dataclass
from typing import Final

SAMPLES_MAX: Final = 64
"""Of replies: the latest. Older ones say what the clock was before it drifted."""
DRIFT: Final = 1e-4
"""How fast a bad clock goes wrong, as a share: nine seconds a day, by so much what was heard grows vaguer."""

PUT_RIGHT_S: Final = 2.0
"""A lead that grows more exact moves the time by less than that, and it waits instead of going back."""


@dataclass(frozen=True, slots=True)
class Remembered:
    """What a clock begins with again after a restart: the lead that it knew, and the latest moment that it told."""

    lead_s: float | None
    latest: float | None


class RegisterClock:
    """Tells the time by the machine's clock as it was at the start, goes on steadily, and corrects it by the service's.

    A clock that is set while the program runs moves nothing: from the first reading on, time is that reading and what
    the steady clock has counted since. `lead_s` is by how much the service's clock is ahead of it.
    """

    def __init__(self, wall: float, steady: float, remembered: Remembered | None = None) -> None:
        self._zero = wall - steady
        self._samples: list[tuple[float, float, float]] = []
        self._remembered = remembered or Remembered(None, None)
        self._latest = self._remembered.latest

    def heard(self, asked: float, had: float, second: float) -> None:
        """A reply, asked for and had at these steady readings, that left in this second of the service's clock."""
        low, high = second - (had + self._zero), second + 1 - (asked + self._zero)
        self._samples.append((had, low, high))
        del self._samples[:-SAMPLES_MAX]

    def lead(self, steady: float) -> tuple[float, float] | None:
        """By how many seconds the service's clock is ahead, and how uncertain that is; None where nothing was heard."""
        if not self._samples:
            return None
        low, high = float("-inf"), float("inf")
        for at, sample_low, sample_high in reversed(self._samples):
            vague = DRIFT * (steady - at)
            new_low, new_high = max(low, sample_low - vague), min(high, sample_high + vague)
            if new_low > new_high:  # The service's clock was set in between: what came before says nothing.
                break
            low, high = new_low, new_high
        return (low + high) / 2, (high - low) / 2

    def now(self, steady: float) -> float:
        """The time, in seconds since 1970: by the service's clock where its lead is known.

        It goes back only where a clock is put right by more than `PUT_RIGHT_S`. Started without a line on a machine
        whose battery is empty, it is not before what was told last.
        """
        heard = self.lead(steady)
        time = steady + self._zero + (heard[0] if heard else self._remembered.lead_s or 0.0)
        if self._latest is not None and (heard is None or self._latest - time < PUT_RIGHT_S):
            time = max(time, self._latest)
        self._latest = time
        return time

    def heard_age_s(self, steady: float) -> float | None:
        """How long ago the service's clock was heard; None where it was not."""
        return steady - self._samples[-1][0] if self._samples else None

    def remember(self, steady: float) -> Remembered:
        """What to begin with again. The lead is that over the machine's clock as it was at the start."""
        heard = self.lead(steady)
        return Remembered(heard[0] if heard else self._remembered.lead_s, self._latest)
