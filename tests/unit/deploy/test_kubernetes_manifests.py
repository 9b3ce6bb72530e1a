"""The manifests are ones that Kubernetes takes, and what they promise: checked without a cluster."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from cli.installation import make_secrets
from edge.main import DRAIN_SECONDS

ROOT = Path(__file__).resolve().parents[3]
FOLDER = ROOT / "deploy" / "kubernetes"
VERSIONS = ("1.30", "1.33", "1.36")
SERVICES = ("edge", "policycore", "sender")
_SETTINGS = {name: (ROOT / name / "settings.py").read_text("utf-8") for name in SERVICES}


def _documents() -> Iterator[tuple[str, dict[str, Any]]]:
    for path in sorted(FOLDER.glob("*.yaml")):
        for number, document in enumerate(yaml.safe_load_all(path.read_text("utf-8"))):
            yield f"{path.stem}-{number}-{document['kind']}", document


DOCUMENTS = dict(_documents())


def _one(kind: str, name: str) -> dict[str, Any]:
    (found,) = (
        document
        for document in DOCUMENTS.values()
        if (document["kind"], document["metadata"]["name"]) == (kind, name)
    )
    return found


def _workload(name: str) -> dict[str, Any]:
    return _one("StatefulSet" if name == "sender" else "Deployment", name)


def _pod(name: str) -> dict[str, Any]:
    workload = _one("Job", "migrate") if name == "migrate" else _workload(name)
    pod: dict[str, Any] = workload["spec"]["template"]
    return pod


def _container(name: str) -> dict[str, Any]:
    (container,) = _pod(name)["spec"]["containers"]
    found: dict[str, Any] = container
    return found


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", DOCUMENTS)
def test_kubernetes_takes_it(name: str, version: str) -> None:
    kubernetes_validate.validate(DOCUMENTS[name], version, strict=True)


def test_the_schema_check_bites() -> None:
    wrong = {**_workload("edge"), "spec": {**_workload("edge")["spec"], "replica": 2}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSIONS[0], strict=True)


@pytest.mark.parametrize("name", [*SERVICES, "migrate"])
def test_a_pod_is_a_restricted_one(name: str) -> None:
    pod = _pod(name)["spec"]
    assert pod["automountServiceAccountToken"] is False
    context = pod["securityContext"]
    assert (context["runAsNonRoot"], context["runAsUser"]) == (True, 10001)
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    assert _container(name)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    resources = _container(name)["resources"]
    assert set(resources["requests"]) == set(resources["limits"]) == {"cpu", "memory"}
    assert all(set(volume) <= {"name", "emptyDir", "secret"} for volume in pod["volumes"])


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_there_twice_and_stays_available(name: str) -> None:
    workload = _workload(name)
    labels = _pod(name)["metadata"]["labels"]
    assert workload["spec"]["replicas"] == 2
    assert workload["spec"]["selector"]["matchLabels"] == labels
    budget = _one("PodDisruptionBudget", name)["spec"]
    assert budget == {"minAvailable": 1, "selector": {"matchLabels": labels}}
    assert _one("Service", name)["spec"]["selector"] == labels
    container = _container(name)
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe]
    assert container["args"] == ["hubgate", name, "serve"]


def test_a_service_may_finish_what_is_under_way() -> None:
    leave = int(_environment("edge")["HUBGATE_EDGE_LEAVE_SECONDS"])
    for name in SERVICES:
        assert _pod(name)["spec"]["terminationGracePeriodSeconds"] > leave + DRAIN_SECONDS


def _environment(name: str) -> dict[str, str]:
    return {each["name"]: each.get("value", "") for each in _container(name)["env"]}


@pytest.mark.parametrize("name", SERVICES)
def test_only_settings_that_the_service_reads_are_set(name: str) -> None:
    everybodys = set(_one("ConfigMap", "hubgate")["data"])
    for variable in _environment(name):
        assert f'"{variable}"' in _SETTINGS[name]
        assert variable not in everybodys
    for variable in everybodys:
        assert any(f'"{variable}"' in text for text in _SETTINGS.values()), variable


def test_secrets_are_named_and_never_written_down() -> None:
    secret = _one("Secret", "hubgate")["stringData"]
    assert not any(secret.values())
    made = set(make_secrets(bytes)) - {"POSTGRES_PASSWORD"}
    assert set(secret) == made | {"HUBGATE_DATABASE_URL", "HUBGATE_REDIS_URL"}
    used = {
        each["valueFrom"]["secretKeyRef"]["key"]
        for name in (*SERVICES, "migrate")
        for each in _container(name)["env"]
        if "valueFrom" in each
    }
    assert used == set(secret)
    only_the_policy_cores = {"HUBGATE_MASTER_KEY", "HUBGATE_PERMIT_KEY", "HUBGATE_ADMIN_TOKEN"}
    for name in ("edge", "sender"):
        assert not only_the_policy_cores & set(_environment(name))


def test_each_service_is_given_its_own_certificate() -> None:
    for name in SERVICES:
        (tls,) = (volume for volume in _pod(name)["spec"]["volumes"] if volume["name"] == "tls")
        assert tls["secret"] == {"secretName": f"hubgate-{name}-tls", "defaultMode": 0o440}
        assert _environment(name)["HUBGATE_TLS_FOLDER"] == "/run/hubgate/tls"


def test_every_sender_is_addressed_by_itself() -> None:
    replicas = _workload("sender")["spec"]["replicas"]
    expected = ",".join(f"sender-{number}.sender:8072" for number in range(replicas))
    assert _environment("policycore")["HUBGATE_SENDER_ADDRESSES"] == expected
    for name in ("policycore", "sender"):
        assert _one("Service", name)["spec"]["clusterIP"] == "None"


def test_nobody_speaks_to_anybody_unless_a_policy_says_so() -> None:
    nobody = _one("NetworkPolicy", "nobody")["spec"]
    assert nobody == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    # Network policies allow; so outside the senders' none may lead to everywhere on every port.
    for document in DOCUMENTS.values():
        if document["kind"] != "NetworkPolicy" or document["metadata"]["name"] == "sender":
            continue
        for rule in document["spec"].get("egress", []):
            assert rule["ports"]
    outside = _one("NetworkPolicy", "sender")["spec"]["egress"]
    (rule,) = outside
    refused = set(rule["to"][0]["ipBlock"]["except"])
    assert {"10.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16"} <= refused
    callers = _one("NetworkPolicy", "policycore")["spec"]["ingress"][0]["from"]
    names = {each["podSelector"]["matchLabels"]["app.kubernetes.io/name"] for each in callers}
    assert names == {"edge", "admin"}
    (instructor,) = _one("NetworkPolicy", "sender")["spec"]["ingress"][0]["from"]
    assert instructor["podSelector"]["matchLabels"] == {"app.kubernetes.io/name": "policycore"}


def test_the_way_in_takes_what_the_edge_takes_and_repeats_nothing() -> None:
    annotations = _one("Ingress", "hubgate")["metadata"]["annotations"]
    prefix = "nginx.ingress.kubernetes.io/"
    assert annotations[prefix + "proxy-body-size"] == "16m"
    assert annotations[prefix + "proxy-next-upstream"] == "error"


def test_the_documents_say_how_to_apply_them() -> None:
    text = (ROOT / "docs" / "deployment.md").read_text("utf-8")
    for path in FOLDER.glob("*.yaml"):
        assert re.search(rf"\b{re.escape(path.stem)}\b", text), path.name
