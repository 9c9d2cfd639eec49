"""A worker of Kafka Connect with the connectors of `deploy/connect`, from jars that are pinned beside this file."""

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import pytest

from deploy.embedded import jars
from deploy.embedded.kafka import LOGGING, find_java
from deploy.embedded.trouble import StackError, free_port

HERE: Final = Path(__file__).parent
CONNECT: Final = HERE.parents[1] / "deploy" / "connect"
WORKER: Final = HERE / "mirror-jars.txt"
"""MirrorMaker runs on Connect's own runtime."""
SINKS: Final = (HERE / "jdbc-sink-jars.txt", HERE / "file-sink-jars.txt")


@asynccontextmanager
async def connect_worker(connectors: Sequence[Path], surroundings: dict[str, str], folder: Path) -> AsyncIterator[str]:
    """Connect with some connectors for as long as the block lasts: the address at which it says how they are.

    Its log is in the folder. The test is skipped where the jars can't be had.
    """
    try:
        worker, *plugins = await asyncio.to_thread(lambda: [_jars(pins) for pins in (WORKER, *SINKS)])
    except StackError as error:
        pytest.skip(f"Needs Kafka Connect's jars: {error}")
    for sink, plugin in zip(SINKS, plugins, strict=True):
        jars_of_sink = folder / "plugins" / sink.stem
        jars_of_sink.mkdir(parents=True, exist_ok=True)
        for jar in plugin:
            if not (jars_of_sink / jar.name).exists():
                (jars_of_sink / jar.name).symlink_to(jar)
    (folder / "log4j2.properties").write_text(LOGGING)
    listener = f"http://127.0.0.1:{free_port(set())}"
    environment = os.environ | surroundings | {"CONNECT_LISTENER": listener}
    with (folder / "connect.log").open("ab") as file:
        process = await asyncio.create_subprocess_exec(
            *(find_java(), "-Xmx384m", "-XX:TieredStopAtLevel=1"),
            f"-Dlog4j2.configurationFile={folder}/log4j2.properties",
            *("-cp", os.pathsep.join(map(str, worker)), "org.apache.kafka.connect.cli.ConnectStandalone"),
            *map(str, (CONNECT / "worker.properties", *connectors)),
            env=environment,
            cwd=folder,
            stdout=file,
            stderr=file,
            stdin=asyncio.subprocess.DEVNULL,
        )
        try:
            yield listener
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()


def _jars(pins: Path) -> list[Path]:
    return [Path(jar) for jar in jars.class_path(lambda *_: None, pins).split(os.pathsep)]
