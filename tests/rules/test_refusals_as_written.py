"""A refusal is written without being validated, so here its bytes are held against the model of the contract."""

from typing import Any, get_args

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.commands import COMMANDS
from contracts.events import CommandParked, CommandRejected, Reason, event_id_of, write_answer, write_filled
from services.sessions.rules.answers import Refusal, parked, rejection
from tests.support.full_commands import UUID, body
from tests.support.till import MORNING_MS, received

ACTORS = [{"id": "a"}, {"id": "a", "name": None}, {"id": "Ñ" * 40, "x": 1}, {"id": "\n\0"}]
TEXTS = [
    "",
    "x",
    UUID.upper(),
    "2025-01-01T00:00:00-06:00",
    "2025-02-29T00:00:00Z",
    "open_session",
    "é\u2028\U0001f600",
]
ODD = st.sampled_from([None, 1, True, [], {}, 2**60, *ACTORS, *TEXTS])
MEMBERS = st.sampled_from(["kind", "session_id", "occurred_at", "actor", "register_seq", "note", "unknown\n", "reason"])


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(sorted(COMMANDS)), st.dictionaries(MEMBERS, ODD, max_size=4), st.sampled_from(get_args(Reason)))
def test_a_refusal_has_the_bytes_that_its_model_writes(kind: str, bent: dict[str, Any], reason: Reason) -> None:
    record = received(orjson.dumps({**body(kind), **bent}), 7, MORNING_MS)
    event_id = event_id_of(record.store_id, record.command_id)
    refused = Refusal("malformed", errors=record.errors) if record.errors else Refusal(reason)

    written = write_filled(rejection(record, refused, event_id))
    assert write_answer(CommandRejected.model_validate_json(written)) == written

    written = write_filled(parked(record, event_id))
    assert write_answer(CommandParked.model_validate_json(written)) == written


@pytest.mark.parametrize("opened", [None, UUID])
def test_the_open_session_is_named_only_where_there_is_one(opened: str | None) -> None:
    record = received(orjson.dumps(body("open_session")), 7, MORNING_MS)
    written = write_filled(rejection(record, Refusal("session_already_open", opened), UUID))

    assert write_answer(CommandRejected.model_validate_json(written)) == written
    assert (b"open_session_id" in written) is (opened is not None)
