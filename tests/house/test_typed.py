"""What pages tell people to type beside `make` and `till`: its options, services, profiles and scripts are there.

The bench's options are read in `tests/bench/test_figures.py`. Typed for real are the READMEs' blocks
(`tests/flow/test_readme.py`), the walk through the containers (`tests/deploy/test_compose.py`) and the cluster's
scripts (`tests/deploy/test_kubernetes.py`).
"""

import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

TOP = Path(__file__).parents[2]
PAGES = sorted([*TOP.glob("*.md"), *(page for folder in ("deploy", "docs") for page in (TOP / folder).rglob("*.md"))])
NAMES = [str(page.relative_to(TOP)) for page in PAGES]
COMPOSE = yaml.safe_load((TOP / "docker-compose.yml").read_text())
LABELS = {"Deployment", "StatefulSet", "CronJob", "Service", "Namespace"}


def typed(name: str, command: str) -> Iterator[list[str]]:
    """The words of every line or span of a page that begins with this command, from behind it to a pipe or its end."""
    text = (TOP / name).read_text(encoding="utf-8")
    for line in re.findall(rf"{command} ([^`\n|;)]+)", text):
        yield shlex.split(line.partition(" #")[0].partition(" <")[0])


def objects() -> set[str]:
    """The cluster's objects as kubectl names them."""
    documents = [
        document
        for file in (TOP / "deploy/kubernetes/base").glob("*.yaml")
        for document in yaml.safe_load_all(file.read_text())
        if document and document["kind"] in LABELS
    ]
    # CloudNativePG gives each of its clusters a service for whoever writes.
    databases = yaml.safe_load_all((TOP / "deploy/kubernetes/overlays/production/postgres.yaml").read_text())
    writers = {f"service/{one['metadata']['name']}-rw" for one in databases if one and one["kind"] == "Cluster"}
    return writers | {f"{document['kind'].lower()}/{document['metadata']['name']}" for document in documents}


@pytest.mark.parametrize("name", NAMES)
def test_compose_has_the_services_and_profiles_that_pages_name(name: str) -> None:
    profiles = {profile for service in COMPOSE["services"].values() for profile in service.get("profiles", ())}
    for words in typed(name, "docker compose"):
        for at, word in enumerate(words):
            assert word != "--profile" or words[at + 1] in profiles
        command, *rest = words[2:] if words[0] == "--profile" else words
        assert command in {"up", "down", "run", "logs", "ps", "exec"}
        if command in {"run", "exec"}:
            entrypoint = rest.index("--entrypoint") + 2 if "--entrypoint" in rest else 0
            service = next(word for word in rest[entrypoint:] if not word.startswith("-"))
            assert service in COMPOSE["services"]


@pytest.mark.parametrize("name", NAMES)
def test_the_cluster_has_what_pages_point_kubectl_at(name: str) -> None:
    named = {word for words in typed(name, "kubectl") for word in words if re.fullmatch(r"[a-z]+/[a-z-]+", word)}
    assert {word for word in named if word.split("/")[0] != "tillstream"} <= objects()


@pytest.mark.parametrize("name", NAMES)
def test_scripts_that_pages_call_can_be_run(name: str) -> None:
    lines = re.findall(r"^ {4}(deploy/[\w/-]+)(?: (deploy/[\w/-]+))?", (TOP / name).read_text(), re.MULTILINE)
    for script, argument in lines:
        assert os.access(TOP / script, os.X_OK), script
        assert not argument or (TOP / argument).exists(), argument
