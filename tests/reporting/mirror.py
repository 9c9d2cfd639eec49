"""MirrorMaker 2 itself, from the jars of the broker's version that `mirror-jars.txt` pins."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import pytest

from deploy.embedded import jars
from deploy.embedded.kafka import LOGGING, find_java
from deploy.embedded.trouble import StackError

PINS: Final = Path(__file__).with_name("mirror-jars.txt")
SETTINGS: Final = """
clusters = {source}, here
{source}.bootstrap.servers = {kafka}
here.bootstrap.servers = {kafka}
{source}->here.enabled = true
{source}->here.topics = {topic}
{source}->here.emit.heartbeats.enabled = false
{source}->here.emit.checkpoints.enabled = false
here->{source}.enabled = false
here->{source}.emit.heartbeats.enabled = false
sync.topic.acls.enabled = false
refresh.topics.interval.seconds = 5
replication.factor = 1
offset-syncs.topic.replication.factor = 1
config.storage.replication.factor = 1
offset.storage.replication.factor = 1
status.storage.replication.factor = 1
"""
"""From one broker to itself: it is another cluster by its name."""


@asynccontextmanager
async def mirror_maker(kafka: str, topic: str, source: str, folder: Path) -> AsyncIterator[None]:
    """MirrorMaker 2 for as long as the block lasts: what is on the topic comes to `<source>.<topic>`.

    Its log is in the folder. The test is skipped where the jars can't be had.
    """
    try:
        classes = await asyncio.to_thread(jars.class_path, lambda *_: None, PINS)
    except StackError as error:
        pytest.skip(f"Needs MirrorMaker's jars: {error}")
    (folder / "mirror.properties").write_text(SETTINGS.format(kafka=kafka, topic=topic, source=source))
    (folder / "log4j2.properties").write_text(LOGGING)
    argv = [
        find_java(),
        "-Xmx256m",
        "-XX:TieredStopAtLevel=1",
        f"-Dlog4j2.configurationFile={folder}/log4j2.properties",
    ]
    with (folder / "mirror.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *argv,
            *("-cp", classes, "org.apache.kafka.connect.mirror.MirrorMaker", str(folder / "mirror.properties")),
            stdout=log,
            stderr=log,
            stdin=asyncio.subprocess.DEVNULL,
        )
        try:
            yield
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()
