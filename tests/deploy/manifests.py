"""The manifests of deploy/kubernetes as objects, and whom their network policies let talk to whom."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

Object = dict[str, Any]
Labels = dict[str, str]

KUBERNETES = Path(__file__).parents[2] / "deploy" / "kubernetes"


def objects(*folders: str) -> list[Object]:
    """All objects in the files of these folders, as they stand there."""
    files = [file for folder in folders for file in sorted((KUBERNETES / folder).glob("*.yaml"))]
    return [document for file in files for document in yaml.safe_load_all(file.read_text()) if "metadata" in document]


def pods(owners: list[Object]) -> Iterator[tuple[str, Object]]:
    """The template of every pod with the name of its owner."""
    for owner in owners:
        spec = owner.get("spec", {})
        template = spec.get("jobTemplate", {}).get("spec", spec).get("template", {})
        if "containers" in template.get("spec", {}):
            yield owner["metadata"]["name"], template


def may_talk(policies: list[Object], source: Labels, target: Labels, port: int) -> bool:
    """Whether pods of one namespace with these labels may talk to each other: both ends must allow it."""
    out = any(_allows(rule, "to", target, port) for rule in _rules(policies, source, "egress"))
    return out and any(_allows(rule, "from", source, port) for rule in _rules(policies, target, "ingress"))


def _rules(policies: list[Object], labels: Labels, direction: str) -> list[Object]:
    specs = [policy["spec"] for policy in policies if _selects(policy["spec"]["podSelector"], labels)]
    assert any(direction.title() in spec["policyTypes"] for spec in specs), (
        f"nothing denies the {direction} of {labels}"
    )
    return [rule for spec in specs for rule in spec.get(direction, [])]


def _allows(rule: Object, end: str, labels: Labels, port: int) -> bool:
    peers = rule.get(end)
    # A peer in another namespace is no pod of this one, nor is one out on the internet.
    near = peers is None or any(
        peer.keys().isdisjoint({"namespaceSelector", "ipBlock"}) and _selects(peer["podSelector"], labels)
        for peer in peers
    )
    return near and ("ports" not in rule or port in {allowed["port"] for allowed in rule["ports"]})


def _selects(selector: Object, labels: Labels) -> bool:
    matches = selector.get("matchLabels", {}).items() <= labels.items()
    return matches and all(
        labels.get(choice["key"]) in choice["values"] for choice in selector.get("matchExpressions", [])
    )
