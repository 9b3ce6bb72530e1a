"""What `hubgate up` decides before it starts anything."""

import base64
import os
import socket
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from cli.data_folder import DataFolder
from cli.demo import print_demo
from cli.errors import CliError, ExitCode
from cli.layout import Layout, make_layout, public_key
from policycore.settings import read_settings
from sender.settings import read_settings as read_sender_settings

pytestmark = pytest.mark.allow_sockets  # finding free ports means binding them


def _layout(folder: Path, host: str = "127.0.0.1", *, demo: bool = True, **environ: str) -> Layout:
    data = DataFolder(folder)
    data.create()
    with socket.create_server((host if ":" not in host else "127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    return make_layout(data, environ, host, port, os.urandom, demo=demo)


def test_the_services_understand_what_they_are_given(tmp_path: Path) -> None:
    layout = _layout(tmp_path)
    settings = read_settings(layout.environ)
    assert settings.listen == layout.policycore_address
    assert settings.sender_addresses == (layout.sender_address,)
    assert settings.admin_tokens == (layout.admin_token,)
    assert settings.database_url.endswith(f"{tmp_path}/hubgate.db")
    sender = read_sender_settings(layout.environ)
    assert list(sender.permit_public_keys) == [settings.permit_key.key_id]


def test_keys_stay_from_run_to_run(tmp_path: Path) -> None:
    first, second = _layout(tmp_path), _layout(tmp_path)
    for name in ("MASTER_KEY", "PERMIT_KEY", "EDGE_TOKEN", "ADMIN_TOKEN", "SENDER_TOKEN"):
        assert first.environ[f"HUBGATE_{name}"] == second.environ[f"HUBGATE_{name}"]


def test_what_the_environment_says_wins(tmp_path: Path) -> None:
    key = base64.b64encode(bytes(32)).decode()
    layout = _layout(
        tmp_path, HUBGATE_MASTER_KEY=key, HUBGATE_DATABASE_URL="postgresql://h/d", HUBGATE_LOG_LEVEL=" "
    )
    assert layout.environ["HUBGATE_MASTER_KEY"] == key
    assert layout.environ["HUBGATE_DATABASE_URL"] == "postgresql://h/d"
    assert "HUBGATE_LOG_LEVEL" not in layout.environ


def test_one_machine_needs_no_certificates(tmp_path: Path) -> None:
    layout = _layout(tmp_path, HUBGATE_TLS_FOLDER="/run/tls")
    assert read_settings(layout.environ).tls_folder is None
    assert read_sender_settings(layout.environ).tls_folder is None


@pytest.mark.parametrize(
    ("host", "demo", "mode"),
    [("127.0.0.1", True, "open"), ("127.0.0.1", False, "admin"), ("0.0.0.0", True, "admin")],
)
def test_the_sandbox_is_open_on_the_loopback_demo_only(
    tmp_path: Path, host: str, demo: bool, mode: str
) -> None:
    layout = _layout(tmp_path, host, demo=demo)
    assert layout.environ["HUBGATE_SANDBOX"] == mode
    assert layout.base_url.startswith("http://127.0.0.1:")


def test_services_move_aside_when_their_ports_are_taken(tmp_path: Path) -> None:
    taken = []
    for port in (8071, 8072):
        try:
            taken.append(socket.create_server(("127.0.0.1", port)))
        except OSError:
            continue  # somebody else has it, which is just as good
    try:
        layout = _layout(tmp_path)
    finally:
        for listener in taken:
            listener.close()
    ports = {address.rpartition(":")[2] for address in (layout.policycore_address, layout.sender_address)}
    assert len(ports) == 2
    assert not ports & {"8071", "8072"}


@pytest.mark.parametrize("port", [None, 70_000])
def test_the_edges_port_is_not_moved(tmp_path: Path, port: int | None) -> None:
    folder = DataFolder(tmp_path)
    folder.create()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        wanted = port or listener.getsockname()[1]
        with pytest.raises(CliError, match=str(wanted)) as caught:
            make_layout(folder, {}, "127.0.0.1", wanted, os.urandom, demo=True)
    assert caught.value.code is ExitCode.USAGE


def test_the_public_half_of_a_permit_key() -> None:
    name, _, encoded = public_key("k1:" + base64.b64encode(bytes(range(32))).decode()).partition(":")
    assert name == "k1"
    Ed25519PublicKey.from_public_bytes(base64.b64decode(encoded))
    for wrong in ("k1", "k1:", "k1:%%%", "k1:" + base64.b64encode(b"short").decode()):
        with pytest.raises(CliError, match="HUBGATE_PERMIT_KEY"):
            public_key(wrong)


def test_the_demo_shows_the_token_where_it_is_needed(capsys: pytest.CaptureFixture[str]) -> None:
    demo = {
        "base_url": "http://127.0.0.1:8080",
        "integration_id": "int_1",
        "secret": "the-secret",
        "instance_id": "ins_1",
        "admin_token": "the-token",
        "sms_api_key": "sms_key",
    }
    print_demo(demo, open_sandbox=True)
    shown = capsys.readouterr().out
    assert "the-token" not in shown
    assert "/integrations/3cx/webhook/int_1" in shown
    assert "/integrations/3cx/sms/int_1" in shown and "Bearer sms_key" in shown
    assert '"message_text": "Your support ticket has been updated."' in shown
    print_demo(demo, open_sandbox=False)
    assert capsys.readouterr().out.count("Authorization: Bearer the-token") == 3
