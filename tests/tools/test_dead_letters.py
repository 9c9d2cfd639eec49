"""Dead letters: seen, shown safely, and the readable ones brought back and answered for good."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import orjson
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from contracts.topics import key_of
from services.platform.auth.claims import Claims, Flaw
from services.platform.auth.tokens import COMMANDS_AUDIENCE, bearer, ensure_key, open_verifier
from services.platform.kafka.read_topic import records
from services.platform.settings import Settings
from services.sessions.ledger.frontier import know_partition
from services.sessions.rules.model import Received
from services.sessions.tools import dead_letters
from services.sessions.tools.dead_letters import bring_all_back
from services.sessions.worker.apply import Batch, apply
from services.sessions.worker.consumer import no_fault_point
from services.sessions.worker.publications import Publication
from services.sessions.worker.publisher import Publisher
from services.sessions.worker.read_record import Headers, read
from tests.support.command_line import Cli
from tests.support.commands import Body
from tests.support.golden_cases import load
from tests.support.played_cases import Play
from tests.support.profiles import BEFORE_MS
from tests.support.till import Raw


@pytest.fixture
async def put_aside(corner: Settings, ledger: AsyncEngine, play: Play, tmp_path: Path) -> Received:
    """One command that was parked, and the unreadable records of a golden case."""
    ensure_key(corner)
    await play("malformed-and-unreadable", 19)
    await play("quiet-day", 1)
    sale = load("quiet-day", tmp_path).reads()[1]
    assert isinstance(sale, Received)
    headers = (("traceparent", b"00-1"), ("authorization", b"Bearer secret"))
    sale = replace(sale, raw=replace(sale.raw, headers=headers))
    applied = await apply(
        ledger, corner.topics, Batch("quiet-day", [(0, 1, sale)], {}, park="It keeps failing."), no_fault_point
    )
    publisher = Publisher(corner)
    await publisher.publish(applied.publications)
    await publisher.stop()
    return sale


async def test_the_list_names_what_can_be_read_and_what_cannot(put_aside: Received, till: Cli) -> None:
    result = await till("dead-letters", "list")

    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert len(lines) == 8
    assert sum("unreadable" in line for line in lines) == 7
    (parked,) = (line for line in lines if put_aside.command_id in line)
    assert parked.endswith("It keeps failing.")


async def test_the_list_moves_nobodys_cursor(
    corner: Settings, ledger: AsyncEngine, put_aside: Received, till: Cli
) -> None:
    publisher = Publisher(corner)
    batch = Batch("quiet-day", [(0, 2, replace(put_aside, offset=2))], {}, park="It clears\x1b[2J\nthe screen.")
    await publisher.publish((await apply(ledger, corner.topics, batch, no_fault_point)).publications)
    await publisher.stop()

    result = await till("dead-letters", "list")

    assert len(result.stdout.splitlines()) == 9
    assert sum(line.endswith("It clears\\x1b[2J\\nthe screen.") for line in result.stdout.splitlines()) == 1


async def test_a_letter_is_shown_without_credentials_and_saved_byte_for_byte(
    put_aside: Received, till: Cli, tmp_path: Path
) -> None:
    listed = (await till("dead-letters", "list")).stdout.splitlines()
    position = next(line.split()[0] for line in listed if put_aside.command_id in line)

    shown = await till("dead-letters", "show", position)
    saved = await till("dead-letters", "show", position, "--out", str(tmp_path / "record"))

    assert (shown.exit_code, saved.exit_code) == (0, 0), shown.output
    assert "traceparent: 00-1" in shown.output
    assert "secret" not in shown.output
    assert (tmp_path / "record").read_bytes() == put_aside.raw.value


async def test_a_parked_command_comes_back_and_is_answered_for_good(
    corner: Settings, ledger: AsyncEngine, put_aside: Received, till: Cli
) -> None:
    result = await till("dead-letters", "retry", "--all")

    assert result.exit_code == 0, result.output
    (again,) = [r async for r in records(corner, corner.topics.commands, {}, lambda _done, _total: None)]
    assert (again.key, again.value) == (key_of(put_aside.store_id, put_aside.profile_id), put_aside.raw.value)
    assert [name for name, _ in again.headers] == ["traceparent", "authorization"]
    assert await answers_again(corner, ledger) == {put_aside.command_id: "order_recorded"}


async def test_settings_that_were_parked_come_back_as_their_own_actors(
    corner: Settings, ledger: AsyncEngine, till: Cli
) -> None:
    """No key sets a till: under the name of one they would be refused for ever."""
    ensure_key(corner)
    by_hand, imported, bad = setting("p1", "mona"), setting("p2", "till-cli"), setting("p3", "mona", currency="XXX")
    await park(corner, ledger, [by_hand, imported, bad])

    result = await till("dead-letters", "retry", "--all")

    assert result.exit_code == 0, result.output
    assert await answers_again(corner, ledger) == {
        by_hand["command_id"]: "profile_set",
        imported["command_id"]: "profile_set",
        bad["command_id"]: "malformed",
    }


def setting(profile: str, actor: str, currency: str = "MXN") -> Body:
    """A command that sets a till."""
    return {
        "kind": "set_profile",
        "command_id": str(uuid4()),
        "store_id": "s1",
        "profile_id": profile,
        "occurred_at": "2026-03-02T07:00:00Z",
        "actor": {"id": actor},
        "profile": {"name": "Bar", "currency": currency},
    }


async def park(corner: Settings, ledger: AsyncEngine, bodies: Sequence[Body]) -> None:
    """Let the service give up on these commands of an admin."""
    async with ledger.begin() as tx:
        await know_partition(tx, "first", 0, 0)
    publisher = Publisher(corner)
    for offset, body in enumerate(bodies):
        taken = read(Raw("first", 0, offset, BEFORE_MS, None, orjson.dumps(body)), None)
        batch = Batch("first", [(0, offset, taken)], {}, park="It keeps failing.")
        await publisher.publish((await apply(ledger, corner.topics, batch, no_fault_point)).publications)
    await publisher.stop()


async def answers_again(corner: Settings, ledger: AsyncEngine) -> dict[str, str]:
    """What all that lies on the commands topic now is answered: kinds, or reasons, by command."""
    verifier = open_verifier(corner)

    def verify(headers: Headers, at_ms: int, _store_id: str) -> Claims | Flaw:
        return verifier.judge(bearer(headers) or b"", at_ms / 1_000, COMMANDS_AUDIENCE)

    answers: dict[str, str] = {}
    async for again in records(corner, corner.topics.commands, {}, lambda _done, _total: None):
        async with ledger.begin() as tx:
            await know_partition(tx, "again", again.partition, again.offset)
        batch = Batch("again", [(again.partition, again.offset, read(again, verify))], {})
        applied = await apply(ledger, corner.topics, batch, no_fault_point)
        answer = json.loads(applied.publications[-1].value or b"")
        answers[answer["command_id"]] = answer.get("reason", answer["kind"])
    return answers


@pytest.mark.parametrize("bound", ["PORTION_LETTERS_MAX", "PORTION_BYTES_MAX"])
async def test_all_letters_are_brought_back_a_portion_at_a_time(
    corner: Settings, ledger: AsyncEngine, put_aside: Received, monkeypatch: pytest.MonkeyPatch, bound: str
) -> None:
    publisher = Publisher(corner)
    for offset in (2, 3):
        batch = Batch("quiet-day", [(0, offset, replace(put_aside, offset=offset))], {}, park="It keeps failing.")
        await publisher.publish((await apply(ledger, corner.topics, batch, no_fault_point)).publications)
    await publisher.stop()
    monkeypatch.setattr(
        dead_letters, bound, 2 if bound == "PORTION_LETTERS_MAX" else len(put_aside.raw.value or b"") + 1
    )
    portions, why = list[int](), list[str]()

    async def publish(publications: Sequence[Publication]) -> None:
        portions.append(len(publications))

    count = await bring_all_back(corner, lambda _done, _total: None, publish, why.append)

    assert (count, portions, why) == (sum(portions), [2, 1], [])


async def test_what_cannot_be_read_or_is_not_there_is_refused_with_a_sentence(put_aside: Received, till: Cli) -> None:
    listed = (await till("dead-letters", "list")).stdout.splitlines()
    unreadable = next(line.split()[0] for line in listed if "unreadable" in line)

    results = [
        await till("dead-letters", "retry", unreadable),
        await till("dead-letters", "retry", "2/999"),
        await till("dead-letters", "retry"),
        await till("dead-letters", "show", "nowhere"),
    ]

    assert [result.exit_code for result in results] == [2, 2, 2, 2]
    assert "would be put aside again" in results[0].output
    assert "There is no dead letter 2/999" in results[1].output


async def test_a_command_without_the_right_is_refused_and_never_parked(
    corner: Settings, ledger: AsyncEngine, put_aside: Received
) -> None:
    """A retry speaks for whoever was put aside; so nobody may be put aside who had nothing to say."""
    other = replace(put_aside, offset=2, refused_right="forbidden")
    batch = Batch("quiet-day", [(0, 2, other)], {}, park="It keeps failing.")

    (answer,) = (await apply(ledger, corner.topics, batch, no_fault_point)).publications

    assert json.loads(answer.value or b"")["reason"] == "forbidden"
