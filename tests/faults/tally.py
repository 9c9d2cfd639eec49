"""What a fault test counts: it goes on after a violation, so that the figures at the end tell how many there were."""

from dataclasses import dataclass, field


@dataclass
class Tally:
    """The figures of one fault test."""

    name: str
    rounds: int = 0
    faults: int = 0
    commands: int = 0
    repeats: int = 0
    checks: int = 0
    violations: list[str] = field(default_factory=list)

    def check(self, holds: bool, sentence: str) -> None:
        """One check; `sentence` says what is wrong when it does not hold."""
        self.checks += 1
        if not holds:
            self.violations.append(sentence)

    def hold(self) -> None:
        """The test's verdict; a test that checked nothing has failed as well."""
        assert self.checks > 0
        assert self.violations == [], f"{len(self.violations)} violations, the first: {self.violations[:5]}"

    def line(self) -> str:
        return (
            f"{self.name}: {self.rounds} rounds, {self.faults} faults, {self.commands} commands, "
            f"{self.repeats} repeated deliveries, {self.checks} checks, {len(self.violations)} violations"
        )
