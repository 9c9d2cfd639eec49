"""Where a record lies."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Position:
    """A record's topic by its id (a topic that is made again under a name is another one), partition and offset."""

    topic_id: str
    partition: int
    offset: int
