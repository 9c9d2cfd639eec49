"""WIRE.md section 2, malformed: every limit of every field, at it, below it and beyond it."""

import copy
from typing import Any

import pytest

from contracts.commands import COMMANDS, read_command
from contracts.jsontext import Digits, compact, read_object
from tests.support.full_commands import (
    ACTOR,
    ADDED,
    COUNTED,
    ORDER,
    TENDER,
    UUID,
    Path,
    body,
    dotted,
    errors_of,
    with_value,
)

ALL_KINDS = pytest.mark.parametrize("kind", COMMANDS)


@ALL_KINDS
def test_a_full_command_is_accepted(kind: str) -> None:
    command = read_command(body(kind))

    assert type(command) is COMMANDS[kind]
    assert command.occurred_at == "2025-01-01T15:46:52.000000Z"


@ALL_KINDS
def test_every_required_member_is_missed_and_may_not_be_null(kind: str) -> None:
    for name, field in COMMANDS[kind].model_fields.items():
        without = {key: value for key, value in body(kind).items() if key != name}
        null = body(kind, **{name: None})
        expected = [name] if field.is_required() else []

        assert list(errors_of(without)) == expected
        assert list(errors_of(null)) == expected


@ALL_KINDS
def test_an_unknown_member_is_malformed(kind: str) -> None:
    assert list(errors_of(body(kind, store="x"))) == ["store"]
    assert list(errors_of(body(kind, Kind="x"))) == ["Kind"]
    assert list(errors_of(body(kind, **{"": 1}))) == [""]


REQUIRED_WITHIN: list[tuple[str, Path]] = [
    ("open_session", ("actor", "id")),
    ("open_session", ("opening", 0, "tender")),
    ("open_session", ("opening", 0, "amount_minor")),
    ("open_session", ("opening", 0, "denominations", 0, "value_minor")),
    ("open_session", ("opening", 0, "denominations", 1, "count")),
    *(("open_session", ("tenders", 0, name)) for name in TENDER),
    *(("record_order", (row, 0, name))
      for row in ("discounts", "service_charges") for name in ("name", "amount_minor")),
    ("record_order", ("payments", 0, "tender")),
    ("record_order", ("payments", 0, "amount_minor")),
    *(("record_order", ("taxes", 0, name)) for name in ("name", "rate", "net_minor", "tax_minor")),
    ("record_order", ("change", 0, "tender")),
    ("record_order", ("change", 0, "amount_minor")),
    ("record_order", ("paid_before", "session_id")),
    ("record_order", ("paid_before", "amount_minor")),
    ("record_order", ("sold_by", "id")),
    ("hand_over", ("to", "id")),
]  # fmt: skip
OPTIONAL_WITHIN: list[tuple[str, Path]] = [
    ("open_session", ("actor", "name")),
    ("open_session", ("opening", 0, "denominations")),
    *(("record_order", ("payments", 0, name))
      for name in ("tip_minor", "tendered_minor", "change_minor")),
    ("record_order", ("sold_by", "name")),
    ("hand_over", ("to", "name")),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "path"), REQUIRED_WITHIN)
def test_required_members_within_are_missed(kind: str, path: Path) -> None:
    missing = copy.deepcopy(body(kind))
    inner: Any = missing
    for member in path[:-1]:
        inner = inner[member]
    del inner[path[-1]]

    assert list(errors_of(missing)) == [dotted(path)]
    assert list(errors_of(with_value(kind, path, None))) == [dotted(path)]


@pytest.mark.parametrize(("kind", "path"), OPTIONAL_WITHIN)
def test_null_within_equals_absent(kind: str, path: Path) -> None:
    assert errors_of(with_value(kind, path, None)) == {}


@pytest.mark.parametrize("kind", [None, "", "open", "OPEN_SESSION", "session_opened", 1, [], {}])
def test_an_unknown_kind_is_malformed(kind: Any) -> None:
    assert list(errors_of(body("void_session", kind=kind))) == ["kind"]


TEXTS: list[tuple[int, int, str, Path]] = [
    (1, 128, "open_session", ("actor", "id")),
    (1, 128, "open_session", ("actor", "name")),
    (1, 128, "hand_over", ("to", "id")),
    (1, 128, "open_session", ("tenders", 0, "name")),
    (1, 128, "record_order", ("discounts", 0, "name")),
    (1, 128, "record_order", ("service_charges", 0, "name")),
    (1, 128, "record_order", ("taxes", 0, "name")),
    (1, 128, "record_order", ("sold_by", "id")),
    (1, 128, "record_order", ("sold_by", "name")),
    (1, 64, "open_session", ("session_number",)),
    (1, 64, "open_session", ("station",)),
    (1, 64, "suspend_session", ("station",)),
    (1, 64, "resume_session", ("station",)),
    (1, 64, "amend_session", ("session_number",)),
    (1, 64, "amend_session", ("station",)),
    (1, 64, "move_cash", ("category",)),
    (1, 64, "void_movement", ("reason",)),
    (1, 64, "approve_closing", ("reason",)),
    (1, 64, "force_close", ("reason",)),
    (1, 64, "recount", ("reason",)),
    (1, 64, "void_session", ("reason",)),
    (1, 64, "record_order", ("order_id",)),
    (1, 64, "record_order", ("provider",)),
    (1, 64, "record_order", ("order_type",)),
    (1, 64, "record_order", ("refund_of",)),
    (0, 2_000, "open_session", ("note",)),
    (0, 2_000, "open_session", ("notes", 1)),
    (0, 2_000, "close_session", ("note",)),
    (0, 2_000, "close_session", ("notes", 0)),
    (0, 2_000, "amend_session", ("note",)),
    (0, 2_000, "move_cash", ("description",)),
]
ALL_TEXTS = pytest.mark.parametrize(("shortest", "longest", "kind", "path"), TEXTS)


@ALL_TEXTS
def test_texts_are_limited_in_bytes_not_characters(shortest: int, longest: int, kind: str, path: Path) -> None:
    euros, rest = divmod(longest, 3)
    fitting = ["x" * shortest, "x" * longest, "€" * euros + "x" * rest, "😀" * (longest // 4)]
    beyond = ["x" * (longest + 1), "€" * euros + "x" * (rest + 1), "😀" * (longest // 4) + "x"]

    assert [errors_of(with_value(kind, path, text)) for text in fitting] == [{}] * 4
    for text in beyond + ["x" * 200_000] + [""] * shortest:
        assert list(errors_of(with_value(kind, path, text))) == [dotted(path)]


@ALL_TEXTS
def test_texts_hold_no_control_character_but_three(shortest: int, longest: int, kind: str, path: Path) -> None:
    del shortest, longest
    allowed = {"\n", "\t", "\r"}
    controls = {*map(chr, range(0x20)), "\x7f"}

    halves = set(map(chr, (0xD800, 0xDFFF)))

    for control in controls - allowed | halves:
        problems = errors_of(with_value(kind, path, f"a{control}b"))
        assert list(problems) == [dotted(path)], repr(control)
    for good in allowed | {" ", "\x80", "\x85", "\u2028", "\ufeff", "\U0010ffff"}:
        assert errors_of(with_value(kind, path, f"a{good}b")) == {}, repr(good)


@ALL_TEXTS
def test_nothing_but_a_text_is_a_text(shortest: int, longest: int, kind: str, path: Path) -> None:
    del shortest, longest
    for wrong in (1, 1.5, Digits("1.5"), True, [], ["a"], {}, {"a": "b"}):
        assert list(errors_of(with_value(kind, path, wrong))) == [dotted(path)], repr(wrong)


@pytest.mark.parametrize("spelling", [b'{"note":1.5,', b'{"note": 1.5, '])
def test_a_number_is_no_text_in_either_spelling(spelling: bytes) -> None:
    members = body("amend_session")
    del members["note"]
    spelled = spelling + compact(members)[1:]

    assert list(errors_of(read_object(spelled))) == ["note"]


IDS: list[tuple[str, Path]] = [
    ("move_cash", ("store_id",)),
    ("move_cash", ("profile_id",)),
    ("move_cash", ("tender",)),
    ("open_session", ("tenders", 0, "id")),
    ("open_session", ("opening", 0, "tender")),
    ("record_order", ("payments", 0, "tender")),
]


@pytest.mark.parametrize(("kind", "path"), IDS)
def test_ids_have_64_characters_of_a_small_alphabet(kind: str, path: Path) -> None:
    for good in ("a", "x" * 64, "AZaz09._:-", ".", ".."):
        assert errors_of(with_value(kind, path, good)) == {}
    for bad in ("", "x" * 65, "a b", "a/b", "é", "a\n", "\n", "a\0", "(other)", "*", "٣", "\ud800"):
        assert list(errors_of(with_value(kind, path, bad))) == [dotted(path)], repr(bad)


UUIDS: list[tuple[str, str]] = [
    ("move_cash", "command_id"),
    ("move_cash", "session_id"),
    ("void_movement", "movement_id"),
]


@pytest.mark.parametrize(("kind", "name"), UUIDS)
def test_uuids_have_36_characters_and_are_written_lower(kind: str, name: str) -> None:
    for good in (UUID, UUID.upper(), "0" * 8 + "-0000" * 3 + "-" + "f" * 12):
        assert getattr(read_command(body(kind, **{name: good})), name) == good.lower()
    for bad in (
        "",
        UUID.replace("-", ""),
        f"urn:uuid:{UUID}",
        f"{{{UUID}}}",
        UUID + "\n",
        " " + UUID,
        UUID[:-1],
        UUID + "0",
        UUID.replace("a", "g"),
        UUID[:8] + UUID[9:14] + "-" + UUID[14:],
        "０" + UUID[1:],
        7,
    ):
        assert list(errors_of(body(kind, **{name: bad}))) == [name], repr(bad)


AMOUNT = (0, 10**15)
COUNT = (0, 2**31 - 1)
SEQUENCE = (0, 2**53 - 1)
NUMBERS: list[tuple[tuple[int, int], str, Path]] = [
    (AMOUNT, "move_cash", ("amount_minor",)),
    (AMOUNT, "open_session", ("opening", 0, "amount_minor")),
    ((1, 10**15), "open_session", ("opening", 0, "denominations", 0, "value_minor")),
    (COUNT, "open_session", ("opening", 0, "denominations", 0, "count")),
    (AMOUNT, "close_session", ("counted", 0, "amount_minor")),
    (AMOUNT, "record_order", ("gross_minor",)),
    (AMOUNT, "record_order", ("tax_minor",)),
    (AMOUNT, "record_order", ("discounts", 0, "amount_minor")),
    (AMOUNT, "record_order", ("taxes", 0, "net_minor")),
    (AMOUNT, "record_order", ("taxes", 0, "tax_minor")),
    (AMOUNT, "record_order", ("change", 0, "amount_minor")),
    (AMOUNT, "record_order", ("paid_before", "amount_minor")),
    (AMOUNT, "record_order", ("service_charges", 0, "amount_minor")),
    (AMOUNT, "record_order", ("payments", 0, "amount_minor")),
    (AMOUNT, "record_order", ("payments", 0, "tip_minor")),
    (AMOUNT, "record_order", ("payments", 0, "tendered_minor")),
    (AMOUNT, "record_order", ("payments", 0, "change_minor")),
    (SEQUENCE, "record_order", ("revision",)),
    (SEQUENCE, "record_order", ("register_seq",)),
    (SEQUENCE, "force_close", ("unless_after",)),
]
ALL_NUMBERS = pytest.mark.parametrize(("limits", "kind", "path"), NUMBERS)


@ALL_NUMBERS
def test_integers_end_at_their_limits(limits: tuple[int, int], kind: str, path: Path) -> None:
    smallest, largest = limits
    for good in (smallest, smallest + 1, largest):
        assert errors_of(with_value(kind, path, good)) == {}
    for bad in (smallest - 1, largest + 1, -(2**63), 2**63, 2**64 - 1):
        assert list(errors_of(with_value(kind, path, bad))) == [dotted(path)]


PLACE = 987_654_321
"""An acceptable value of every number above; its digits are replaced where the bytes matter."""


@ALL_NUMBERS
@pytest.mark.parametrize(
    "spelling",
    ["1.0", "1.5", "1e3", "1E3", "-0.0", "0.0", "1e-3", '"1"', "true", "false", "[1]", "{}",
     "-1", "1" * 17, "1" * 20, "18446744073709551615", "-9223372036854775808", "9" * 5_000],
)  # fmt: skip
def test_nothing_but_an_integer_is_an_integer(limits: tuple[int, int], kind: str, path: Path, spelling: str) -> None:
    del limits
    data = compact(with_value(kind, path, PLACE))
    for written in (spelling, f" {spelling} "):
        members = read_object(data.replace(str(PLACE).encode(), written.encode()))
        assert list(errors_of(members)) == [dotted(path)]


@pytest.mark.parametrize("spelling", [b"-0", b" -0"])
def test_minus_zero_is_the_integer_zero(spelling: bytes) -> None:
    data = compact(body("move_cash", amount_minor=PLACE)).replace(str(PLACE).encode(), spelling)

    assert read_command(read_object(data)).amount_minor == 0


LISTS: list[tuple[int, int, str, Path, Any]] = [
    (0, 50, "open_session", ("opening",), COUNTED[0]),
    (1, 50, "count_drawer", ("counted",), COUNTED[0]),
    (1, 50, "close_session", ("counted",), COUNTED[0]),
    (1, 50, "recount", ("counted",), COUNTED[0]),
    (1, 50, "hand_over", ("counted",), COUNTED[0]),
    (0, 20, "open_session", ("notes",), ""),
    (0, 20, "close_session", ("notes",), ""),
    (0, 20, "amend_session", ("notes",), ""),
    (0, 100, "record_order", ("discounts",), ORDER["discounts"][0]),
    (0, 50, "record_order", ("taxes",), ORDER["taxes"][0]),
    (0, 10, "record_order", ("change",), ORDER["change"][0]),
    (0, 100, "record_order", ("service_charges",), ORDER["service_charges"][0]),
    (0, 100, "record_order", ("payments",), ORDER["payments"][0]),
    (0, 100, "recount", ("counted", 0, "denominations"), {"value_minor": 1, "count": 0}),
]


@pytest.mark.parametrize(("shortest", "longest", "kind", "path", "item"), LISTS)
def test_lists_end_at_their_limits(shortest: int, longest: int, kind: str, path: Path, item: Any) -> None:
    for good in (shortest, longest):
        assert errors_of(with_value(kind, path, [item] * good)) == {}
    for beyond in [longest + 1] + [0] * shortest:
        assert list(errors_of(with_value(kind, path, [item] * beyond))) == [dotted(path)]
    for wrong in ("", "abc", 1, {}, {"0": item}, Digits("1.5")):
        assert list(errors_of(with_value(kind, path, wrong))) == [dotted(path)]
    assert list(errors_of(with_value(kind, path, [None]))) == [f"{dotted(path)}.0"]


def tenders(count: int) -> list[dict[str, str]]:
    return [{**TENDER, "id": f"t{number}"} for number in range(count)]


def test_tenders_are_1_to_50_and_each_stands_once() -> None:
    assert errors_of(body("open_session", tenders=tenders(50))) == {}
    refused: tuple[list[dict[str, str]], ...] = ([], tenders(51), [TENDER, TENDER])
    for bad in refused:
        assert list(errors_of(body("open_session", tenders=bad))) == ["tenders"]


@pytest.mark.parametrize("code", ["", "mxn", "MX", "MXNN", "XXX", "XAU", "XEU", "MX1", "MXN\n"])
def test_a_currency_that_is_no_money_of_iso_4217_is_malformed(code: str) -> None:
    assert list(errors_of(body("open_session", currency=code))) == ["currency"]
    assert list(errors_of(with_value("open_session", ("tenders", 0, "currency"), code)))


def test_a_rate_is_a_positive_decimal_of_at_most_9_digits_on_each_side() -> None:
    path: Path = ("tenders", 0, "exchange_rate")
    for good in ("1", "0.000000001", "999999999.999999999", "00.5", "17.50"):
        assert errors_of(with_value("open_session", path, good)) == {}
    for bad in ("0", "0.0", "000", "", "-1", "+1", ".5", "5.", "1e3", "1,5", "Infinity", "NaN",
                "1" * 10, "1." + "1" * 10, " 1", "1\n", "١", 1, 1.5, Digits("1.5")):  # fmt: skip
        assert list(errors_of(with_value("open_session", path, bad))) == [dotted(path)], repr(bad)


@pytest.mark.parametrize(
    ("kind", "path", "values"),
    [
        (
            "move_cash",
            ("movement",),
            "pay_in float_loan pay_out safe_drop bank_pickup tip_out no_sale",
        ),
        (
            "open_session",
            ("tenders", 0, "type"),
            "cash debit_card credit_card wallet voucher third_party other",
        ),
        (
            "record_order",
            ("status",),
            "open finished forced_close canceled_by_pos canceled_by_external",
        ),
        ("approve_closing", ("decision",), "approve recount"),
    ],
)
def test_choices_are_closed(kind: str, path: Path, values: str) -> None:
    for value in values.split():
        assert errors_of(with_value(kind, path, value)) == {}
        assert list(errors_of(with_value(kind, path, value.upper()))) == [dotted(path)]
    wrong: tuple[Any, ...] = ("", "other_one", 1, None, [], {})
    for bad in wrong:
        assert list(errors_of(with_value(kind, path, bad))) == [dotted(path)]


def test_times_and_dates_are_read_strictly() -> None:
    for bad in ("2025-01-01", "", 1735746412, 1735746412.0, None, Digits("1.5")):
        assert list(errors_of(body("void_session", occurred_at=bad))) == ["occurred_at"]
    for bad in ("2025-02-29", "2025-01-01T00:00:00Z", "", 20250101):
        assert list(errors_of(body("open_session", business_date=bad))) == ["business_date"]


def test_an_actor_is_an_object_with_an_id() -> None:
    for bad in ("a", [], ["a"], 1, True):
        assert list(errors_of(body("void_session", actor=bad))) == ["actor"]
    assert list(errors_of(body("void_session", actor={**ACTOR, "role": "x"}))) == ["actor.role"]


def test_an_amendment_names_something() -> None:
    nothing = dict.fromkeys(ADDED["amend_session"])

    assert list(errors_of(body("amend_session", **nothing))) == ["body"]
    for name, value in ADDED["amend_session"].items():
        assert errors_of(body("amend_session", **{**nothing, name: value})) == {}
    assert errors_of(body("amend_session", **{**nothing, "notes": []})) == {}
    assert errors_of(body("amend_session", **{**nothing, "note": ""})) == {}
