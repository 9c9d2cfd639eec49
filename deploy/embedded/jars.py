"""The jars of Apache Kafka, downloaded once from Maven Central and checked against pinned hashes.

`kafka-jars.txt` names every jar and its SHA-256. `python -m deploy.embedded.jars` writes it anew
after a change of version here.
"""

import fcntl
import hashlib
import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from deploy.embedded.trouble import StackError, cache_folder

KAFKA_VERSION = "4.3.1"
# The distribution of Kafka adds a backend for its log calls; from Maven it comes without one,
# and a broker that cannot log cannot say why it stops.
ROOTS = (
    f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}",
    "org.apache.logging.log4j:log4j-slf4j-impl:2.25.4",
)
PINS = Path(__file__).with_name("kafka-jars.txt")
MAVEN_CENTRAL = "https://repo.maven.apache.org/maven2"
DOWNLOADS_AT_ONCE = 6
DOWNLOAD_TIMEOUT_S = 30

Progress = Callable[[str, float | None], None]


def class_path(progress: Progress, pinned: Path = PINS) -> str:
    """The class path of the broker, or of what another file pins; downloads what is missing, reports the share done.

    Raises StackError that names the jar when one cannot be fetched or has another hash.
    """
    folder = cache_folder() / f"kafka-{KAFKA_VERSION}"
    pins = read_pins(pinned)
    jars = {coordinate: folder / file_name(coordinate) for coordinate in pins}
    if not all(jar.exists() for jar in jars.values()):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with (folder / ".lock").open("w") as lock:
                # A second clone that starts at the same time waits here and then finds the jars.
                fcntl.flock(lock, fcntl.LOCK_EX)
                _fetch_all({c: jar for c, jar in jars.items() if not jar.exists()}, pins, progress)
        except OSError as error:
            raise StackError(
                f"The jars of Kafka cannot be kept in {folder} ({error.strerror or error}): "
                "name a writable folder in TILL_CACHE."
            ) from error
    return os.pathsep.join(str(jar) for jar in jars.values())


def read_pins(pinned: Path = PINS) -> dict[str, str]:
    """SHA-256 by Maven coordinate, in the order of the class path."""
    rows = (line.split() for line in pinned.read_text().splitlines() if not line.startswith("#"))
    return {coordinate: digest for digest, coordinate in rows}


def file_name(coordinate: str) -> str:
    """The name of the jar of a coordinate `group:artifact:version`."""
    _, artifact, version = coordinate.split(":")
    return f"{artifact}-{version}.jar"


def _fetch_all(missing: dict[str, Path], pins: dict[str, str], progress: Progress) -> None:
    with ThreadPoolExecutor(DOWNLOADS_AT_ONCE) as pool:
        waiting = [pool.submit(_fetch, c, jar, pins[c]) for c, jar in missing.items()]
        try:
            for done, future in enumerate(as_completed(waiting), start=1):
                future.result()
                progress(f"Downloading Kafka {KAFKA_VERSION}", done / len(waiting))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _fetch(coordinate: str, jar: Path, digest: str) -> None:
    """Put one jar at its place, whole and with the pinned hash, or raise StackError."""
    # The clients of HTTP in Python look at different variables; a company's own authority that is
    # named for one of them is meant for all.
    if "SSL_CERT_FILE" in os.environ:
        os.environ.setdefault("REQUESTS_CA_BUNDLE", os.environ["SSL_CERT_FILE"])
    from jgo.maven import MavenContext

    source = os.environ.get("TILL_MAVEN_URL", MAVEN_CENTRAL).rstrip("/")
    context = MavenContext(
        repo_cache=jar.parent / "maven",
        remote_repos={"central": source},
        timeout=DOWNLOAD_TIMEOUT_S,
    )
    group, artifact, version = coordinate.split(":")
    download = context.project(group, artifact).at_version(version).artifact()
    # What an interrupted run left may be half a file, and jgo would take it for a whole one.
    half = download.cached_path
    if half is not None:
        half.unlink(missing_ok=True)
    try:
        fetched = download.resolve()
    except Exception as error:
        raise StackError(
            f"{coordinate} could not be fetched from {source} ({_root_of(error)}). "
            "The first start needs the network; behind a mirror set TILL_MAVEN_URL, "
            "with an own certificate authority SSL_CERT_FILE."
        ) from error
    actual = hashlib.sha256(fetched.read_bytes()).hexdigest()
    if actual != digest:
        fetched.unlink()
        raise StackError(
            f"{coordinate} from {source} has the SHA-256 {actual} instead of {digest}: "
            "it is not the file that was tested and is not run. Look at the mirror or the proxy."
        )
    fetched.rename(jar)


def _root_of(error: BaseException) -> BaseException:
    """The first of a chain of errors: the ones around it repeat it at length."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return error


def write_pins() -> None:
    """Resolve `ROOTS` with all they need and write coordinates and hashes to `PINS`."""
    import jgo

    digests: dict[str, str] = {}
    for root in ROOTS:
        for artifact in jgo.resolve(root):
            coordinate = f"{artifact.groupId}:{artifact.artifactId}:{artifact.version}"
            digests[coordinate] = hashlib.sha256(artifact.resolve().read_bytes()).hexdigest()
    head = "# Written by `python -m deploy.embedded.jars`: SHA-256 and Maven coordinate of each jar.\n"
    rows = "".join(f"{digest}  {coordinate}\n" for coordinate, digest in sorted(digests.items()))
    PINS.write_text(head + rows)
    sys.stdout.write(f"{len(digests)} jars pinned in {PINS.name}\n")


if __name__ == "__main__":
    write_pins()
