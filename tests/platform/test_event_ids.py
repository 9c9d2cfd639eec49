"""The id of an event: how far its stream has come, whatever the number of partitions."""

import pytest
from fastapi import HTTPException

from services.platform.http.event_stream import read_id, write_id
from services.platform.settings import Settings


def test_the_id_of_a_stream_of_as_many_partitions_as_a_topic_may_have_is_read_again() -> None:
    many = Settings(topic_partitions=1_000).topic_partitions
    at = {("till.closings.v1", number): 10**12 - 1 for number in range(many)}
    assert read_id(write_id(at).decode()) == at
    with pytest.raises(HTTPException) as refused:
        read_id(write_id(at | {("another", number): 10**12 for number in range(many)}).decode())
    assert refused.value.status_code == 400
