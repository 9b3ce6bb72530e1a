"""The supervisor, with small programs in the services' place and a clock of the test's own."""

import sys
import time
from pathlib import Path

import pytest

from cli.errors import CliError, ExitCode
from cli.supervisor import STOP_SECONDS, Part, Supervisor
from cli.up import environ_of


class Script:
    """Writes a module that `cli.part` can run, and makes a part of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.now = 0.0
        self.told: list[str] = []
        self.supervisor = Supervisor(tell=self.told.append, monotonic=lambda: self.now, sleep=self.sleep)

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        time.sleep(0.005)

    def part(self, name: str, code: str, *, hold: bool = False) -> Part:
        (self.folder / f"{name}.py").write_text(code)
        paths = [str(self.folder), *(path for path in sys.path if path)]
        environ = {"PYTHONPATH": ":".join(paths), "PATH": "/usr/bin:/bin"}
        return Part(name, name, environ, self.folder / f"{name}.log", hold=hold)

    def wait_for_end(self, part: Part) -> None:
        assert part.process is not None
        part.process.wait(20)

    def wait_for_words(self, part: Part, words: str) -> None:
        deadline = time.monotonic() + 20
        while words not in part.last_words():
            assert time.monotonic() < deadline, part.last_words()
            time.sleep(0.01)


@pytest.fixture
def script(tmp_path: Path) -> Script:
    return Script(tmp_path)


PATIENT = "import time\nprint('running', flush=True)\ntime.sleep(60)\n"
STUBBORN = "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + PATIENT


def test_what_dies_is_started_again_later_and_later(script: Script) -> None:
    part = script.supervisor.start(script.part("failing_part", "import sys\nprint('oh no')\nsys.exit(3)\n"))
    waits = []
    for _ in range(8):
        script.wait_for_end(part)
        script.supervisor.look()
        assert part.start_again_at is not None
        waits.append(round(part.start_again_at - script.now, 3))
        old = part.process
        script.now = part.start_again_at - 0.01
        script.supervisor.look()
        assert part.process is old
        script.now += 0.01
        script.supervisor.look()
        assert part.process is not old
    script.wait_for_end(part)
    assert waits == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0]
    assert "failing_part ended with exit code 3" in script.told[0]
    assert "oh no" in script.told[0]


def test_who_lived_well_is_started_again_at_once(script: Script) -> None:
    part = script.supervisor.start(script.part("tired_part", "import sys\nsys.exit(1)\n"))
    part.wait_seconds = 10.0
    script.now += 31
    script.wait_for_end(part)
    script.supervisor.look()
    assert part.start_again_at == pytest.approx(script.now + 0.2)


def test_wrong_settings_are_not_tried_again(script: Script) -> None:
    code = "import sys\nsys.stderr.write('HUBGATE_X must be y.\\n')\nsys.exit(2)\n"
    part = script.supervisor.start(script.part("misled_part", code))
    script.wait_for_end(part)
    with pytest.raises(CliError, match=r"HUBGATE_X must be y\.") as caught:
        script.supervisor.look()
    assert caught.value.code is ExitCode.USAGE


def test_all_are_stopped_and_the_stubborn_killed(script: Script) -> None:
    stubborn = script.supervisor.start(script.part("stubborn_part", STUBBORN))
    patient = script.supervisor.start(script.part("patient_part", PATIENT))
    for part in (stubborn, patient):
        script.wait_for_words(part, "running")
    script.supervisor.stop(at_once=lambda: False)
    assert patient.process is not None
    assert stubborn.process is not None
    assert (patient.process.returncode, stubborn.process.returncode) == (-15, -9)
    assert script.now >= STOP_SECONDS
    assert script.told == ["stubborn_part did not stop in time and is killed."]


def test_a_second_signal_does_not_wait(script: Script) -> None:
    stubborn = script.supervisor.start(script.part("hasty_part", STUBBORN))
    script.wait_for_words(stubborn, "running")
    script.supervisor.stop(at_once=lambda: True)
    assert script.now < STOP_SECONDS
    assert stubborn.process is not None
    assert stubborn.process.returncode == -9


def test_a_held_part_waits_until_it_is_released(script: Script) -> None:
    part = script.supervisor.start(
        script.part("held_part", "if __name__ == '__main__':\n    print('running')\n", hold=True)
    )
    assert part.process is not None
    time.sleep(0.3)
    assert part.process.poll() is None
    assert "running" not in part.last_words()
    part.release()
    script.wait_for_end(part)
    assert part.last_words() == "running"


def test_long_logs_are_cut(script: Script) -> None:
    part = script.supervisor.start(script.part("talking_part", PATIENT))
    script.wait_for_words(part, "running")
    with part.log.open("ab") as log:
        log.truncate(21 * 1024 * 1024)
    script.now += 11
    script.supervisor.look()
    assert part.log.stat().st_size == 0
    assert part.log.with_suffix(".log.1").stat().st_size == 21 * 1024 * 1024
    script.supervisor.stop(at_once=lambda: False)


def test_each_part_gets_its_own_secrets_only() -> None:
    environ = {
        "HUBGATE_MASTER_KEY": "m",
        "HUBGATE_PERMIT_KEY": "p",
        "HUBGATE_EDGE_TOKEN": "e",
        "HUBGATE_ADMIN_TOKEN": "a",
        "HUBGATE_SENDER_TOKEN": "s",
        "HUBGATE_DATABASE_URL": "d",
        "HUBGATE_TOKEN": "t",
        "HUBGATE_LOG_LEVEL": "info",
        "PATH": "/bin",
    }
    shared = {"HUBGATE_LOG_LEVEL", "PATH"}
    assert set(environ_of("edge", environ)) == shared | {"HUBGATE_EDGE_TOKEN"}
    assert set(environ_of("sender", environ)) == shared | {"HUBGATE_SENDER_TOKEN"}
    assert set(environ_of("policycore", environ)) == set(environ) - {"HUBGATE_TOKEN"}
