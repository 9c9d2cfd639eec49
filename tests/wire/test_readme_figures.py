"""What the wire's README computes is what its golden messages, the list of currencies and murmur2 say."""

import json
from pathlib import Path

from services.platform.kafka.partitioners import by_crc32, by_fnv1a, murmur2_of

CONTRACTS = Path(__file__).parents[2] / "contracts"
README = (CONTRACTS / "README.md").read_text(encoding="utf-8")
FIGURES = ("expected_minor", "reported_minor", "difference_minor")


def cash_of(name: str) -> list[int]:
    message = json.loads((CONTRACTS / "golden" / name).read_text(encoding="utf-8"))
    cash = message.get("deltas", message)["cash_movements"]
    return [cash[figure] for figure in FIGURES]


def test_a_closing_and_its_corrections_add_up_as_the_page_says() -> None:
    names = ["closing.json", "closing_correction.late_movement.json", "closing_correction.recount.json"]
    rows = {f"`{name}`": cash_of(name) for name in names}
    rows["as it stands now"] = [sum(figures) for figures in zip(*rows.values(), strict=True)]

    for name, figures in rows.items():
        assert f"| {name} | {' | '.join(map(str, figures))} |" in README


def test_clients_put_the_key_where_the_page_says() -> None:
    key = b"parrot-cafe/caja-1"

    assert (murmur2_of(key) % 12, by_crc32(key, 12), by_fnv1a(key, 12)) == (5, 7, 11)
    assert "5; without it 7" in README
    assert "5; without it 11" in README


def test_currencies_have_the_decimals_that_the_page_says() -> None:
    listed = (CONTRACTS / "currencies.csv").read_text(encoding="utf-8").split()

    assert {"MXN,2", "CLP,0", "KWD,3"} <= set(listed)
