"""What is sent is what the specification's own library takes, byte-true."""

import json
import time
from datetime import UTC, datetime

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from services.reporting.webhooks.messages import message_of
from services.reporting.webhooks.signing import new_secret, shown, signed_headers
from tests.reporting.closing_messages import closing, value, voided


def test_the_librarys_signature_is_ours() -> None:
    secret, body = new_secret(), '{"type":"closing","data":{"name":"Lucía"}}'
    at = datetime.fromtimestamp(int(time.time()), UTC)
    headers = dict(signed_headers("msg-1", int(at.timestamp()), body.encode(), [secret]))
    assert headers["webhook-signature"] == Webhook(shown(secret)).sign("msg-1", at, body)


def test_in_an_overlap_the_old_and_the_new_secret_are_right() -> None:
    old, new, body = new_secret(), new_secret(), b"{}"
    headers = dict(signed_headers("msg-1", int(time.time()), body, [new, old]))
    for secret in (old, new):
        Webhook(shown(secret)).verify(body, headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(shown(new_secret())).verify(body, headers)


def test_a_message_holds_the_record_as_it_was_published() -> None:
    first = closing(1, closing_note='ünï "x"\n')
    correction = voided(first)
    sent = [message_of(value(one)) for one in (first, correction)]

    assert [one.id for one in sent] == [first["closing_id"], correction["correction_id"]]
    assert [one.till for one in sent] == [("s1", "p1"), ("s1", "p1")]
    assert sent[0].body == b'{"type":"closing","timestamp":"2025-01-01T16:00:00.000000Z","data":%s}' % value(first)
    assert json.loads(sent[1].body) == {
        "type": "closing_correction",
        "timestamp": "2025-01-02T09:00:01.000000Z",
        "data": correction,
    }


def test_secrets_are_as_long_as_the_specification_asks() -> None:
    assert len(new_secret()) == 32
    assert new_secret() != new_secret()
    assert shown(b"\0" * 32) == "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
