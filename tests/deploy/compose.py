"""A deployment by docker-compose.yml under a name and on ports of its own."""

import json
import os
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from deploy.embedded.trouble import free_port

DOCKER = shutil.which("docker") or "docker"
ROOT = Path(__file__).parents[2]
UP_LIMIT_S = 900
HEALTHY_LIMIT_S = 180
SERVICES = {
    "kafka": 1,
    "postgres": 1,
    "redis": 1,
    "sessions": 2,
    "gateway": 1,
    "reporting": 1,
    "webhooks": 1,
    "console": 1,
}
"""All that goes on running, with its number of containers."""


@dataclass(frozen=True)
class Compose:
    """A deployment; `environment` is what a shell needs whose `docker compose` shall mean this one."""

    environment: dict[str, str]

    @classmethod
    def named_anew(cls) -> "Compose":
        ports: dict[str, int] = {}
        for name in ("GATEWAY", "REPORTING", "CONSOLE", "KAFKA"):
            ports[f"TILL_{name}_PORT"] = free_port(set(ports.values()))
        named = {name: str(port) for name, port in ports.items()}
        own = uuid4()
        # Two deployments on one machine have no network in common.
        named["TILL_PAGES_SUBNET"] = f"10.214.{own.int % 256}.0/28"
        return cls(os.environ | named | {"COMPOSE_PROJECT_NAME": f"till-test-{own.hex[:8]}"})

    def port(self, name: str) -> str:
        return self.environment[f"TILL_{name}_PORT"]

    def run(self, *command: str, typed: str = "", must: bool = True, limit_s: float = 120) -> str:
        """What `docker compose` says on standard output."""
        ran = subprocess.run(
            [DOCKER, "compose", *command],
            cwd=ROOT,
            env=self.environment,
            input=typed,
            capture_output=True,
            text=True,
            timeout=limit_s,
            check=False,
        )
        assert not must or ran.returncode == 0, f"{command}: {ran.stdout[-2000:]}{ran.stderr[-4000:]}"
        return ran.stdout + ("" if must else ran.stderr)

    def start(self, *command: str) -> subprocess.Popen[str]:
        """A command of `till` beside everything else; its output is a pipe."""
        return subprocess.Popen(
            [DOCKER, "compose", "run", "--rm", "-T", "till", *command],
            cwd=ROOT,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def secret(self, name: str) -> str:
        return self.run("run", "--rm", "-T", "--entrypoint", "cat", "till", f"/run/secrets/{name}").strip()

    def containers(self, service: str) -> list[dict[str, Any]]:
        """All that Docker knows of a service's containers."""
        ids = self.run("ps", "--all", "--quiet", service).split()
        inspected = subprocess.run([DOCKER, "inspect", *ids], capture_output=True, text=True, timeout=60, check=True)
        containers: list[dict[str, Any]] = json.loads(inspected.stdout)
        return containers

    def kill(self, service: str, user: str) -> None:
        """SIGKILL for all processes of one container, from inside: what Docker kills itself, it leaves dead."""
        self.run("exec", "-T", "--user", user, service, "sh", "-c", "kill -9 -1", must=False)

    def until_healthy(self, service: str, *, restarts: int) -> None:
        """Wait until all containers of a service are healthy and were restarted so often in all."""
        until = time.monotonic() + HEALTHY_LIMIT_S
        while True:
            containers = self.containers(service)
            healthy = all(one["State"].get("Health", {}).get("Status") == "healthy" for one in containers)
            if (
                healthy
                and len(containers) == SERVICES[service]
                and sum(one["RestartCount"] for one in containers) >= restarts
            ):
                return
            assert time.monotonic() < until, f"{service}: {[(one['State'], one['RestartCount']) for one in containers]}"
            time.sleep(0.5)

    def psql(self, role: str, statement: str) -> str:
        """What PostgreSQL replies to a role, refusals included."""
        connection = f"postgresql://till_{role}@127.0.0.1/till"
        password = self.run("exec", "-T", "postgres", "cat", f"/run/secrets/{role}").strip()
        words = ("psql", connection, "--tuples-only", "--no-align", "--command", statement)
        return self.run("exec", "-T", "--env", f"PGPASSWORD={password}", "postgres", *words, must=False)
