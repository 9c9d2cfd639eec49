"""What the manifests say beside what the code says, and what no pod may do. No cluster is needed."""

from pathlib import Path

import pytest
import yaml
from kafka.admin import ACLResourcePatternType

from contracts.topics import DEFAULT_PARTITIONS, TOPIC_CONFIGS, partitions_of
from services.operations.kafka_principals import PRODUCER_BYTES_PER_S, QUOTA_WINDOWS, REQUEST_PERCENT, rights
from services.platform.http.server import STOP_TIME_LIMIT_S
from services.platform.settings import Settings
from services.reporting.webhooks.addresses import is_allowed
from services.sessions.worker.frontier_positions import DRAIN_S
from services.sessions.worker.main import GRACEFUL_STOP_S
from tests.deploy.manifests import Object, may_talk, objects, pods

ROOT = Path(__file__).parents[2]
BASE, DEV, PRODUCTION = "base", "overlays/dev", "overlays/production"
HEALTH_PORT = 8090
SERVICES = {"sessions", "gateway", "reporting"}
PUSHES = "webhooks"
"""Has tables, and asks no broker."""
PAGES = "console"
"""Stands before the services, and needs neither tables nor topics."""
TRUSTED_BITS_MIN = 14
"""Of a network of pods; 10.0.0.0/8 and its like have fewer."""
PORTS = (5432, 6379, 8080, HEALTH_PORT, 9092, 9093)


def _named(kind: str, *folders: str) -> dict[str, Object]:
    return {document["metadata"]["name"]: document for document in objects(*folders) if document["kind"] == kind}


def test_production_makes_the_topics_of_the_wire() -> None:
    topics = {
        name: (topic["spec"]["partitions"], {key: str(value) for key, value in topic["spec"]["config"].items()})
        for name, topic in _named("KafkaTopic", PRODUCTION).items()
    }
    durable = {"min.insync.replicas": "2", "unclean.leader.election.enable": "False"}
    assert topics == {
        f"till.{suffix}": (partitions_of(suffix, DEFAULT_PARTITIONS), config | durable)
        for suffix, config in TOPIC_CONFIGS.items()
    }


@pytest.mark.parametrize("name", sorted(SERVICES | {"register", "closings"}))
def test_production_gives_each_principal_the_rights_that_the_code_names(name: str) -> None:
    acls = _named("KafkaUser", PRODUCTION)[f"till-{name}"]["spec"]["authorization"]["acls"]
    granted = {
        (acl["resource"]["type"], acl["resource"]["name"], operation.lower(), acl["resource"].get("patternType"))
        for acl in acls
        for operation in acl["operations"]
    }
    patterns = {ACLResourcePatternType.LITERAL: None, ACLResourcePatternType.PREFIXED: "prefix"}
    assert granted == {
        (right.kind.name.lower(), right.name, right.operation.name.lower().replace("_", ""), patterns[right.pattern])
        for right in rights(Settings(), name)
    }


def test_registers_have_the_quotas_that_the_code_names_and_services_have_none() -> None:
    quotas = {name: user["spec"].get("quotas") for name, user in _named("KafkaUser", PRODUCTION).items()}
    own = {"producerByteRate": PRODUCER_BYTES_PER_S, "requestPercentage": REQUEST_PERCENT}
    assert {name: quota for name, quota in quotas.items() if quota is not None} == {"till-register": own}


def test_brokers_measure_quotas_by_the_windows_that_the_code_names() -> None:
    containers = _named("StatefulSet", DEV)["kafka"]["spec"]["template"]["spec"]["containers"]
    environment = {variable["name"]: variable["value"] for container in containers for variable in container["env"]}
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    windows = [
        environment["KAFKA_QUOTA_WINDOW_NUM"],
        _named("Kafka", PRODUCTION)["till"]["spec"]["kafka"]["config"]["quota.window.num"],
        compose["services"]["kafka"]["environment"]["KAFKA_QUOTA_WINDOW_NUM"],
    ]
    assert [int(number) for number in windows] == [QUOTA_WINDOWS] * 3


def test_there_are_never_more_workers_than_partitions_and_their_lag_is_that_of_their_group() -> None:
    scaled = _named("ScaledObject", PRODUCTION)["sessions"]["spec"]
    trigger = scaled["triggers"][0]["metadata"]
    settings = Settings()
    assert scaled["maxReplicaCount"] == DEFAULT_PARTITIONS
    assert (trigger["topic"], trigger["consumerGroup"]) == (settings.topics.commands, settings.sessions_group)


def test_a_worker_has_time_to_finish_its_batch() -> None:
    grace = _named("StatefulSet", BASE)["sessions"]["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    assert grace > max(GRACEFUL_STOP_S, DRAIN_S) + STOP_TIME_LIMIT_S + 20


def test_every_pod_is_confined() -> None:
    pods_found = list(pods(objects(BASE, DEV)))
    assert {name for name, _ in pods_found} >= SERVICES | {
        PAGES,
        PUSHES,
        "migrate",
        "office",
        "topics",
        "redis",
        "kafka",
        "postgres",
    }
    for name, template in pods_found:
        spec = template["spec"]
        assert spec["automountServiceAccountToken"] is False, name
        assert spec["enableServiceLinks"] is False, name
        assert spec["securityContext"]["runAsNonRoot"] is True, name
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        for container in [*spec.get("initContainers", []), *spec["containers"]]:
            confined = container["securityContext"]
            assert confined["allowPrivilegeEscalation"] is False, name
            assert confined["capabilities"] == {"drop": ["ALL"]}, name
            # Kafka's image writes its settings beside its program.
            assert confined.get("readOnlyRootFilesystem") is (None if name == "kafka" else True), name
            assert container["resources"].keys() == {"requests", "limits"}, name


def test_services_start_on_the_schema_that_they_need_and_say_when_they_are_ready() -> None:
    for name, template in pods(objects(BASE)):
        if name in SERVICES | {PUSHES}:
            assert template["spec"]["initContainers"][0]["args"] == ["wait", name]
            container = template["spec"]["containers"][0]
            assert container["readinessProbe"]["httpGet"]["path"] == "/health/ready"
            assert container["livenessProbe"]["httpGet"]["path"] == "/health/live"


def test_the_pages_hold_no_secret_and_know_no_server() -> None:
    spec = next(template["spec"] for name, template in pods(objects(BASE)) if name == PAGES)
    (container,) = spec["containers"]
    environment = {variable["name"]: variable for variable in container["env"]}
    assert environment.keys() == {"TILL_GATEWAY_URL", "TILL_REPORTING_URL", "TILL_TRUSTED_PROXIES"}
    named = environment["TILL_TRUSTED_PROXIES"]["valueFrom"]["configMapKeyRef"]
    assert named == {"name": "tillstream", "key": "TILL_TRUSTED_PROXIES"}
    assert "envFrom" not in container
    assert "initContainers" not in spec
    assert spec["volumes"] == [{"name": "tmp", "emptyDir": {"sizeLimit": "64Mi"}}]


@pytest.mark.parametrize("overlay", [DEV, PRODUCTION])
def test_wrong_passwords_are_counted_by_the_address_of_people_not_of_pods(overlay: str) -> None:
    file = ROOT / "deploy/kubernetes" / overlay / "kustomization.yaml"
    (settings,) = (
        one["literals"] for one in yaml.safe_load(file.read_text())["configMapGenerator"] if one["name"] == "tillstream"
    )
    (named,) = (value for name, _, value in (one.partition("=") for one in settings) if name == "TILL_TRUSTED_PROXIES")
    (network,) = Settings(trusted_proxies=named).proxy_networks
    # Whole families of private addresses would be those of shops, too.
    assert network.prefixlen >= TRUSTED_BITS_MIN
    template = next(template for name, template in pods(objects(BASE)) if name == "gateway")
    assert {"configMapRef": {"name": "tillstream"}} in template["spec"]["containers"][0]["envFrom"]


def test_the_gateway_of_compose_believes_the_console_and_nobody_else_who_is_not_named() -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    services, network = compose["services"], compose["networks"]["pages"]
    assert {name for name, one in services.items() if "pages" in one.get("networks", ())} == {"gateway", PAGES}
    # Nobody gets in from outside by it: no port of a container is reached through an internal network.
    assert network["internal"] is True
    subnet = "${TILL_PAGES_SUBNET:-10.213.77.0/28}"
    assert [one["subnet"] for one in network["ipam"]["config"]] == [subnet]
    believed = services["gateway"]["environment"]["TILL_TRUSTED_PROXIES"]
    assert believed == subnet + "${TILL_TRUSTED_PROXIES:+,}${TILL_TRUSTED_PROXIES:-}"
    assert Settings(trusted_proxies="10.213.77.0/28").proxy_networks
    (alias,) = services["gateway"]["networks"]["pages"]["aliases"]
    pages = services[PAGES]
    # By its name on the other networks, the console would come from an address that the gateway doesn't believe.
    assert pages["environment"]["TILL_GATEWAY_URL"] == f"http://{alias}:8080"
    assert "servers" not in pages["networks"]
    for name in (PAGES, "reporting"):
        assert services[name]["environment"]["TILL_TRUSTED_PROXIES"] == "${TILL_TRUSTED_PROXIES:-}"


def test_health_and_metrics_have_a_port_that_no_caller_reaches_and_documentation_is_not_served() -> None:
    image = (ROOT / "deploy/Dockerfile").read_text()
    for setting in (
        "SESSIONS_HTTP",
        "GATEWAY_HEALTH_HTTP",
        "REPORTING_HEALTH_HTTP",
        "CONSOLE_HEALTH_HTTP",
        "WEBHOOKS_HTTP",
    ):
        assert f"TILL_{setting}=0.0.0.0:{HEALTH_PORT}" in image
    assert f"HTTPConnection('127.0.0.1', {HEALTH_PORT}," in image
    assert "TILL_HTTP_DOCS=false" in image
    scraped = yaml.safe_load((ROOT / "deploy/observability/prometheus.yml").read_text())["scrape_configs"]
    assert {job["job_name"]: job["dns_sd_configs"][0]["port"] for job in scraped} == dict.fromkeys(
        SERVICES | {PAGES, PUSHES}, HEALTH_PORT
    )
    for name, template in pods(objects(BASE)):
        if name in SERVICES | {PAGES, PUSHES}:
            container = template["spec"]["containers"][0]
            ports = {port["name"]: port["containerPort"] for port in container["ports"]}
            assert ports["health"] == HEALTH_PORT
            for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                assert container[probe]["httpGet"]["port"] == "health"
    manifests = objects(BASE)
    policies = [policy for policy in manifests if policy["kind"] == "NetworkPolicy"]
    for policy in policies:
        for rule in policy["spec"].get("ingress", []):
            if any(port["port"] == HEALTH_PORT for port in rule.get("ports", [])):
                assert rule["from"] == [{"namespaceSelector": {"matchLabels": {"tillstream/monitoring": "allowed"}}}]
    for service in _named("Service", BASE).values():
        served = {port["port"] for port in service["spec"]["ports"]}
        assert (HEALTH_PORT in served) is (service["metadata"]["name"] == "sessions")


def test_pods_talk_to_whom_they_need_and_to_nobody_else() -> None:
    manifests = objects(BASE, DEV)
    policies = [policy for policy in manifests if policy["kind"] == "NetworkPolicy"]
    labels = {name: template["metadata"]["labels"] for name, template in pods(manifests)}
    needed = {(source, "kafka", 9092) for source in SERVICES | {"topics", "migrate", "office"}}
    needed |= {(source, "postgres", 5432) for source in SERVICES | {PUSHES, "migrate", "office"}}
    needed |= {("sessions", "redis", 6379), ("office", "redis", 6379)}
    needed |= {(source, api, 8080) for source in ("office", PAGES) for api in ("gateway", "reporting")}
    allowed = {
        (source, target, port)
        for source in labels
        for target in labels
        for port in PORTS
        if may_talk(policies, labels[source], labels[target], port)
    }
    assert allowed == needed


def test_pushes_go_out_of_the_cluster_and_nowhere_within() -> None:
    (rule,) = _named("NetworkPolicy", BASE)["webhooks-to-receivers"]["spec"]["egress"]
    blocks = {peer["ipBlock"]["cidr"]: peer["ipBlock"].get("except", []) for peer in rule["to"]}
    assert blocks.keys() == {"0.0.0.0/0", "2000::/3"}
    for network in blocks["0.0.0.0/0"]:
        assert not is_allowed(network.partition("/")[0]), network
    assert [port["port"] for port in rule["ports"]] == [443]


def test_every_role_is_made_with_a_password_and_given_its_rights_wherever_the_service_is_deployed() -> None:
    asked = {f"TILL_{name.upper()}" for name in Settings.model_fields if name.endswith("_role")}
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))["services"]
    (job,) = _named("Job", BASE)["migrate"]["spec"]["template"]["spec"]["containers"]
    names = {
        "compose": compose["migrate"]["environment"],
        "kubernetes": {one["name"]: one["value"] for one in job["env"]},
    }
    secrets = (ROOT / "deploy/kubernetes/create-secrets").read_text()
    managed = _named("Cluster", PRODUCTION)["till-db"]["spec"]["managed"]["roles"]
    mounted = {
        source["secret"]["name"]: source["secret"]["items"][0]["path"]
        for volume in _named("StatefulSet", DEV)["postgres"]["spec"]["template"]["spec"]["volumes"]
        for source in volume.get("projected", {}).get("sources", ())
    }
    for where, folder in (("compose", "deploy/compose"), ("kubernetes", "deploy/kubernetes/overlays/dev")):
        roles = {name: value for name, value in names[where].items() if name.endswith("_ROLE")}
        assert roles.keys() == asked, where
        script = (ROOT / folder / "roles.sql").read_text()
        for role in roles.values():
            password = role.removeprefix("till_")
            assert f"CREATE ROLE {role} LOGIN" in script
            assert f"PASSWORD :'{password}'" in script
    for role in names["kubernetes"]["TILL_ANALYST_ROLE"], names["kubernetes"]["TILL_WEBHOOKS_ROLE"]:
        secret = f"tillstream-db-{role.removeprefix('till_')}"
        assert f"password {secret} {role}\n" in secrets
        assert mounted[secret] == role.removeprefix("till_")
    assert {one["name"]: one["passwordSecret"]["name"] for one in managed} == {
        value: f"tillstream-db-{value.removeprefix('till_')}"
        for name, value in names["kubernetes"].items()
        if name.endswith("_ROLE")
    }


def test_analysts_programs_come_to_postgresql_where_somebody_has_let_them_in() -> None:
    rules = [_named("NetworkPolicy", one)["postgres-from-clients"]["spec"]["ingress"] for one in (DEV, PRODUCTION)]
    let_in = {
        "from": [{"namespaceSelector": {"matchLabels": {"tillstream/analysts": "allowed"}}}],
        "ports": [{"protocol": "TCP", "port": 5432}],
    }
    assert all(let_in in one for one in rules)
    added = yaml.safe_load((ROOT / "deploy/compose/analysts.yml").read_text(encoding="utf-8"))["services"]
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    (port,) = added["postgres"]["ports"]
    assert added.keys() == {"postgres"}
    assert port.startswith("127.0.0.1:")
    # Through an internal network alone nobody reaches a port.
    assert any(not (compose["networks"][name] or {}).get("internal") for name in added["postgres"]["networks"])


def test_no_manifest_holds_a_secret() -> None:
    assert not _named("Secret", BASE, DEV, PRODUCTION)


def test_a_roll_out_waits_for_every_workload_that_comes_last() -> None:
    last = {
        f"{manifest['kind'].lower()}/{manifest['metadata']['name']}"
        for manifest in objects(BASE)
        if manifest["metadata"].get("labels", {}).get("tillstream/rollout") == "after"
        and manifest["kind"] in {"Deployment", "StatefulSet"}
    }
    script = (ROOT / "deploy/kubernetes/apply").read_text()
    waited_for = script.partition("for workload in ")[2].partition(";")[0].split()
    assert set(waited_for) == last


def test_what_an_image_was_asked_for_is_installed_by_every_step_of_its_building() -> None:
    """Installing is exact: a step that doesn't name the extras takes them away again."""
    image = (ROOT / "deploy/Dockerfile").read_text().replace("\\\n", "")
    installs = [part for line in image.splitlines() for part in line.split("&&") if "uv sync" in part]
    assert len(installs) == 4
    assert all("${EXTRAS}" in install for install in installs)
