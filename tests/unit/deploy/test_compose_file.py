"""What docker-compose.yml promises about every container, read from the file as Compose reads it.

Whether the promises hold in a running stack is what `make compose-check` asks, where there is a Docker engine.
"""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

import edge.main
import policycore.main
import sender.main
from cli.installation import make_secrets
from edge.connection import ConnectionLimits
from edge.webhooks.whatsapp_routes import BODY_LIMIT

ROOT = Path(__file__).resolve().parents[3]
TEXT = (ROOT / "docker-compose.yml").read_text("utf-8")
FILE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = FILE["services"]
TWICE = ("edge", "policycore", "sender")
REPLICAS = tuple(f"{name}-{number}" for name in TWICE for number in (1, 2))
OURS = ("proxy", *REPLICAS, "migrate", "certificates", "hubgate")
ONCE = ("migrate", "certificates", "hubgate")
STAYING = tuple(sorted(set(SERVICES) - set(ONCE)))
_COMPOSE_1 = {
    *("version", "services", "networks", "volumes"),
}
_COMPOSE_1_SERVICE = {
    *(
        "image",
        "build",
        "restart",
        "init",
        "user",
        "read_only",
        "tmpfs",
        "cap_drop",
        "cap_add",
        "security_opt",
    ),
    *("pids_limit", "cpus", "mem_limit", "ulimits", "stop_grace_period", "logging", "command", "entrypoint"),
    *("environment", "volumes", "networks", "network_mode", "depends_on", "healthcheck", "ports", "profiles"),
    "shm_size",
}


def _networks(service: str) -> set[str]:
    return set(SERVICES[service].get("networks", ()))


def test_nothing_is_used_that_an_old_compose_does_not_know() -> None:
    assert {key for key in FILE if not key.startswith("x-")} == _COMPOSE_1
    for name, service in SERVICES.items():
        assert set(service) <= _COMPOSE_1_SERVICE, name
        assert set(service.get("healthcheck", {})) <= {"test", "interval", "timeout", "retries"}, name


@pytest.mark.parametrize("name", TWICE)
def test_every_service_is_there_twice_and_alike(name: str) -> None:
    assert SERVICES[f"{name}-1"] == SERVICES[f"{name}-2"]
    assert SERVICES[f"{name}-1"]["command"] == ["hubgate", name, "serve"]


@pytest.mark.parametrize("name", OURS)
def test_our_containers_may_do_as_little_as_possible(name: str) -> None:
    service = SERVICES[name]
    assert service["user"] == "10001:10001"
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_every_container_has_limits(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    for limit in ("mem_limit", "cpus", "pids_limit"):
        assert service[limit], limit
    # A whole core each: more could not be had on the smallest machine.
    assert service["cpus"] <= 1.0
    nofile = service.get("ulimits", {}).get("nofile", {})
    assert nofile.get("hard", 0) <= 20_000
    assert service["logging"]["options"] == {"max-size": "10m", "max-file": "5"}


@pytest.mark.parametrize("name", STAYING)
def test_what_stays_is_watched_and_comes_back(name: str) -> None:
    service = SERVICES[name]
    assert service["healthcheck"]["test"][0] in {"CMD", "CMD-SHELL"}
    assert service["restart"] == "unless-stopped"


@pytest.mark.parametrize("name", REPLICAS)
def test_a_service_may_finish_what_is_under_way(name: str) -> None:
    leaves = int(SERVICES["edge-1"]["environment"]["HUBGATE_EDGE_LEAVE_SECONDS"])
    grace = int(SERVICES[name]["stop_grace_period"].removesuffix("s"))
    assert grace > leaves + max(
        edge.main.DRAIN_SECONDS, policycore.main.DRAIN_SECONDS, sender.main.DRAIN_SECONDS
    )


def test_each_reaches_only_whom_it_needs() -> None:
    assert all(FILE["networks"][name]["internal"] for name in ("front", "core", "sending", "data"))
    outside = {name for name in SERVICES if "outside" in _networks(name)}
    assert outside == {"proxy", "sender-1", "sender-2"}
    assert {name for name in SERVICES if "data" in _networks(name)} == {
        *("policycore-1", "policycore-2", "migrate", "postgres", "redis")
    }
    assert {name for name in SERVICES if "ports" in SERVICES[name]} == {"proxy"}
    assert SERVICES["certificates"]["network_mode"] == "none"


def test_the_edges_trust_the_proxys_network_and_nothing_else() -> None:
    subnet = FILE["networks"]["front"]["ipam"]["config"][0]["subnet"]
    assert SERVICES["edge-1"]["environment"]["HUBGATE_TRUSTED_PROXIES"] == subnet
    assert {name for name in SERVICES if "front" in _networks(name)} == {"proxy", "edge-1", "edge-2"}


def test_each_service_is_given_its_own_certificate_and_no_other() -> None:
    for name in REPLICAS:
        own = name.partition("-")[0]
        assert SERVICES[name]["volumes"] == [f"tls-{own}:/run/hubgate/tls:ro"]
        assert SERVICES[name]["environment"]["HUBGATE_TLS_FOLDER"] == "/run/hubgate/tls"
    holders = {
        name
        for name in SERVICES
        if any("tls-authority" in each for each in SERVICES[name].get("volumes", ()))
    }
    assert holders == {"certificates"}


def test_every_sender_is_addressed_by_itself() -> None:
    environment = SERVICES["policycore-1"]["environment"]
    assert environment["HUBGATE_SENDER_ADDRESSES"] == "sender-1:8072,sender-2:8072"


def test_secrets_come_from_outside_and_have_no_default() -> None:
    named = set(re.findall(r"\$\{([A-Z_]+):\?", TEXT))
    assert named == set(make_secrets(bytes))
    assert not re.search(r"(TOKEN|KEY|PASSWORD): *[A-Za-z0-9]", TEXT)


def test_only_settings_that_the_service_reads_are_set() -> None:
    for name in TWICE:
        text = (ROOT / name / "settings.py").read_text("utf-8")
        for variable in SERVICES[f"{name}-1"]["environment"]:
            assert f'"{variable}"' in text, (name, variable)


def test_an_image_is_built_once_and_its_last_stage_is_no_root() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text("utf-8")
    stages = re.findall(r"^FROM (\S+)(?: AS (\w+))?$", dockerfile, re.MULTILINE)
    assert [name for _, name in stages] == ["proxy", "build", ""]
    assert {SERVICES["proxy"]["build"]["target"]} == {"proxy"}
    assert SERVICES["certificates"]["build"] == "."
    for stage in (dockerfile.split("FROM ")[1], dockerfile.split("FROM ")[3]):
        assert re.findall(r"^USER (.*)$", stage, re.MULTILINE) == ["10001:10001"]


def test_the_proxy_is_no_stricter_than_the_edge_and_no_faster_to_give_up() -> None:
    proxy = (ROOT / "deploy" / "proxy" / "haproxy.cfg").read_text("utf-8")
    seconds = {name: int(value) for name, value in re.findall(r"timeout ([a-z-]+) (\d+)s", proxy)}
    assert seconds["http-request"] == ConnectionLimits().head_seconds
    assert seconds["http-keep-alive"] < edge.main.KEEP_ALIVE_SECONDS
    assert seconds["server"] > 35
    assert f"-m int gt {BODY_LIMIT}" in proxy
    assert "retry-on conn-failure\n" in proxy, "what may have reached an edge is not sent again"
