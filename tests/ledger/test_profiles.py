"""Master data: a file of profiles is imported whole or not at all, and says which line is wrong."""

import json
from pathlib import Path

import pytest

from services.sessions.ledger.profiles import BadRow, read_profiles
from tests.ledger.ledger import Ledger
from tests.ledger.week import a_week
from tests.support.profiles import setting
from tests.support.till import CASH, DOLLARS

HEADER = "store_id,profile_id,name,currency"
TENDERS = '"' + json.dumps([CASH, DOLLARS]).replace('"', '""') + '"'


def file(folder: Path, *lines: str, encoding: str = "utf-8") -> Path:
    path = folder / "profiles.csv"
    path.write_bytes("\n".join(lines).encode(encoding))
    return path


def test_what_is_left_out_has_its_default(tmp_path: Path) -> None:
    (profile,) = read_profiles(file(tmp_path, HEADER, "s,p,Caja 1,MXN"))
    assert profile == {
        "store_id": "s",
        "profile_id": "p",
        "name": "Caja 1",
        "currency": "MXN",
        "tenders": "[]",
        "over_short_limit_minor": None,
        "blind": False,
        "idle_close_after_s": None,
        "late_window_s": 604_800,
        "allow_negative_drawer": True,
        "business_day_starts_at": "00:00",
        "own_provider": "STORE",
        "enabled": True,
        "store_name": "s",
        "company_id": None,
        "time_zone": None,
    }


def test_columns_stand_in_any_order_after_a_byte_order_mark(tmp_path: Path) -> None:
    (profile,) = read_profiles(
        file(
            tmp_path,
            "tenders,currency,name,profile_id,store_id,blind",
            f"{TENDERS},MXN,Ñ,p,s,true",
            encoding="utf-8-sig",
        )
    )
    assert (profile["name"], profile["blind"], json.loads(profile["tenders"])) == ("Ñ", True, [CASH, DOLLARS])


BAD: dict[str, tuple[str, str, str]] = {
    "an unknown currency": ("", "s,q,n,XYZ", "line 3: ISO 4217 lists no currency 'XYZ'"),
    "a store that is no id": ("", "s s,q,n,MXN", "line 3: store_id is 1 to 64"),
    "no name": ("", "s,q,,MXN", "line 3: name is 1 to 128"),
    "too few fields": ("", "s,q,n", "line 3: fewer fields"),
    "too many fields": ("", "s,q,n,MXN,1", "line 3: more fields"),
    "the same profile again": ("", "s,p,n,MXN", "line 3: profile p of store s stands on line 2"),
    "a limit below 0": ("over_short_limit_minor", "s,q,n,MXN,-1", "over_short_limit_minor is a whole number"),
    "a limit with a fraction": ("over_short_limit_minor", "s,q,n,MXN,1.5", "over_short_limit_minor is a whole number"),
    "a boolean in words": ("blind", "s,q,n,MXN,yes", "blind is true or false"),
    "an hour that is not there": ("business_day_starts_at", "s,q,n,MXN,24:00", "business_day_starts_at is HH:MM"),
    "an idle time of 0": ("idle_close_after_s", "s,q,n,MXN,0", "idle_close_after_s is a whole number from 1"),
    "a zone that nobody has": ("time_zone", "s,q,n,MXN,Europe/Lisboa", "time_zone 'Europe/Lisboa' is no name"),
    "a zone in small letters": ("time_zone", "s,q,n,MXN,europe/lisbon", "time_zone 'europe/lisbon' is no name"),
    "a zone that is no place": ("time_zone", "s,q,n,MXN,Factory", "time_zone 'Factory' is no name"),
    "a zone by its leap seconds": ("time_zone", "s,q,n,MXN,right/Europe/Lisbon", "is no name of the tz database"),
    "a zone by its file": ("time_zone", "s,q,n,MXN,../../etc/localtime", "is no name of the tz database"),
    "tenders that are no JSON": ("tenders", "s,q,n,MXN,x", "tenders is not JSON"),
    "tenders as deep as a parser goes": ("tenders", f"s,q,n,MXN,{'[' * 5_000}", "tenders is nested too deeply"),
    "tenders that are no list": ("tenders", "s,q,n,MXN,{}", "tenders: "),
    "a tender twice": ("tenders", f"s,q,n,MXN,{TENDERS.replace('usd', 'cash')}", "stands twice"),
    "own money at a rate": ("tenders", f"s,q,n,USD,{TENDERS}", "its exchange_rate is 1"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_row_is_named_by_its_line(tmp_path: Path, case: str) -> None:
    column, bad, sentence = BAD[case]
    header = f"{HEADER},{column}".removesuffix(",")
    good = "s,p,n,MXN" + ("," if column else "")
    with pytest.raises(BadRow) as refused:
        read_profiles(file(tmp_path, header, good, bad))
    assert refused.value.line == 3
    assert sentence in str(refused.value)


def test_a_blind_till_may_go_below_0_or_its_refusal_would_tell_the_figure(tmp_path: Path) -> None:
    header = f"{HEADER},blind,allow_negative_drawer"
    with pytest.raises(BadRow, match="line 2: a blind profile must allow a negative drawer"):
        read_profiles(file(tmp_path, header, "s,p,n,MXN,true,false"))
    assert len(read_profiles(file(tmp_path, header, "s,p,n,MXN,true,", "s,q,n,MXN,,false"))) == 2


@pytest.mark.parametrize(
    ("header", "sentence"),
    [
        ("store_id,profile_id,name", "line 1: the header is without currency"),
        (f"{HEADER},colour", "line 1: the header is with unknown colour"),
        (f"{HEADER},name", "line 1: the header names a column twice"),
        ("", "line 1: the header is without"),
    ],
)
def test_a_header_that_is_wrong_is_line_1(tmp_path: Path, header: str, sentence: str) -> None:
    with pytest.raises(BadRow, match=sentence):
        read_profiles(file(tmp_path, header, "s,p,n,MXN"))


def test_a_file_that_is_not_utf_8_says_so(tmp_path: Path) -> None:
    with pytest.raises(BadRow, match="not UTF-8"):
        read_profiles(file(tmp_path, HEADER, "s,p,Ñ,MXN", encoding="latin-1"))


def test_a_quoted_line_break_counts_as_a_line(tmp_path: Path) -> None:
    two_lines = "s,p,n,MXN," + TENDERS.replace("}, {", "},\n{")
    with pytest.raises(BadRow) as refused:
        read_profiles(file(tmp_path, f"{HEADER},tenders", two_lines, "s,q,n,XYZ,"))
    assert refused.value.line == 4


async def test_a_bad_row_is_malformed_and_changes_nothing(ledger: Ledger, tmp_path: Path) -> None:
    rows = read_profiles(file(tmp_path, HEADER, "s,p,changed,MXN"))
    rows[0]["over_short_limit_minor"] = -1
    (outcome,) = (await ledger.apply(setting(rows[0]))).outcomes
    assert outcome.reason == "malformed"
    stored = await ledger.sql("SELECT profile_id, name, version FROM profiles")
    assert [tuple(row) for row in stored] == [("p", "Caja 1", 1)]


async def test_a_profile_that_is_replaced_keeps_its_till(ledger: Ledger, tmp_path: Path) -> None:
    await ledger.apply(*a_week())
    counters = "SELECT open_session_id, sessions_opened, z_number, last_hash, fence FROM tills WHERE profile_id = 'p'"
    before = await ledger.sql(counters)
    await ledger.import_profiles(*read_profiles(file(tmp_path, HEADER, "s,p,Renamed,MXN", "s,q,New,MXN")))
    assert await ledger.sql(counters) == before
    assert [row.name for row in await ledger.sql("SELECT name FROM profiles ORDER BY profile_id")] == ["Renamed", "New"]
    opened = a_week()[0] | {"profile_id": "q", "opening": []}
    opened |= {
        "command_id": "0195e3a0-9999-7000-8000-000000000001",
        "session_id": "0195e3a0-9999-7000-8000-000000000002",
    }
    assert (await ledger.apply(opened)).outcomes[0].kind == "session_opened"


async def test_an_import_of_nothing_is_fine(ledger: Ledger, tmp_path: Path) -> None:
    await ledger.import_profiles(*read_profiles(file(tmp_path, HEADER)))
    assert len(await ledger.sql("SELECT * FROM profiles")) == 1
