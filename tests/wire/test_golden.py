"""The golden messages: what each kind looks like, for teams that read them in other languages."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

import contracts
from contracts import closings, events
from contracts.access import ACCESS, read_access, write_access
from contracts.closings import Closing, ClosingCorrection, closing_hash
from contracts.commands import COMMANDS, read_command
from contracts.events import ANSWERS, write_answer
from contracts.jsontext import compact, read_object
from contracts.topics import key_of
from contracts.values import Wire

HOME = Path(contracts.__file__).parent
GOLDEN = {path.stem: path for path in sorted((HOME / "golden").glob("*.json"))}
ANSWER_MODELS: dict[str, type[Wire]] = {str(model.model_fields["kind"].default): model for model in ANSWERS}
CLOSING_MODELS: dict[str, type[Wire]] = {
    "closing": Closing,
    "closing_correction": ClosingCorrection,
}


def golden(name: str) -> dict[str, Any]:
    return read_object(GOLDEN[name].read_bytes())


def named(kinds: Any) -> list[str]:
    """The golden messages of these kinds; each is named `<kind>.json` or `<kind>.<case>.json`."""
    return [name for name in GOLDEN if name.partition(".")[0] in kinds]


def test_every_kind_has_a_golden_message() -> None:
    kinds = {*COMMANDS, *ANSWER_MODELS, *CLOSING_MODELS, *ACCESS}

    assert {name.partition(".")[0] for name in GOLDEN} == kinds
    assert all(golden(name)["kind"] == name.partition(".")[0] for name in GOLDEN)


@pytest.mark.parametrize("name", GOLDEN)
def test_a_golden_message_is_valid_by_its_schema(name: str) -> None:
    message = golden(name)
    schema = json.loads((HOME / "schemas" / f"{message['kind']}.json").read_bytes())
    Draft202012Validator.check_schema(schema)

    Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER).validate(message)


@pytest.mark.parametrize("name", named(COMMANDS))
def test_a_golden_command_is_read(name: str) -> None:
    message = golden(name)

    command = read_command(message)

    for member, value in message.items():
        if member != "occurred_at":
            assert json.loads(command.model_dump_json(exclude_unset=True))[member] == value


@pytest.mark.parametrize("name", named(ANSWER_MODELS))
def test_a_golden_answer_is_written_back_byte_for_byte(name: str) -> None:
    written = compact(golden(name))

    answer: Any = ANSWER_MODELS[golden(name)["kind"]].model_validate_json(written)

    assert write_answer(answer) == written


@pytest.mark.parametrize("name", named(CLOSING_MODELS))
def test_a_golden_closing_is_read_without_loss(name: str) -> None:
    message = golden(name)

    model = CLOSING_MODELS[message["kind"]].model_validate_json(compact(message))

    assert json.loads(model.model_dump_json(exclude_unset=True)) == message


@pytest.mark.parametrize("name", named(ACCESS))
def test_a_golden_revocation_is_written_back_byte_for_byte(name: str) -> None:
    written = compact(golden(name))

    key, value = write_access(read_access(written))

    assert value == written
    assert key.decode() == f"{golden(name)['store_id']}/{golden(name)['subject']}"


@pytest.mark.parametrize("name", named({"closing"}))
def test_a_golden_closing_carries_its_own_hash_and_ids(name: str) -> None:
    closing = golden(name)

    assert closing_hash(closing) == closing["hash"]
    assert closing_hash({**closing, "z_number": closing["z_number"] + 1}) != closing["hash"]
    assert closing["closing_id"] == events.closing_id_of(closing["store_id"], closing["session_id"])


@pytest.mark.parametrize("name", named({"closing_correction"}))
def test_a_golden_correction_names_its_closing_and_its_command(name: str) -> None:
    correction = golden(name)
    closing = next(one for one in map(golden, named({"closing"})) if one["closing_id"] == correction["closing_id"])
    expected = events.correction_id_of(correction["store_id"], correction["command_id"])

    assert correction["closing_hash"] == closing["hash"]
    assert correction["correction_id"] == expected


@pytest.mark.parametrize("name", sorted(set(named(ANSWER_MODELS)) - {"command_parked"}))
def test_the_event_id_of_a_golden_answer_can_be_known_beforehand(name: str) -> None:
    answer = golden(name)

    assert answer["event_id"] == events.event_id_of(answer["store_id"], answer["command_id"])


def test_the_ids_are_those_that_wire_md_derives() -> None:
    command_id = "0194225e-7e60-7000-8000-000000000001"

    assert events.event_id_of("s", command_id) == "bd540fe0-de94-53bf-bf67-2d8d01db0aa1"
    assert events.closing_id_of("s", command_id) == "19a88890-4442-5256-95cd-d367866cf88e"
    assert events.correction_id_of("s", command_id) == "8f8a7b1d-76c5-58a4-af55-c4128a41ce78"
    reused = events.reused_event_id_of("s", command_id, "ab" * 32)
    assert reused == "258eae1d-5207-522b-9b04-48e7a469c7e7"
    claimless = events.claimless_event_id_of("till.commands.v1", 3, 41_207)
    assert claimless == "674d4c4d-0d51-5ed2-9823-9c8016a96795"


def test_the_golden_closing_adds_up() -> None:
    closing = golden("closing")
    sales, summary = closing["sales"], closing["summary"]

    for table in ("by_provider", "by_order_type", "by_tender"):
        assert sum(row["total_minor"] for row in sales[table]) == sales["total_minor"]
    assert sum(side["total_minor"] for side in summary.values()) == sales["total_minor"]
    assert sum(row["count"] for row in sales["by_provider"]) == sales["count"]
    assert {key_of(closing["store_id"], closing["profile_id"])} == {b"parrot-cafe/caja-1"}


def widest(text: str, limit: int) -> str:
    """A text of `limit` bytes that differs by `text`; quotes, because JSON writes each as two."""
    return text + '"' * (limit - len(text))


FIGURE = -(2**53 - 1)


def figures_of(model: type[Wire], **keys: Any) -> dict[str, Any]:
    """A row of this model with its keys; every figure that it has is the widest one."""
    row = {}
    for name, field in model.model_fields.items():
        if name in keys:
            row[name] = keys[name]
        elif isinstance(field.annotation, type) and issubclass(field.annotation, Wire):
            row[name] = figures_of(field.annotation)
        else:
            row[name] = FIGURE
    return row


def largest_closing() -> dict[str, Any]:
    """A closing whose every table, text and figure is at its limit."""
    closing = golden("closing")
    keys = [widest(f"{number:03}", 64) for number in range(closings.ROWS_MAX)] + [closings.OTHER]
    names = [widest(f"{number:03}", 128) for number in range(closings.ROWS_MAX)] + [closings.OTHER]
    rate = "999999999.999999999"
    pairs = [figures_of(closings.NamedTotal, provider=key, name=name) for key, name in zip(keys, names, strict=True)]
    words = {"name": widest("", 128), "type": "third_party", "currency": "MXN", "exchange_rate": rate}
    tenders = [figures_of(closings.TenderFigures, tender=f"{number:064}", **words) for number in range(50)]
    by_tender = [figures_of(closings.TenderTotal, tender=row["tender"]) for row in tenders]
    by_provider = [figures_of(closings.ProviderTotal, provider=key) for key in keys]
    note = widest("", 2_000)
    return closing | {
        "tenders": tenders,
        "cash_movements": figures_of(closings.CashMovements),
        "sales": figures_of(
            closings.Sales,
            by_provider=by_provider,
            by_tender=by_tender,
            by_order_type=[figures_of(closings.OrderTypeTotal, order_type=key) for key in keys],
        ),
        "summary": figures_of(closings.Summary),
        "orders": [figures_of(closings.OrderCounts, provider=key) for key in keys],
        "refunds": [figures_of(closings.RefundTotal, provider=key) for key in keys],
        "cancellations": by_provider,
        "discounts": pairs,
        "service_charges": pairs,
        "tips": by_tender,
        "prepaid": by_tender,
        "taxes": [figures_of(closings.TaxTotal, name=name, rate=rate) for name in names],
        "staff": [figures_of(closings.StaffTotal, id=name, name=names[0]) for name in names],
        "carried_from": closing["session_id"],
        "not_carried": [
            figures_of(closings.NotCarried, tender=row["tender"], currency=row["currency"]) for row in tenders
        ],
        "time_zone": widest("", 64),
        "store_name": widest("", 128),
        "profile_name": widest("", 128),
        "notes": [note] * 40,
        "opening_note": note,
        "closing_note": note,
        "sales_report": {"a": "x" * 32_760},
        "register_seq_gaps": [[2**53 - 2, 2**53 - 1]] * closings.GAPS_MAX,
    }


def test_the_largest_closing_fits_its_topic() -> None:
    written = compact(largest_closing())
    Closing.model_validate_json(written)

    # The headers, the key and the batch around a record take less than 4 KiB.
    assert len(written) < 1_048_588 - 4_096
    page = (HOME / "WIRE.md").read_text(encoding="utf-8")
    sizes = re.search(r"it has at most\s+([\d,]+) bytes, ([\d,]+) less\s+than", page)
    assert sizes is not None
    most, less = (int(number.replace(",", "")) for number in sizes.groups())
    assert len(written) <= most <= 1_048_588 - less
