"""The edge's settings: defaults, every variable, and one clear sentence for each wrong value."""

from ipaddress import ip_network
from pathlib import Path

import pytest

from edge.errors import SettingsError
from edge.settings import Listen, Settings, read_settings

TOKEN = {"HUBGATE_EDGE_TOKEN": "tok_1"}


def test_defaults() -> None:
    assert read_settings(TOKEN) == Settings(token="tok_1")
    settings = read_settings(TOKEN | {"HUBGATE_SANDBOX": "", "HUBGATE_EDGE_LISTEN": " "})
    assert settings.listen == Listen("127.0.0.1", 8080)
    assert (settings.sandbox, settings.environment, settings.log_level) == ("off", "production", "info")
    assert settings.metrics_listen is None
    assert (settings.tls_folder, settings.leave_seconds) == (None, 0)


def test_in_production_the_sandbox_is_off_unless_it_is_switched_on() -> None:
    production = TOKEN | {"HUBGATE_ENVIRONMENT": "production"}
    assert read_settings(production).sandbox == "off"
    assert read_settings(production | {"HUBGATE_SANDBOX": "open"}).sandbox == "open"


@pytest.mark.parametrize("host", ["0.0.0.0", "[::]", "192.0.2.1", "edge.example.com"])
def test_an_open_sandbox_is_for_the_loopback_address(host: str) -> None:
    elsewhere = TOKEN | {"HUBGATE_EDGE_LISTEN": f"{host}:8080"}
    for environment in ("development", "production"):
        with pytest.raises(SettingsError, match="HUBGATE_SANDBOX"):
            read_settings(elsewhere | {"HUBGATE_SANDBOX": "open", "HUBGATE_ENVIRONMENT": environment})
    assert read_settings(elsewhere | {"HUBGATE_SANDBOX": "admin"}).sandbox == "admin"
    for near in ("127.0.0.1", "127.0.0.9", "[::1]", "localhost"):
        here = TOKEN | {"HUBGATE_EDGE_LISTEN": f"{near}:8080", "HUBGATE_SANDBOX": "open"}
        assert read_settings(here).sandbox == "open"


def test_every_variable() -> None:
    settings = read_settings(
        TOKEN
        | {
            "HUBGATE_EDGE_LISTEN": "[::1]:9000",
            "HUBGATE_POLICYCORE_ADDRESS": "core.internal:8071",
            "HUBGATE_TRUSTED_PROXIES": "10.0.0.1, 2001:db8::/32",
            "HUBGATE_EDGE_METRICS_LISTEN": "127.0.0.1:9100",
            "HUBGATE_SANDBOX": "Admin",
            "HUBGATE_ENVIRONMENT": "production",
            "HUBGATE_LOG_LEVEL": "warning",
            "HUBGATE_TLS_FOLDER": "/run/tls",
            "HUBGATE_EDGE_LEAVE_SECONDS": "3",
            "HUBGATE_PUBLIC_URL": "https://gateway.example.com/",
        }
    )
    assert (settings.tls_folder, settings.leave_seconds) == (Path("/run/tls"), 3)
    assert settings.public_url == "https://gateway.example.com"
    assert settings.listen == Listen("::1", 9000)
    assert settings.policycore_address == "core.internal:8071"
    assert settings.trusted_proxies == (ip_network("10.0.0.1"), ip_network("2001:db8::/32"))
    assert settings.metrics_listen == Listen("127.0.0.1", 9100)
    assert (settings.sandbox, settings.environment, settings.log_level) == ("admin", "production", "warning")


def test_a_socket_file_may_lead_to_the_policy_core() -> None:
    settings = read_settings(TOKEN | {"HUBGATE_POLICYCORE_ADDRESS": "unix:/run/hubgate/core.sock"})
    assert settings.policycore_address == "unix:/run/hubgate/core.sock"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HUBGATE_EDGE_TOKEN", ""),
        ("HUBGATE_EDGE_TOKEN", "tök"),
        ("HUBGATE_EDGE_TOKEN", "a\nb"),
        ("HUBGATE_EDGE_LISTEN", "8080"),
        ("HUBGATE_EDGE_LISTEN", ":8080"),
        ("HUBGATE_EDGE_LISTEN", "127.0.0.1:http"),
        ("HUBGATE_EDGE_LISTEN", "127.0.0.1:65536"),
        ("HUBGATE_POLICYCORE_ADDRESS", "core"),
        ("HUBGATE_EDGE_METRICS_LISTEN", "9100"),
        ("HUBGATE_TRUSTED_PROXIES", "10.0.0.1, proxy.internal"),
        ("HUBGATE_SANDBOX", "yes"),
        ("HUBGATE_ENVIRONMENT", "prod"),
        ("HUBGATE_LOG_LEVEL", "loud"),
        ("HUBGATE_EDGE_LEAVE_SECONDS", "-1"),
        ("HUBGATE_EDGE_LEAVE_SECONDS", "61"),
        ("HUBGATE_EDGE_LEAVE_SECONDS", "soon"),
        ("HUBGATE_PUBLIC_URL", "gateway.example.com"),
        ("HUBGATE_PUBLIC_URL", "https://user:word@gateway.example.com"),
    ],
)
def test_a_wrong_value_is_named_in_one_sentence(name: str, value: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read_settings(TOKEN | {name: value})
    sentence = str(caught.value)
    assert sentence.startswith(name)
    assert sentence.endswith(".")
    assert "\n" not in sentence


def test_the_token_is_not_shown() -> None:
    assert "tok_1" not in repr(read_settings(TOKEN))


def test_of_two_tokens_the_first_is_shown() -> None:
    assert read_settings({"HUBGATE_EDGE_TOKEN": "tok_new, tok_old"}).token == "tok_new"
