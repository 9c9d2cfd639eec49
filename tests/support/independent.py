"""What happens at one till and hangs on nothing else that happens there: the figures must not say what came first."""

from hypothesis import strategies as st

from tests.support.chance import Chance
from tests.support.till import Body

Commands = list[tuple[str, Body]]
"""Commands that only their own order matters to, each with its kind and members."""


class Independent(Chance):
    """One thing that happens, by the dice of `seed`; no amount is large enough to be refused for what others add."""

    def __init__(self, seed: int, number: int) -> None:
        super().__init__(seed)
        self.number = number

    def amount(self) -> int:
        return self.dice.randrange(1, 90_000)

    def commands(self) -> Commands:
        """A movement, one that is taken back, a count of the drawer, or an order with all its revisions."""
        roll = self.dice.random()
        if roll < 0.2:
            return self.moved()
        if roll < 0.25:
            return [("count_drawer", self.count_drawer())]
        return [("record_order", order) for order in self.revisions()]

    def moved(self) -> Commands:
        move = self.move_cash() | {"command_id": self.movements[-1]}
        void = {"movement_id": self.movements[-1], "reason": "typo"}
        return [("move_cash", move), ("void_movement", void)] if self.dice.random() < 0.3 else [("move_cash", move)]

    def revisions(self) -> list[Body]:
        """An order from its beginning: revised, topped up, carried over, canceled, a sale or a refund."""
        orders = [self.new_order()]
        for _ in range(self.dice.randrange(4)):
            self.orders = [orders[-1]]
            orders.append(self.order_again() if self.dice.random() < 0.5 else self.new_order())
        one = {"order_id": str(self.number), "refund_of": orders[0]["refund_of"]}
        return [
            order | one | {"revision": revision, "actor": {"id": self.dice.choice(("lucia", "eva"))}}
            for revision, order in enumerate(orders)
        ]


def some(seeds: list[int]) -> list[Commands]:
    """One independent thing for each seed."""
    return [Independent(seed, number).commands() for number, seed in enumerate(seeds, start=1)]


in_two_orders = st.lists(st.integers(0, 2**32), max_size=12).flatmap(
    lambda seeds: st.tuples(st.just(some(seeds)), st.permutations(some(seeds)))
)
