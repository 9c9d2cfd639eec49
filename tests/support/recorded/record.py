"""Run another language's library, and keep what it writes: `python -m tests.support.recorded.record axios`.

It needs that language's toolchain and package registry; the tests need neither, for they read what is kept here.
"""

import asyncio
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from tests.support.recorded import HERE

REPLY: Final = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
AXIOS: Final = "1.21.1"
SARAMA: Final = "v1.61.1"
KAFKA_GO: Final = "v0.4.51"
SPRING: Final = "3.3.10"
POM: Final = f"""<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>recorded</groupId><artifactId>recorded</artifactId><version>1</version><dependencies>
<dependency><groupId>org.springframework.kafka</groupId><artifactId>spring-kafka</artifactId>
<version>{SPRING}</version></dependency>
<dependency><groupId>com.fasterxml.jackson.core</groupId><artifactId>jackson-databind</artifactId>
<version>2.18.2</version></dependency></dependencies></project>"""


async def axios() -> dict[str, Any]:
    """Requests of axios in Node.js, each by a connection of its own, as they come from it."""
    requests: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = head.lower().partition(b"content-length:")[2].split(b"\r\n")[0]
        body = await reader.readexactly(int(length or 0))
        requests.append((head + body).decode())
        writer.write(REPLY)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = str(server.sockets[0].getsockname()[1])
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(HERE / "axios.mjs", folder)
        _run(folder, "npm", "install", "--no-audit", "--no-fund", f"axios@{AXIOS}")
        await asyncio.to_thread(_run, folder, "node", "axios.mjs", port)
    server.close()
    written = [request.replace(f"127.0.0.1:{port}", "127.0.0.1:80") for request in requests]
    return {"library": f"axios {AXIOS}", "runtime": _run(".", "node", "--version"), "requests": written}


async def sarama() -> dict[str, Any]:
    """Where Sarama's and kafka-go's own partitioners put 40 keys, of 12 partitions."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(HERE / "sarama.go", folder)
        _run(folder, "go", "mod", "init", "recorded")
        _run(folder, "go", "get", f"github.com/IBM/sarama@{SARAMA}", f"github.com/segmentio/kafka-go@{KAFKA_GO}")
        placed = json.loads(_run(folder, "go", "run", "."))
    return {"library": f"Sarama {SARAMA}, kafka-go {KAFKA_GO}", "runtime": _run(".", "go", "version"), "placed": placed}


async def spring() -> dict[str, Any]:
    """What Spring's template and serializer make of a message: value and headers in Base64."""
    records: dict[str, dict[str, str]] = {}
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "pom.xml").write_text(POM)
        _run(folder, "mvn", "-q", "-B", "dependency:build-classpath", "-Dmdep.outputFile=classes")
        classes = Path(folder, "classes").read_text()
        for line in _run(folder, "java", "-cp", classes, str(HERE / "Spring.java")).splitlines():
            name, part, value = line.split("\t")
            records.setdefault(name, {})[part] = value
    return {"library": f"spring-kafka {SPRING}", "runtime": _run(".", "java", "--version"), "records": records}


def _run(folder: str, *command: str) -> str:
    return subprocess.run(command, cwd=folder, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


if __name__ == "__main__":
    library = sys.argv[1]
    written = asyncio.run({"axios": axios, "sarama": sarama, "spring": spring}[library]())
    Path(HERE / f"{library}.json").write_text(
        json.dumps(written, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
    )
