"""The service on a real cluster: `make test-kubernetes`. What it needs is in deploy/kubernetes/README.md."""

import os
import time
from collections.abc import Iterator

import pytest

from tests.deploy.cluster import Cluster, build, crds, kubectl, namespace, run, tell, within
from tests.deploy.manifests import KUBERNETES

pytestmark = [
    pytest.mark.skipif("TILL_TEST_KUBERNETES" not in os.environ, reason="Needs a cluster: make test-kubernetes"),
    pytest.mark.timeout(3_000),
]

WORKLOADS = (
    "statefulset/sessions",
    "deployment/gateway",
    "deployment/reporting",
    "deployment/console",
    "deployment/webhooks",
    "deployment/redis",
    "statefulset/postgres",
    "statefulset/kafka",
)
SERVICES = ("sessions", "gateway", "reporting")
NOW, NEXT = "dev", "dev-next"
DAY_S = 420
NOISE = ("SessionAffinity", "last-applied-configuration")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    if not os.environ.get("KUBECONFIG"):
        pytest.fail("Set KUBECONFIG to a cluster for trials: a namespace is made in it and deleted again.")
    with namespace(tmp_path_factory.mktemp("cluster")) as opened:
        yield opened


@pytest.mark.skipif(not crds(), reason="Set TILL_CRDS to a folder with the operators' resource definitions.")
def test_the_cluster_takes_the_manifests_of_production(cluster: Cluster) -> None:
    run("kubectl", "apply", "--server-side", *(f"--filename={file}" for file in crds()))
    output = kubectl("apply", "--server-side", "--dry-run=server", "-k", KUBERNETES / "overlays" / "production")
    assert output.count("serverside-applied (server dry run)") > len(WORKLOADS)
    # The API server warns of every pod that it would refuse in this namespace.
    assert not [line for line in output.splitlines() if "Warning" in line and not any(word in line for word in NOISE)]


def test_a_day_comes_out_as_written_though_pods_die_and_a_new_version_comes(cluster: Cluster) -> None:
    build(f"tillstream:{NOW}", f"tillstream:{NEXT}")
    cluster.apply(cluster.overlay(NOW))
    # The demo compares all that comes back with deploy/demo/expected.json, and asks `till verify` at the end.
    with cluster.till("demo", "--running", "--over", str(DAY_S)) as log:
        within(180, lambda: "published " in log.read_text())
        for workload in WORKLOADS:
            tell(f"{workload} was whole again {cluster.replace(workload):.0f} s after one of its pods was deleted")
        begun = time.monotonic()
        cluster.apply(cluster.overlay(NEXT))
        tell(f"the new version ran everywhere after {time.monotonic() - begun:.0f} s")
        assert "Every command was answered" not in log.read_text(), "The day was over before the new version came."
    tell(log.read_text())
    assert {name: cluster.images(name) for name in SERVICES} == {name: {f"tillstream:{NEXT}"} for name in SERVICES}
    with cluster.till("verify", "--against-topic") as proof:
        pass
    assert "All is right: " in proof.read_text()
