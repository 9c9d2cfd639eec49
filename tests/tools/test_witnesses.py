"""What shows malice: the closings topic and noted heads find what a recomputed ledger hides."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from contracts.topics import topics
from services.platform.settings import Settings
from services.sessions.ledger.frontier import know_partition
from services.sessions.rules.model import Received
from services.sessions.tools.external_proofs import read_anchor
from services.sessions.worker.apply import Batch, apply
from services.sessions.worker.consumer import no_fault_point
from services.sessions.worker.publications import Publication
from services.sessions.worker.publisher import Publisher
from services.sessions.worker.read_record import read
from tests.support import processes
from tests.support.command_line import Cli
from tests.support.corner import BY_FORCE
from tests.support.golden_cases import load
from tests.support.played_cases import Play

CHANGE = """
    CREATE FUNCTION change(bytes bytea, old text, new text) RETURNS bytea LANGUAGE sql IMMUTABLE
    RETURN convert_to(replace(convert_from(bytes, 'UTF8'), old, new), 'UTF8')
"""
EMPTY = (
    """
    UPDATE tills SET open_session_id = NULL, sessions_opened = 0, z_number = 0,
           last_hash = decode(repeat('00', 32), 'hex')
    """,
    # How the tills were set up stays.
    "DELETE FROM journal WHERE kind <> 'profile_set'",
    *(f"DELETE FROM {table}" for table in ("corrections", "closings", "voids", "sessions", "consumed")),  # noqa: S608 - constants
)


async def sql(ledger: AsyncEngine, *statements: str) -> None:
    async with ledger.begin() as tx:
        for statement in (BY_FORCE, *statements):
            await tx.exec_driver_sql(statement)


async def forged(ledger: AsyncEngine, name: str, scratch: Path, old: str, new: str) -> None:
    """Whoever holds the database writes its history anew, every hash in it recomputed; nothing of it is published."""
    await sql(ledger, *EMPTY)
    async with ledger.begin() as tx:
        await know_partition(tx, name, 0, 0)
    taken = []
    for one in load(name, scratch).reads():
        assert isinstance(one, Received)
        value = json.dumps(json.loads(one.text)).replace(old, new).encode()
        taken.append((0, one.offset, read(dataclasses.replace(one.raw, value=value), None)))
    await apply(ledger, topics(), Batch(name, taken, {}), no_fault_point)


async def test_what_is_right_is_found_right_by_every_witness(play: Play, till: Cli, tmp_path: Path) -> None:
    anchor = tmp_path / "heads"
    for name in ("late-news", "approval", "voided-session", "words"):
        await play(name)

    noted = await till("verify", "--write-anchor", str(anchor))
    result = await till("verify", "--against-topic", "--anchor", str(anchor))

    assert (noted.exit_code, result.exit_code) == (0, 0), noted.output + result.output
    assert "As noted in" in result.output
    assert "13 closings and corrections" in result.output
    assert [line.split()[:2] for line in anchor.read_text().splitlines()] == [
        ["approval/till-1", "2"],
        ["late-news/till-1", "1"],
        ["voided-session/till-1", "2"],
        ["words/till-1", "1"],
    ]


DAMAGE = {
    "an altered amount": """UPDATE journal SET command = change(command, '"amount_minor":400', '"amount_minor":300')""",
    "a deleted movement": "DELETE FROM journal WHERE kind = 'cash_moved' AND sequence = 2",
    "two commands that changed places": """
        UPDATE journal SET sequence = CASE sequence WHEN 2 THEN 1003 ELSE 1002 END WHERE sequence IN (2, 3)
    """,
    "a removed closing": "DELETE FROM corrections; DELETE FROM closings",
    "a correction whose reason changed": """
        UPDATE corrections SET body = change(body, '"never paid"', '"was paid"') WHERE correction_number = 3
    """,
    "a correction that asks for no review any more": """
        UPDATE corrections SET body = change(body, '"needs_review":true', '"needs_review":false')
         WHERE correction_number = 3
    """,
}


@pytest.mark.parametrize("damage", DAMAGE)
async def test_accident_is_found_by_the_ledger_itself(ledger: AsyncEngine, play: Play, till: Cli, damage: str) -> None:
    await play("late-news")
    right = await till("rebuild")
    await sql(ledger, CHANGE, *DAMAGE[damage].split(";"))

    verified, rebuilt = await till("verify"), await till("rebuild")

    assert right.exit_code == 0, right.output
    assert "1 closings and 5 corrections" in right.output
    assert (verified.exit_code, rebuilt.exit_code) == (1, 1), verified.output + rebuilt.output
    assert verified.output.startswith("first bad: ")


async def test_a_forged_closing_with_a_recomputed_chain_is_found_by_topic_and_anchor(
    ledger: AsyncEngine, play: Play, till: Cli, tmp_path: Path
) -> None:
    anchor = tmp_path / "heads"
    await play("over-and-short")
    await till("verify", "--write-anchor", str(anchor))
    await forged(ledger, "over-and-short", tmp_path, '"amount_minor": 6200', '"amount_minor": 5700')

    alone = await till("verify", "--no-topic")
    by_topic = await till("verify", "--against-topic")
    by_anchor = await till("verify", "--anchor", str(anchor))

    assert alone.exit_code == 0, alone.output
    assert (by_topic.exit_code, by_anchor.exit_code) == (1, 1)
    assert "other bytes than the topic" in by_topic.output
    assert "its hash was noted as" in by_anchor.output


async def test_a_last_closing_that_was_cut_off_is_found_by_topic_and_anchor(
    ledger: AsyncEngine, play: Play, till: Cli, tmp_path: Path
) -> None:
    anchor = tmp_path / "heads"
    await play("closed-twice")
    await till("verify", "--write-anchor", str(anchor))
    await sql(ledger, *EMPTY)

    alone = await till("verify", "--no-topic")
    by_topic = await till("verify")
    by_anchor = await till("verify", "--anchor", str(anchor))

    assert alone.exit_code == 0, alone.output
    assert (by_topic.exit_code, by_anchor.exit_code) == (1, 1)
    assert "but not in the ledger" in by_topic.output
    assert "it was noted, but is not in the ledger" in by_anchor.output


async def test_what_never_came_onto_the_topic_is_found(
    ledger: AsyncEngine, play: Play, till: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.sessions.tools.external_proofs.UNPUBLISHED_WAIT_S", 0.0)
    await play("over-and-short", 1)
    await forged(ledger, "over-and-short", tmp_path, "nothing", "nothing")

    result = await till("verify", "--against-topic")

    assert result.exit_code == 1
    assert "it is in the ledger, but not on the topic" in result.output


async def test_a_topic_that_says_two_things_is_found(
    corner: Settings, ledger: AsyncEngine, play: Play, till: Cli, tmp_path: Path
) -> None:
    await play("over-and-short")
    value: dict[str, Any] = load("over-and-short", tmp_path).content["closings"][0]
    other = json.dumps(value | {"closing_note": "another"}).encode()
    publisher = Publisher(corner)
    await publisher.publish([Publication(corner.topics.closings, b"over-and-short/till-1", other, [])])
    await publisher.stop()

    assert "twice with different bytes" in (await till("verify", "--against-topic")).output


async def test_a_file_that_notes_no_heads_is_refused(till: Cli, ledger: AsyncEngine, tmp_path: Path) -> None:
    (tmp_path / "heads").write_text("parrot/caja-1 17\n")

    result = await till("verify", "--anchor", str(tmp_path / "heads"))

    assert result.exit_code == 2
    assert "line 1: a noted head is" in result.output


async def test_a_topic_that_cannot_be_reached_is_said_and_the_rest_is_proved(corner: Settings, play: Play) -> None:
    await play("over-and-short")
    nowhere = corner.model_copy(update={"kafka": "127.0.0.1:1"})
    left_out, asked_for, alone = [
        await processes.till(nowhere, "verify", *words) for words in ([], ["--against-topic"], ["--no-topic"])
    ]
    assert (left_out.returncode, asked_for.returncode, alone.returncode) == (0, 2, 0)
    assert "Not compared with" in left_out.stderr
    assert "All is right" in left_out.stdout
    assert "Not compared with" not in alone.stderr


def test_a_file_that_holds_no_heads_is_refused_by_its_line(tmp_path: Path) -> None:
    file = tmp_path / "heads"
    file.write_bytes(b"s/p 1 " + b"0" * 64 + b"\n\xff\n")
    with pytest.raises(ValueError, match="line 2: a noted head is `store/profile z hash`"):
        read_anchor(file)
