"""`hubgate up --demo` from start to stop, as a person and as a script meet it."""

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).resolve().parents[3]
EXAMPLE = {
    "event_type": "outbound_message",
    "to": "+966500000000",
    "message_text": "Your support ticket has been updated.",
    "message_purpose": "support",
    "conversation_id": "3cx-chat-123",
    "agent_extension": "101",
}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Up:
    """A running `hubgate up`, and the command line beside it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "data"
        self.port = free_port()
        self.environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "PYTHONPATH": f"{ROOT}:{ROOT / 'proto/gen'}",
            "HUBGATE_DATA": str(self.folder),
            "HUBGATE_PORT": str(self.port),
        }
        self.output = folder / "up.out"
        self.process: subprocess.Popen[bytes] | None = None
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", trust_env=False, timeout=10)

    def start(self, *arguments: str) -> None:
        """Starts it and waits until it is ready."""
        with self.output.open("wb") as output:
            command = [sys.executable, "-m", "cli.main", "up", *arguments]
            self.process = subprocess.Popen(command, env=self.environ, cwd=ROOT, stdout=output, stderr=output)
        self.wait_ready()

    def wait_ready(self) -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            assert self.process is not None
            assert self.process.poll() is None, self.output.read_text()
            try:
                if self.client.get("/readyz").status_code == 200:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.05)
        raise AssertionError(f"not ready: {self.output.read_text()}")

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Ends it; returns its exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(30)

    def run(self, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        """Runs another command."""
        return subprocess.run(
            [sys.executable, "-m", "cli.main", *arguments],
            env={**self.environ, **environ},
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def demo(self) -> dict[str, str]:
        found: dict[str, str] = json.loads((self.folder / "demo.json").read_text())
        return found

    def parts(self) -> dict[str, int]:
        """Process ids of the services, by name."""
        assert self.process is not None
        found = {}
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit():
                try:
                    command = (folder / "cmdline").read_text().split("\0")
                except OSError:
                    continue
                if "cli.part" in command and str(self.process.pid) in command:
                    found[command[command.index("cli.part") + 1].partition(".")[0]] = int(folder.name)
        return found

    def post_reply(self, demo: dict[str, str]) -> httpx.Response:
        return self.client.post(
            f"/integrations/3cx/webhook/{demo['integration_id']}",
            json=EXAMPLE,
            headers={"X-WhatsApp-Gateway-3CX-Secret": demo["secret"]},
        )

    def post_sms(self, demo: dict[str, str]) -> httpx.Response:
        for _ in range(60):
            answer = self.client.post(
                f"/integrations/3cx/sms/{demo['integration_id']}",
                json={"from": "+966110000000", "to": EXAMPLE["to"], "text": "It leaves today."},
                headers={"Authorization": f"Bearer {demo['sms_api_key']}"},
            )
            # A new key is known at the edge within a second.
            if answer.status_code != 401:
                break
            time.sleep(0.05)
        return answer

    def close(self) -> None:
        self.client.close()
        if self.process is not None and self.process.poll() is None:
            self.stop()


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Up]:
    running = Up(tmp_path)
    yield running
    running.close()


def test_the_demo_from_start_to_stop_and_again(up: Up) -> None:
    up.start("--demo")
    demo = up.demo()
    assert sorted(demo) == [
        "admin_token",
        "api_key",
        "base_url",
        "instance_id",
        "integration_id",
        "policycore_address",
        "secret",
        "sms_api_key",
    ]
    assert demo["base_url"] == f"http://127.0.0.1:{up.port}"
    refused = up.post_reply(demo)
    assert (refused.status_code, refused.json()["error"]) == (409, "conversation_window_closed")
    written = up.client.post(
        f"/sandbox/{demo['instance_id']}/messages", json={"from": "+966500000000", "text": "Where is it?"}
    )
    assert written.status_code == 200
    sent = up.post_reply(demo)
    assert (sent.status_code, sent.json()["status"]) == (200, "sent")
    assert up.post_sms(demo).status_code == 200
    doctor = up.run("doctor", "--json")
    assert doctor.returncode == 0, doctor.stdout
    assert json.loads(doctor.stdout)["healthy"] is True
    decisions = json.loads(up.run("decisions", "list", "--json").stdout)
    assert [each["decision"]["verdict"] for each in decisions] == [
        "VERDICT_ALLOW",
        "VERDICT_ALLOW",
        "VERDICT_DENY",
    ]
    assert "+966500000000" not in json.dumps(decisions)
    text = up.output.read_text()
    assert f"/integrations/3cx/webhook/{demo['integration_id']}" in text
    assert demo["secret"] in text
    parts = up.parts()
    assert sorted(parts) == ["edge", "policycore", "sender"]
    assert up.stop(signal.SIGINT) == 0
    assert up.parts() == {}
    assert not (up.folder / "run.json").exists()
    # A demo from before there was such a key gets one, and keeps the rest.
    before = {name: value for name, value in demo.items() if name != "sms_api_key"}
    (up.folder / "demo.json").write_text(json.dumps(before))
    up.start("--demo")
    made = {name: up.demo()[name] for name in ("policycore_address", "sms_api_key")}
    assert up.demo() == {**demo, **made}
    assert made["sms_api_key"] != demo["sms_api_key"]
    assert up.post_sms(up.demo()).status_code == 200
    assert up.post_reply(demo).json()["status"] == "sent"


def test_only_the_owner_may_read_the_data(up: Up) -> None:
    up.start("--demo")
    assert stat.S_IMODE(up.folder.stat().st_mode) == 0o700
    for path in up.folder.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
    logs = "".join(path.read_text("utf-8", "replace") for path in (up.folder / "logs").iterdir())
    for name in ("master.key", "permit.key", "edge.token", "admin.token", "sender.token"):
        assert (up.folder / name).read_text().strip().rpartition(":")[2] not in logs
    assert up.demo()["secret"] not in logs


def test_a_part_that_dies_is_started_again(up: Up) -> None:
    up.start("--demo")
    demo = up.demo()
    before = up.parts()
    for name in ("policycore", "sender", "edge"):
        os.kill(before[name], signal.SIGKILL)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and (
        len(up.parts()) < 3 or set(up.parts().values()) & set(before.values())
    ):
        time.sleep(0.1)
    up.wait_ready()
    assert not set(up.parts().values()) & set(before.values())
    assert up.post_reply(demo).json()["error"] == "conversation_window_closed"
    assert "policycore ended by signal SIGKILL; it is started again" in up.output.read_text()


def test_the_services_do_not_outlive_it(up: Up) -> None:
    up.start()
    pids = set(up.parts().values())
    assert len(pids) == 3
    assert up.process is not None
    up.process.kill()
    up.process.wait()
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and any(_alive(pid) for pid in pids):
        time.sleep(0.05)
    assert not [pid for pid in pids if _alive(pid)]


def test_two_on_one_folder_or_one_port_refuse_clearly(up: Up, tmp_path: Path) -> None:
    up.start()
    same_folder = up.run("up", "--port", str(free_port()))
    assert same_folder.returncode == 2
    assert "Another `hubgate up`" in same_folder.stderr
    same_port = up.run("up", "--data", str(tmp_path / "other"))
    assert same_port.returncode == 2
    assert "HUBGATE_PORT" in same_port.stderr
    assert str(up.port) in same_port.stderr
    assert "Traceback" not in same_folder.stderr + same_port.stderr


def test_without_the_demo_there_is_nothing_in_it(up: Up) -> None:
    up.start()
    assert json.loads(up.run("account", "list", "--json").stdout) == []
    assert not (up.folder / "demo.json").exists()
    assert up.client.get("/sandbox/ins_x/messages").status_code in {401, 403, 404}


def test_wrong_settings_stop_it_with_one_sentence(up: Up) -> None:
    wrong: list[tuple[dict[str, str], str]] = [
        ({"HUBGATE_MASTER_KEY": "not base64!"}, "HUBGATE_MASTER_KEY"),
        ({"HUBGATE_TRUSTED_PROXIES": "nonsense"}, "HUBGATE_TRUSTED_PROXIES"),
        ({"HUBGATE_DATABASE_URL": "mysql://localhost/x"}, "HUBGATE_DATABASE_URL"),
        ({"HUBGATE_PERMIT_KEY": "k:xx"}, "HUBGATE_PERMIT_KEY"),
    ]
    for environ, name in wrong:
        ended = up.run("up", **environ)
        assert ended.returncode == 2, (name, ended.stderr)
        assert name in ended.stderr
        assert "Traceback" not in ended.stderr


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in {"Z", "X"}
    except OSError:
        return False
