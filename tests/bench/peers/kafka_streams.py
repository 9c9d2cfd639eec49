"""The peer: the same work in Kafka Streams with exactly-once, as its documentation has it written and tuned.

A processor with state stores (RocksDB, logged to changelog topics) in Java, in the folder `kafka_streams` beside this
file. It is given what helps: a JIT that has seen the work, memory, and less to do than the service (no journal, no
hashes, no closings, no validation of fields). What it can't do: it sees one partition at a time, so ids are known per
partition and not per store, and commands after a closing are refused, never taken as corrections.

A Java process is slow while its code is still being compiled: with this work until about its 40,000th command. So that
this counts for nothing, the clock must begin after the answers to as many commands on the same topic; where latency is
measured, after 10,000 at full speed: a few hundred leave it behind 100 commands a second on a busy machine.
"""

import asyncio
import hashlib
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aiokafka import AIOKafkaProducer

from deploy.embedded.kafka import find_java
from deploy.embedded.state import held
from deploy.embedded.trouble import StackError, cache_folder
from services.platform.settings import Settings
from tests.bench.peers import PeerMissing
from tests.bench.peers.topic import create_answers_topic
from tests.bench.traffic import connected

SOURCES: Final = Path(__file__).with_suffix("")
BUILD_LIMIT_S: Final = 300

# The parallel collector has the highest throughput where short pauses don't matter (HotSpot's tuning guide), and the
# other one would do part of its work on the cores that the broker needs. Young objects are nearly all that there is:
# the state lies in RocksDB, outside the heap.
JVM: Final = ("-Xms1g", "-Xmx1g", "-XX:+UseParallelGC", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn")


@dataclass(frozen=True, slots=True)
class KafkaStreams:
    """Kafka Streams with so many stream threads in its one process."""

    threads: int

    @property
    def NAME(self) -> str:  # noqa: N802 - as the modules of the other peers call it
        """Its name in tables, topics and files."""
        return f"kafka_streams_{self.threads}"

    def answers_topic(self, settings: Settings) -> str:
        """Where it answers."""
        return settings.topic_prefix + self.NAME

    async def prepare(self, settings: Settings, tills: list[tuple[str, str]]) -> None:
        """Build it where that is still to be done, make its topics, and tell it the tills. Raises PeerMissing."""
        await asyncio.to_thread(_build)
        await create_answers_topic(settings, self.answers_topic(settings))
        profiles = f"{self.answers_topic(settings)}.profiles"
        await create_answers_topic(settings, profiles)
        async with connected(AIOKafkaProducer(bootstrap_servers=settings.kafka)) as producer:
            waiting = [
                await producer.send(profiles, b"EUR", key=f"{store}/{profile}".encode()) for store, profile in tills
            ]
            await asyncio.gather(*waiting)

    def command_line(self, _settings: Settings) -> tuple[str, ...]:
        """How its process is started."""
        built = _folder()
        classes = f"{built / 'classes'}{os.pathsep}{(built / 'jars.txt').read_text()}"
        return (find_java(), *JVM, "-cp", classes, "tillstream.peer.Main", self.NAME, str(self.threads))


WAYS: Final = (KafkaStreams(threads=1), KafkaStreams(threads=2))


def _folder() -> Path:
    """Where these very sources are built, for every checkout on this machine."""
    digest = hashlib.sha256()
    for file in sorted(SOURCES.rglob("*")):
        if file.is_file():
            digest.update(file.relative_to(SOURCES).as_posix().encode() + b"\0" + file.read_bytes())
    return cache_folder() / f"kafka-streams-peer-{digest.hexdigest()[:16]}"


def _build() -> None:
    folder = _folder()
    folder.mkdir(parents=True, exist_ok=True)
    with held(folder / ".lock"):
        if _is_whole(folder / "jars.txt"):
            return
        maven = shutil.which("mvn")
        compiler = shutil.which("javac", path=os.environ.get("JAVA_HOME", "") + "/bin") or shutil.which("javac")
        if maven is None or compiler is None:
            raise PeerMissing("peer not available: Kafka Streams is built with Maven and a JDK 17 (mvn, javac).")
        try:
            find_java()
        except StackError as error:
            raise PeerMissing(f"peer not available: {error}") from error
        line = [maven, "-q", "-B", "-f", str(SOURCES / "pom.xml"), f"-Dbuilt={folder}", "process-classes"]
        built = subprocess.run(line, capture_output=True, text=True, check=False, timeout=BUILD_LIMIT_S)
        if built.returncode:
            lines = [line for line in built.stdout.splitlines() if "ERROR" in line]
            raise PeerMissing(f"peer not available: Kafka Streams could not be built. {' '.join(lines[:3])}")


def _is_whole(jars: Path) -> bool:
    """Whether it was built and what it was built with is still there: Maven's folder may have been emptied since."""
    return jars.exists() and all(Path(jar).exists() for jar in jars.read_text().strip().split(os.pathsep))
