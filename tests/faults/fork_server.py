"""A process that has loaded the three services and forks them: a service is back a moment after it was killed.

Started as `python -m faults.fork_server`. Reads orders as JSON lines: `{"service", "environ", "log", "control",
"steps", "changes"}`; writes `{"started": pid}` for each, and `{"ended": pid, "code": …}` when one has ended. It
ends with its standard input, and all it forked with it. A child runs the service's own `main`, as `hubgate … serve`.
"""

import ctypes
import gc
import json
import os
import random
import select
import signal
import sys
import time
import traceback
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

from faults.control import Control

SERVICES = ("edge", "policycore", "sender")
_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Serves orders until standard input ends."""
    for service in SERVICES:
        import_module(f"{service}.main")
    gc.collect()
    gc.freeze()
    awake, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    _say({"ready": os.getpid()})
    unread = b""
    while True:
        readable, _, _ = select.select([0, awake], [], [])
        if awake in readable:
            os.read(awake, 4_096)
            _reap()
        if 0 in readable:
            piece = os.read(0, 1 << 16)
            if not piece:
                return
            *lines, unread = (unread + piece).split(b"\n")
            for line in lines:
                _fork(json.loads(line), (awake, wake))


def _fork(order: dict[str, Any], ours: tuple[int, ...]) -> None:
    pid = os.fork()
    if pid == 0:
        _become(order, ours)
    _say({"started": pid})


def _reap() -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        _say({"ended": pid, "code": os.waitstatus_to_exitcode(status)})


def _say(words: dict[str, int]) -> None:
    os.write(1, json.dumps(words).encode() + b"\n")


def _become(order: dict[str, Any], ours: tuple[int, ...]) -> NoReturn:
    """Turns this child into the service; never returns into the server's loop."""
    code = 70
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        for each in ours:
            os.close(each)
        os.environ.clear()
        os.environ.update(order["environ"])
        random.seed()
        _arrange(order["service"], Control(Path(order["control"])), order["steps"])
        _change(order["service"], order["changes"])
        code = import_module(f"{order['service']}.main").main()
    except BaseException:  # noqa: BLE001 - the log is the only place in which it can be told
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def _arrange(service: str, control: Control, steps: list[str]) -> None:
    """Puts the harness's hand on the service's steps and on its wall clock, in this process only."""
    numbers = {step: number for number, step in enumerate(steps)}

    def passed(step: str) -> None:
        _, wanted, left = control.read()
        if wanted != numbers.get(step):
            return
        if left > 1:
            control.arm(wanted, left - 1)
        else:
            os.kill(os.getpid(), signal.SIGKILL)

    import_module(f"{service}.steps").passed = passed  # type: ignore[attr-defined]
    place: Any = import_module(f"{service}.main")
    if service == "edge":
        place.time = SimpleNamespace(time=lambda: time.time() + control.read()[0], monotonic=time.monotonic)
    else:
        place._now = lambda: datetime.now(UTC) + timedelta(seconds=control.read()[0])


def _change(service: str, changes: dict[str, float | str]) -> None:
    """Gives constants of this service, `module:NAME`, another number, or the value of another constant."""
    for place, value in changes.items():
        module, _, name = place.partition(":")
        if module.startswith(f"{service}."):
            other, _, its_name = value.partition(":") if isinstance(value, str) else ("", "", "")
            found = getattr(import_module(other), its_name) if other else value
            setattr(import_module(module), name, found)


if __name__ == "__main__":
    main()
