"""A worker of Kafka Connect with the connectors of `deploy/connect`, from jars that are pinned beside this file."""

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import pytest

import contracts
from deploy.embedded import jars
from deploy.embedded.kafka import LOGGING, find_java
from deploy.embedded.trouble import StackError, free_port

HERE: Final = Path(__file__).parent
CONNECT: Final = HERE.parents[1] / "deploy" / "connect"
WORKER: Final = HERE / "mirror-jars.txt"
"""MirrorMaker runs on Connect's own runtime."""


@asynccontextmanager
async def connect_worker(
    sink: str, connectors: Sequence[str], surroundings: dict[str, str], folder: Path
) -> AsyncIterator[None]:
    """Connect with some of its connectors for as long as the block lasts.

    `sink` names the file of its jars; its log is in the folder. The test is skipped where they can't be had.
    """
    try:
        worker, plugin = await asyncio.to_thread(lambda: [_jars(pins) for pins in (WORKER, HERE / sink)])
    except StackError as error:
        pytest.skip(f"Needs Kafka Connect's jars: {error}")
    plugins = folder / "plugins" / Path(sink).stem
    if not plugins.exists():
        plugins.mkdir(parents=True)
        for jar in plugin:
            (plugins / jar.name).symlink_to(jar)
    (folder / "log4j2.properties").write_text(LOGGING)
    environment = os.environ | surroundings | {"CONNECT_LISTENER": f"http://127.0.0.1:{free_port(set())}"}
    environment["CLOSINGS_SCHEMA"] = (Path(contracts.__file__).parent / "connect.json").read_text()
    with (folder / "connect.log").open("ab") as file:
        process = await asyncio.create_subprocess_exec(
            *(find_java(), "-Xmx384m", "-XX:TieredStopAtLevel=1"),
            f"-Dlog4j2.configurationFile={folder}/log4j2.properties",
            *("-cp", os.pathsep.join(map(str, worker)), "org.apache.kafka.connect.cli.ConnectStandalone"),
            *(str(CONNECT / name) for name in ("worker.properties", *connectors)),
            env=environment,
            cwd=folder,
            stdout=file,
            stderr=file,
            stdin=asyncio.subprocess.DEVNULL,
        )
        try:
            yield
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()


def _jars(pins: Path) -> list[Path]:
    return [Path(jar) for jar in jars.class_path(lambda *_: None, pins).split(os.pathsep)]
