"""WIRE.md section 1: names, settings, keys and headers of the five topics."""

from contracts.topics import TOPIC_CONFIGS, cloud_event_headers, key_of, partitions_of, topics

DAY_MS = 86_400_000


def test_topics_are_named_under_their_prefix() -> None:
    assert tuple(vars_of("till.")) == (
        "till.commands.v1",
        "till.events.v1",
        "till.closings.v1",
        "till.dead-letters.v1",
        "till.access.v1",
    )
    assert vars_of("north.")[0] == "north.commands.v1"


def vars_of(prefix: str) -> list[str]:
    own = topics(prefix)
    return [own.commands, own.events, own.closings, own.dead_letters, own.access]


def test_topics_are_kept_as_long_as_the_wire_says() -> None:
    retentions = {name: config["retention.ms"] for name, config in TOPIC_CONFIGS.items()}

    assert retentions == {
        "commands.v1": str(7 * DAY_MS),
        "events.v1": str(7 * DAY_MS),
        "closings.v1": "-1",
        "dead-letters.v1": str(30 * DAY_MS),
        "access.v1": "-1",
    }
    for config in TOPIC_CONFIGS.values():
        assert config["cleanup.policy"] == "delete"
        assert config["message.timestamp.type"] == "LogAppendTime"
    assert TOPIC_CONFIGS["commands.v1"]["segment.ms"] == "3600000"


def test_topics_take_records_of_the_size_that_the_wire_says() -> None:
    sizes = {name: config["max.message.bytes"] for name, config in TOPIC_CONFIGS.items()}

    assert sizes == dict.fromkeys(sizes, "1048588") | {"dead-letters.v1": "2097152", "access.v1": "16384"}
    assert TOPIC_CONFIGS["commands.v1"]["compression.type"] == "uncompressed"


def test_who_is_revoked_is_told_in_one_order() -> None:
    assert {name: partitions_of(name, 12) for name in TOPIC_CONFIGS} == dict.fromkeys(TOPIC_CONFIGS, 12) | {
        "access.v1": 1
    }


def test_a_key_is_store_and_profile_in_utf8() -> None:
    assert key_of("s:1", "p.2") == b"s:1/p.2"


def test_headers_are_cloud_events_in_binary_mode() -> None:
    headers = cloud_event_headers("an-id", "closing", "2025-01-01T15:46:52.000000Z")

    assert headers == [
        ("ce_specversion", b"1.0"),
        ("ce_id", b"an-id"),
        ("ce_type", b"till.closing.v1"),
        ("ce_source", b"/till/sessions"),
        ("ce_time", b"2025-01-01T15:46:52.000000Z"),
        ("content-type", b"application/json"),
    ]
