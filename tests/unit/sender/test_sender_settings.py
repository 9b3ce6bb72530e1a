"""Settings: every variable, right and wrong. A wrong one is named in one sentence that holds no secret."""

import base64
import ipaddress

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sender.main import main
from sender.settings import SettingsError, read_settings

PUBLIC = Ed25519PrivateKey.from_private_bytes(b"k" * 32).public_key().public_bytes_raw()
STANDARD = base64.b64encode(PUBLIC).decode()
GOOD = {"HUBGATE_SENDER_TOKEN": "t" * 32, "HUBGATE_PERMIT_PUBLIC_KEYS": f"k1:{STANDARD}"}


def test_defaults() -> None:
    found = read_settings(GOOD)
    assert found.listen == "127.0.0.1:8072"
    assert not found.development
    assert found.allowed_private_ranges == ()
    assert found.tls_folder is None
    assert (found.metrics_listen, found.log_level) == ("", "info")
    assert found.permit_public_keys["k1"].public_bytes_raw() == PUBLIC


def test_everything_set() -> None:
    urlsafe = base64.urlsafe_b64encode(PUBLIC).decode().rstrip("=")
    found = read_settings(
        GOOD
        | {
            "HUBGATE_SENDER_LISTEN": "0.0.0.0:9000",
            "HUBGATE_PERMIT_PUBLIC_KEYS": f"k1:{STANDARD}, k2:{urlsafe}",
            "HUBGATE_ALLOWED_PRIVATE_RANGES": "10.1.0.0/16, fd00::/8, 192.168.1.5",
            "HUBGATE_ENVIRONMENT": "Development",
            "HUBGATE_SENDER_METRICS_LISTEN": "127.0.0.1:9100",
            "HUBGATE_LOG_LEVEL": "WARNING",
        }
    )
    assert found.listen == "0.0.0.0:9000"
    assert sorted(found.permit_public_keys) == ["k1", "k2"]
    assert found.allowed_private_ranges == (
        ipaddress.ip_network("10.1.0.0/16"),
        ipaddress.ip_network("fd00::/8"),
        ipaddress.ip_network("192.168.1.5/32"),
    )
    assert found.development
    assert (found.metrics_listen, found.log_level) == ("127.0.0.1:9100", "warning")


WRONG = [
    ("HUBGATE_SENDER_LISTEN", "8072"),
    ("HUBGATE_SENDER_LISTEN", "127.0.0.1:"),
    ("HUBGATE_SENDER_LISTEN", "127.0.0.1:70000"),
    ("HUBGATE_SENDER_LISTEN", ":8072"),
    ("HUBGATE_SENDER_LISTEN", "127.0.0.1:٨٠"),
    ("HUBGATE_SENDER_METRICS_LISTEN", "localhost"),
    ("HUBGATE_SENDER_TOKEN", ""),
    ("HUBGATE_SENDER_TOKEN", "short"),
    ("HUBGATE_SENDER_TOKEN", "ü" * 32),
    ("HUBGATE_SENDER_TOKEN", f"{'t' * 32},short"),
    ("HUBGATE_SENDER_TOKEN", f"{'t' * 32},{'u' * 32},{'v' * 32}"),
    ("HUBGATE_PERMIT_PUBLIC_KEYS", ""),
    ("HUBGATE_PERMIT_PUBLIC_KEYS", STANDARD),
    ("HUBGATE_PERMIT_PUBLIC_KEYS", "k1:AAAA"),
    ("HUBGATE_PERMIT_PUBLIC_KEYS", "k1:not base64!"),
    ("HUBGATE_PERMIT_PUBLIC_KEYS", f"k1:{STANDARD},k1:{STANDARD}"),
    ("HUBGATE_ALLOWED_PRIVATE_RANGES", "10.1.0.0/99"),
    ("HUBGATE_ALLOWED_PRIVATE_RANGES", "10.1.0.1/16"),
    ("HUBGATE_ALLOWED_PRIVATE_RANGES", "private"),
    ("HUBGATE_ENVIRONMENT", "staging"),
    ("HUBGATE_LOG_LEVEL", "loud"),
]


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_wrong_values_name_the_variable(name: str, value: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read_settings(GOOD | {name: value})
    sentence = str(caught.value)
    assert sentence.startswith(name)
    assert sentence.endswith(".")
    assert "\n" not in sentence


def test_the_program_ends_with_2_and_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(GOOD | {"HUBGATE_ENVIRONMENT": "staging"}) == 2
    printed = capsys.readouterr()
    assert printed.err == "HUBGATE_ENVIRONMENT must be one of: production, development.\n"
    assert printed.out == ""


def test_settings_do_not_show_the_token() -> None:
    assert "t" * 32 not in repr(read_settings(GOOD))
