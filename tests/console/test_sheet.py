"""The file for spreadsheets: its form, and that nothing in it is a formula."""

import csv
from io import StringIO
from typing import Any

import pytest

from services.console import sheet
from services.console.closing_search import Listed
from services.platform.spreadsheets import MARK


def closing(**changed: Any) -> dict[str, Any]:
    return {
        "store_id": "s1",
        "profile_id": "p1",
        "profile_name": "Caja 1",
        "z_number": 3,
        "session_number": "308",
        "business_date": "2026-11-20",
        "opened_at": "2026-11-20T12:00:00.000000Z",
        "opened_by": {"id": "ana", "name": "Ana, la de siempre"},
        "closed_at": "2026-11-21T05:30:15.000000Z",
        "closed_by": {"id": "ana", "name": None},
        "approved_by": None,
        "time_zone": "America/Mexico_City",
        "currency": "MXN",
        "sales": {"count": 1, "total_minor": 20_000},
        "cash_movements": {"expected_minor": 18_500, "reported_minor": 18_350, "difference_minor": -150},
        "closing_id": "c",
        "hash": "0" * 64,
    } | changed


def read(*rows: Listed) -> list[dict[str, str]]:
    """The file as a spreadsheet reads it."""
    written = MARK + sheet.heading(str) + sheet.lines(rows)
    return list(csv.DictReader(StringIO(written.decode("utf-8-sig"), newline="")))


def test_a_line_has_what_spreadsheets_take_for_numbers_and_times() -> None:
    (row,) = read(Listed(closing(), 0, needs_review=True))
    assert row["Opened by (name)"] == "Ana, la de siempre"
    assert (row["Closed"], row["Time zone"]) == ("2026-11-20 23:30:15", "America/Mexico_City")
    assert (row["Sales"], row["Cash over or short when closed"], row["Cash over or short now"]) == (
        "200.00",
        "-1.50",
        "0.00",
    )
    assert (row["Closed by (name)"], row["Approved by"], row["To be reviewed"]) == ("", "", "1")


def test_lines_end_as_the_standard_has_it_and_the_file_says_its_encoding() -> None:
    written = sheet.heading(str) + sheet.lines(
        [Listed(closing(profile_name='Caja "1"\nBarra'), None, needs_review=False)]
    )
    assert MARK.decode("utf-8") == "\ufeff"
    assert written.endswith(b"\r\n")
    assert b'"Caja ""1""\nBarra"' in written
    assert written.count(b"\r\n") == 2
    assert len({len(row) for row in csv.reader(StringIO(written.decode(), newline=""))}) == 1


@pytest.mark.parametrize("sign", ["=", "+", "-", "@", "\t", "\r", "\n", " =", "\uff1d", "\uff20"], ids=ascii)
def test_no_text_of_a_register_is_a_formula(sign: str) -> None:
    evil = sign + 'HYPERLINK("http://evil.example";"x")'
    one = closing(
        profile_name=evil,
        session_number=evil,
        opened_by={"id": evil, "name": evil},
        closed_by={"id": evil, "name": evil},
        approved_by={"id": evil, "name": evil},
    )
    (row,) = read(Listed(one, 0, needs_review=False))
    cells = [cell for cell in row.values() if "HYPERLINK" in cell]
    assert len(cells) == 7
    assert all(cell == f"'{evil}" for cell in cells)


@pytest.mark.parametrize("behind", [";", "; ", "\t", "|", "\n", "\r\n", ';"', ";\N{NO-BREAK SPACE}"], ids=ascii)
@pytest.mark.parametrize("sign", ["=", "+", "-", "@", "\uff1d"], ids=ascii)
def test_no_text_is_a_formula_behind_what_parts_cells_elsewhere(behind: str, sign: str) -> None:
    (row,) = read(Listed(closing(profile_name=f"Caja{behind}{sign}1+1"), 0, needs_review=False))
    assert row["Till"] == f"Caja{behind}'{sign}1+1"
    (row,) = read(Listed(closing(profile_name=f"A{sign}B; C, D|E"), 0, needs_review=False))
    assert row["Till"] == f"A{sign}B; C, D|E"


def test_a_zone_or_a_currency_that_nobody_knows_any_more_does_not_stop_it() -> None:
    one = closing(time_zone="Nowhere/Atall", currency="XXX", sales={"count": 1, "total_minor": 7})
    (row,) = read(Listed(one, None, needs_review=False))
    assert (row["Closed"], row["Sales"], row["Cash over or short now"]) == ("2026-11-21T05:30:15.000000Z", "7", "")


def test_a_file_that_is_cut_off_says_so_in_a_whole_line() -> None:
    assert next(csv.reader([sheet.last_word("More.").decode()])) == ["More.", *[""] * 23]
