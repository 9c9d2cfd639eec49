"""A whole service of one's own on the cluster that KUBECONFIG names, and what people do to it."""

import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.deploy.manifests import KUBERNETES

ROOT = KUBERNETES.parents[1]
NAMESPACE = "tillstream"
COMMAND_LIMIT_S = 900
NODE_FOLDER = "/var/lib/tillstream-test"
DISKS = ("kafka", "postgres")
GIVEN_IMAGE = os.environ.get("TILL_IMAGE")
LOAD = os.environ.get("TILL_IMAGE_LOAD")


def run(*command: str | Path, stdin: str | None = None, must: bool = True) -> str:
    """What a command prints; a failed one fails the test with all it said, unless it need not succeed."""
    ran = subprocess.run(
        [str(word) for word in command],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=COMMAND_LIMIT_S,
        check=False,
        cwd=ROOT,
    )
    if must and ran.returncode:
        pytest.fail(f"{shlex.join(map(str, command))} ended with {ran.returncode}:\n{ran.stdout}\n{ran.stderr}")
    return ran.stdout + ran.stderr


def kubectl(*words: str | Path, stdin: str | None = None, must: bool = True) -> str:
    """`kubectl` in the namespace of the service."""
    return run("kubectl", "--namespace", NAMESPACE, *words, stdin=stdin, must=must)


def tell(sentence: str) -> None:
    """Show it to whoever runs the test with -s."""
    sys.stdout.write(f"{sentence}\n")
    sys.stdout.flush()


def within(limit_s: float, holds: Callable[[], bool]) -> None:
    """Wait until it holds; fails the test when the time is over."""
    until = time.monotonic() + limit_s
    while not holds():
        assert time.monotonic() < until, f"This should have come within {limit_s:.0f} s."
        time.sleep(0.5)


def build(*tags: str) -> None:
    """Build the image, or take the one that is given, and bring it to the nodes under each tag."""
    if GIVEN_IMAGE is None:
        run("docker", "build", "--file", "deploy/Dockerfile", "--tag", tags[0], ".")
    for tag in tags:
        run("docker", "tag", GIVEN_IMAGE or tags[0], tag)
    if LOAD:
        run(*shlex.split(LOAD), *tags)


@dataclass
class Cluster:
    """The service in its namespace. `folder` takes files of the test."""

    folder: Path

    def overlay(self, tag: str) -> Path:
        """The overlay dev with another tag of the image."""
        folder = self.folder / tag
        folder.mkdir(exist_ok=True)
        dev = os.path.relpath(KUBERNETES / "overlays" / "dev", folder)
        images = [{"name": "tillstream", "newName": "tillstream", "newTag": tag}]
        (folder / "kustomization.yaml").write_text(yaml.safe_dump({"resources": [dev], "images": images}))
        return folder

    def apply(self, overlay: Path) -> None:
        """As a person does: `deploy/kubernetes/apply`."""
        run(KUBERNETES / "apply", overlay)

    @contextmanager
    def till(self, *words: str) -> Iterator[Path]:
        """A command in the office while the block lasts; gives the file of what it says. It must end well."""
        output = self.folder / f"{words[0]}.log"
        with output.open("w") as log:
            command = [KUBERNETES / "till", *words]
            running = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
            try:
                yield output
                code = running.wait(COMMAND_LIMIT_S)
            finally:
                running.kill()
        assert code == 0, output.read_text()

    def pods(self, name: str) -> dict[str, str]:
        """The pods of a workload by name, with their uid."""
        listing = json.loads(kubectl("get", "pods", "--selector", f"app.kubernetes.io/name={name}", "--output", "json"))
        return {pod["metadata"]["name"]: pod["metadata"]["uid"] for pod in listing["items"]}

    def replace(self, workload: str) -> float:
        """Delete one pod of a workload; the seconds until all of its pods are ready again."""
        name = workload.partition("/")[2]
        victim, uid = next(iter(self.pods(name).items()))
        begun = time.monotonic()
        kubectl("delete", "pod", victim, "--wait=false")
        within(120, lambda: uid not in self.pods(name).values())
        kubectl("rollout", "status", workload, "--timeout", "5m")
        return time.monotonic() - begun

    def images(self, name: str) -> set[str]:
        """The images that the pods of a workload run."""
        path = "{.items[*].spec.containers[*].image}"
        selector = f"app.kubernetes.io/name={name}"
        return set(kubectl("get", "pods", "--selector", selector, "--output", f"jsonpath={path}").split())


@contextmanager
def namespace(folder: Path) -> Iterator[Cluster]:
    """An empty namespace with secrets and disks; nothing of it is left afterwards."""
    if "error" in (existing := run("kubectl", "get", "namespace", NAMESPACE, "--output", "name", must=False).lower()):
        if "notfound" not in existing:
            pytest.fail(f"KUBECONFIG names no cluster that answers: {existing}")
    else:
        pytest.fail(f"The cluster has a namespace {NAMESPACE} already: this test makes and deletes its own.")
    try:
        run(KUBERNETES / "create-secrets")
        with _disks():
            yield Cluster(folder)
            _delete_namespace()
    finally:
        _delete_namespace()


def _delete_namespace() -> None:
    run("kubectl", "delete", "namespace", NAMESPACE, "--ignore-not-found", "--timeout", "5m")


@contextmanager
def _disks() -> Iterator[None]:
    """Folders of the node, where the cluster has no storage class that would make disks by itself."""
    if run("kubectl", "get", "storageclass", "--output", "name").startswith("storageclass"):
        yield
        return
    folders = " ".join(f"/node/{disk}" for disk in DISKS)
    _on_the_node(f"mkdir -p {folders} && chmod 0777 {folders}")
    volumes = [_volume(disk) for disk in DISKS]
    run("kubectl", "apply", "--filename", "-", stdin=yaml.safe_dump_all(volumes))
    try:
        yield
    finally:
        run("kubectl", "delete", "--filename", "-", "--wait=false", stdin=yaml.safe_dump_all(volumes))
        _on_the_node(f"rm -rf {folders}")


def _volume(disk: str) -> dict[str, object]:
    spec = {
        "capacity": {"storage": "2Gi"},
        "accessModes": ["ReadWriteOnce"],
        "persistentVolumeReclaimPolicy": "Retain",
        "claimRef": {"namespace": NAMESPACE, "name": f"data-{disk}-0"},
        "hostPath": {"path": f"{NODE_FOLDER}/{disk}"},
    }
    return {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": f"tillstream-{disk}"}, "spec": spec}


def _on_the_node(script: str) -> None:
    """Run a script as root on the folder of the node, which no pod of the service could."""
    mount = {"name": "node", "mountPath": "/node"}
    container = {
        "name": "disks",
        "image": "postgres:18",
        "command": ["sh", "-c", script],
        "volumeMounts": [mount],
        "securityContext": {"runAsUser": 0},
    }
    path = {"path": NODE_FOLDER, "type": "DirectoryOrCreate"}
    spec = {"restartPolicy": "Never", "containers": [container], "volumes": [{"name": "node", "hostPath": path}]}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "tillstream-disks"}, "spec": spec}
    run("kubectl", "--namespace", "default", "create", "--filename", "-", stdin=yaml.safe_dump(pod))
    done = ("--for", "jsonpath={.status.phase}=Succeeded", "--timeout", "2m")
    run("kubectl", "--namespace", "default", "wait", "pod/tillstream-disks", *done)
    run("kubectl", "--namespace", "default", "delete", "pod", "tillstream-disks", "--grace-period", "1")


def crds() -> Sequence[Path]:
    """The files of the operators' resource definitions in the folder TILL_CRDS."""
    folder = os.environ.get("TILL_CRDS")
    return sorted(Path(folder).glob("*.yaml")) if folder else ()
