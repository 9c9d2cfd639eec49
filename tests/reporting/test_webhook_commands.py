"""`till webhooks`: what is pushed where, secrets that are shown once, and sentences for what can't be."""

import json
import re
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from sqlalchemy.ext.asyncio import AsyncEngine
from standardwebhooks import Webhook

import contracts
from services.cli import webhooks
from services.platform.http.event_stream import write_id
from services.platform.settings import Settings
from services.reporting.webhooks.messages import TYPES
from tests.reporting.closing_messages import closing, voided
from tests.reporting.hooks import Got, learn, receiving, reply, sending
from tests.support.command_line import Cli, command_line
from tests.support.waiting import eventually

SCHEMA = Draft202012Validator(json.loads((Path(contracts.__file__).parent / "webhook.json").read_bytes()))
SECRET = re.compile(r"whsec_[A-Za-z0-9+/]{43}=")


@pytest.fixture
def cli(reporting: Settings, monkeypatch: pytest.MonkeyPatch) -> Cli:
    monkeypatch.setenv("TILL_WEBHOOKS_PRIVATE_NETWORKS", "127.0.0.0/8")
    return command_line(reporting, monkeypatch)


def test_the_command_knows_the_words_of_the_service() -> None:
    assert webhooks.TYPES.split(",") == list(TYPES)


async def test_from_add_to_remove(engine: AsyncEngine, cli: Cli) -> None:
    await learn(engine, [closing(1)])
    async with receiving() as receiver, sending(engine):
        added = await cli("webhooks", "add", "--store", "s1", "--url", receiver.url)
        assert added.exit_code == 0, added.stderr
        webhook, secret = added.stdout.strip().split("\t")
        assert SECRET.fullmatch(secret)
        receiver.secrets.append(secret)
        # From now on: the first one was published before.
        await learn(engine, [closing(2), voided(closing(2))])
        await receiver.until_taken(2)

        await until_listed(cli, 5, "0")
        shown = (await cli("webhooks", "list")).stdout.strip("\n").split("\t")
        url = receiver.url.partition("?")[0]
        cursor = write_id({("t", 0): 3}).decode()
        assert shown == [webhook, "active", "s1", "closing,closing_correction", f"{url}…", "0", "1", cursor, ""]

        rotated = (await cli("webhooks", "rotate", webhook, "--overlap-h", "1")).stdout.strip()
        assert SECRET.fullmatch(rotated)
        assert rotated != secret
        receiver.secrets.append(rotated)
        cursor = write_id({("t", 0): 0}).decode()
        for start in ("beginning", cursor):
            before = len(receiver.taken)
            assert (await cli("webhooks", "replay", webhook, "--from", start)).exit_code == 0
            await eventually(lambda before=before: _more(receiver.taken, before + 3))  # type: ignore[misc]
            # Taken is not noted yet: what is replayed before would come once more.
            await until_listed(cli, 5, "0")
        tries = (await cli("webhooks", "deliveries", webhook)).stdout.splitlines()
        assert len(tries) == len(receiver.taken) == 8
        assert tries[0].split("\t")[3:7] == ["closing_correction", "s1", "p1", "204"]
        assert tries[0].endswith("\ttaken")
        assert (await cli("webhooks", "deliveries", webhook, "--failed")).stdout == ""

        assert "whsec_" not in (await cli("webhooks", "list")).stdout
        assert (await cli("webhooks", "remove", webhook)).exit_code == 0
        assert (await cli("webhooks", "list")).stdout == ""
    Webhook(rotated).verify(receiver.taken[-1].body, receiver.taken[-1].headers)


async def _more(taken: list[object], count: int) -> bool:
    return len(taken) >= count


async def test_a_receiver_moves_and_its_webhook_goes_on_where_it_stood(engine: AsyncEngine, cli: Cli) -> None:
    async def gone(_: Got) -> bytes | None:
        return reply(410)

    async with receiving(gone) as old, receiving() as new, sending(engine):
        added = await cli("webhooks", "add", "--store", "s1", "--url", old.url, "--from", "beginning")
        webhook, secret = added.stdout.strip().split("\t")
        old.secrets.append(secret)
        new.secrets.append(secret)
        assert (await cli("webhooks", "list")).stdout.split("\t")[7] == "beginning"
        await learn(engine, [closing(1), closing(2)])
        await until_listed(cli, 1, "paused")

        only = await cli("webhooks", "change", webhook, "--types", "closing_correction")
        assert (only.exit_code, only.stdout) == (0, f"The webhook {webhook} is changed.\n")
        # What was wrong with its address is wrong still.
        row = (await cli("webhooks", "list")).stdout.split("\t")
        assert (row[1], row[3], row[5]) == ("paused", "closing_correction", "2")
        assert (await cli("webhooks", "change", webhook, "--types", "closing", "--url", new.url)).exit_code == 0
        await new.until_taken(2)
        # What is wanted later is sent from the cursor on, and nothing before it.
        await until_listed(cli, 5, "0")
        assert (await cli("webhooks", "change", webhook, "--types", "closing_correction,closing")).exit_code == 0
        await learn(engine, [voided(closing(1))])
        await new.until_taken(3)
    assert len(old.got) == 1
    assert [one.message["type"] for one in new.taken] == ["closing", "closing", "closing_correction"]


async def test_a_receiver_is_tried_by_a_signed_message(engine: AsyncEngine, cli: Cli) -> None:
    async with receiving() as receiver:
        added = await cli("webhooks", "add", "--store", "s1", "--url", receiver.url)
        webhook, secret = added.stdout.strip().split("\t")
        receiver.secrets.append(secret)
        tried = await cli("webhooks", "test", webhook)
        message_id, status, _, became = tried.stdout.strip().split("\t")
        assert (tried.exit_code, status, became) == (0, "204", "taken")

        async def refuse(_: Got) -> bytes | None:
            return reply(401)

        receiver.answer = refuse
        refused = await cli("webhooks", "test", webhook)
        assert (refused.exit_code, refused.stdout.strip().split("\t")[3]) == (1, "It answered 401.")
    first, second = receiver.got
    assert (first.id, second.id != first.id) == (message_id, True)
    SCHEMA.validate(first.message)
    assert (first.message["type"], first.message["data"]["webhook_id"]) == ("test", webhook)
    assert (await cli("webhooks", "deliveries", webhook)).stdout == ""


async def until_listed(cli: Cli, column: int, words: str) -> None:
    """Wait until the one webhook has these words in a column of its row."""

    async def stands() -> bool:
        return (await cli("webhooks", "list")).stdout.split("\t")[column] == words

    await eventually(stands)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["add", "--store", "s1", "--url", "http://10.0.0.1/"], "10.0.0.1 is not on the public internet"),
        (["add", "--store", "s1", "--url", "ftp://x.example/"], "A URL begins with https://"),
        (["add", "--store", "s\n1", "--url", "https://x.example/"], "is no store"),
        (["add", "--store", "s1", "--url", "https://x.example/", "--types", "refund"], "choose of closing"),
        (["add", "--store", "s1", "--url", "https://x.example/", "--from", "yesterday"], "now, beginning, or a cursor"),
        (
            ["add", "--store", "s1", "--url", "https://x.example/", "--from", write_id({("other", 0): 1}).decode()],
            "a cursor of another topic",
        ),
        (["remove", "9d4a3b2c-0000-4000-8000-000000000001"], "There is no webhook"),
        (["rotate", "9d4a3b2c-0000-4000-8000-000000000001"], "There is no webhook"),
        (["resume", "9d4a3b2c-0000-4000-8000-000000000001"], "There is no webhook"),
        (["replay", "9d4a3b2c-0000-4000-8000-000000000001", "--from", "now"], "There is no webhook"),
        (["deliveries", "9d4a3b2c-0000-4000-8000-000000000001"], "There is no webhook"),
        (["change", "9d4a3b2c-0000-4000-8000-000000000001", "--types", "closing"], "There is no webhook"),
        (["change", "9d4a3b2c-0000-4000-8000-000000000001", "--types", "refund"], "choose of closing"),
        (["change", "9d4a3b2c-0000-4000-8000-000000000001", "--url", "ftp://x.example/"], "A URL begins with https://"),
        (["test", "9d4a3b2c-0000-4000-8000-000000000001"], "There is no webhook"),
        (["change", "9d4a3b2c-0000-4000-8000-000000000001"], "say what changes"),
        (["remove", "something"], "UUID, invalid character"),
    ],
    ids=lambda one: one if isinstance(one, str) else one[0],
)
async def test_what_can_not_be_is_a_sentence(cli: Cli, words: list[str], sentence: str) -> None:
    refused = await cli("webhooks", *words)
    assert refused.exit_code == 2
    assert sentence in " ".join(refused.stderr.replace("│", " ").split())


async def test_plain_http_takes_a_network_that_is_allowed(reporting: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = await command_line(reporting, monkeypatch)(
        "webhooks", "add", "--store", "*", "--url", "http://x.example/"
    )
    assert (refused.exit_code, "Without https" in refused.stderr) == (2, True)
