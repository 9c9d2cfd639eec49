"""The clock of a register: its own, as far as it is right, and steady.

Pure: whoever calls brings the readings. `wall` is the machine's clock in seconds since 1970, which somebody may set;
`steady` is one that nobody can, in seconds since some moment, which goes on while the machine sleeps where the system
has such a clock. Of a reply that left the service in a second `S` and was asked for at `a` and had at `b`, the
service's clock was between S and S + 1 at some moment between `a` and `b`: so its lead lies between S − b and
S + 1 − a, and somewhat more, since servers write that second down a few times a second. Several such replies narrow
that down below a second.
"""

from dataclasses import dataclass
from typing import Final

SAMPLES_MAX: Final = 64
"""Of replies: the latest. Older ones say what the clock was before it drifted."""
DRIFT: Final = 1e-4
"""How fast a bad clock goes wrong, as a share: nine seconds a day, by so much what was heard grows vaguer."""

SECOND_AGE_S: Final = 0.2
"""How old the second may be that a server writes on its replies."""
SAMPLED_EVERY_S: Final = 1.0
"""What is heard within so long is one sample, so that many replies at a time push no older ones out."""
PUT_RIGHT_S: Final = 2.0
"""A lead that grows more exact moves the time by less than that, and it waits instead of going back."""


SET_SINCE: Final = 1_767_225_600.0
"""2026 began: a clock that shows an earlier time was never set."""
LATEST_AHEAD_S: Final = 2 * 86_400.0
"""What was told last may be so far ahead of a clock that was set; beyond that it was told by one that was wrong."""
LEAD_TRUSTED_S: Final = 86_400.0
"""A remembered lead beyond that was of a clock without a battery, or set to another year: it may be right by now."""


@dataclass(frozen=True, slots=True)
class Remembered:
    """What a clock begins with again after a restart: by how much it was ahead of the machine's, and what it told last.

    None where the service was not heard, or nothing was told.
    """

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
        self._latest, self._lead = self._remembered.latest, _believed(self._remembered, wall)
        if self._latest is not None and SET_SINCE < wall + self._lead < self._latest - LATEST_AHEAD_S:
            self._latest = None
        # A clock without a battery begins in 1970: time goes on from what was told last.
        if self._latest is not None:
            self._lead = max(self._lead, self._latest - wall)
        self._set_at = self._zero

    def heard(self, asked: float, had: float, second: float) -> None:
        """A reply, asked for and had at these steady readings, that left in this second of the service's clock."""
        low, high = second - (had + self._zero), second + 1 + SECOND_AGE_S - (asked + self._zero)
        if self._samples:
            at, last_low, last_high = self._samples[-1]
            if had - at < SAMPLED_EVERY_S and max(low, last_low) <= min(high, last_high):
                self._samples[-1] = (at, max(low, last_low), min(high, last_high))
                return
        self._samples.append((had, low, high))
        del self._samples[:-SAMPLES_MAX]

    def lead_of(self, steady: float, wall: float) -> tuple[float, float] | None:
        """By how much the service's clock is ahead of the machine's as that is set now, and how uncertain that is."""
        lead = self._heard_lead(steady)
        return None if lead is None else (lead[0] + steady + self._zero - wall, lead[1])

    def _heard_lead(self, steady: float) -> tuple[float, float] | None:
        """By how much it is ahead of the machine's as that was at the start; None where nothing was heard."""
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
        whose battery is empty, it goes on from what was told last.
        """
        heard = self._heard_lead(steady)
        time = steady + self._zero + (heard[0] if heard else self._lead)
        if self._latest is not None and (heard is None or self._latest - time < PUT_RIGHT_S):
            time = max(time, self._latest)
        self._latest = time
        return time

    def heard_age_s(self, steady: float) -> float | None:
        """How long ago the service's clock was heard; None where it was not."""
        return steady - self._samples[-1][0] if self._samples else None

    def was_set(self, steady: float, wall: float) -> bool:
        """Whether somebody set the machine's clock since it was remembered: the lead over it is another one then."""
        return abs(wall - steady - self._set_at) > PUT_RIGHT_S

    def remember(self, steady: float, wall: float) -> Remembered:
        """What to begin with again. The lead is that over the machine's clock as it is set now."""
        self._set_at = wall - steady
        heard = self.lead_of(steady, wall)
        return Remembered(heard[0] if heard else self._remembered.lead_s, self._latest)


def _believed(remembered: Remembered, wall: float) -> float:
    """The lead that was remembered, unless it was of a clock that has been put right meanwhile, as far as one sees."""
    lead, latest = remembered.lead_s or 0.0, remembered.latest
    if latest is None or abs(lead) <= LEAD_TRUSTED_S:
        return lead
    is_still_wrong = wall < latest if lead > 0 else wall + lead >= latest
    return lead if is_still_wrong else 0.0
