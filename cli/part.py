"""Owns the life of one service under `hubgate up`: it runs the service, and never outlives who started it.

Started as `python -m cli.part MODULE PARENT_PID`.
"""

import ctypes
import os
import runpy
import signal
import sys
import threading
import time

_PR_SET_PDEATHSIG = 1
_WATCH_SECONDS = 1.0


def main(arguments: list[str]) -> None:
    """Binds this process's life to its parent's, then becomes the service."""
    module, parent = arguments[0], int(arguments[1])
    if sys.platform == "linux":
        # prctl(2): the kernel sends this signal when the thread that started us ends, however it ends.
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    else:
        threading.Thread(target=_watch, args=(parent,), daemon=True).start()
    if os.getppid() != parent:
        sys.exit(1)
    sys.argv = [module]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_WATCH_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main(sys.argv[1:])
