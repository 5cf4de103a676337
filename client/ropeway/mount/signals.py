"""What Ctrl-C and SIGTERM do to a mount. This module imports nothing that might start a thread."""

import os
import signal
import sys
import threading
from collections.abc import Callable

_ENDING = (signal.SIGINT, signal.SIGTERM)
_INTERRUPTED = 130


class Ending:
    """Ends the process on Ctrl-C and SIGTERM, or does what it was told to do then instead.

    A thread of its own waits for them. Make one before anything else starts a thread: all inherit that these signals
    are held back. Some library's thread would get them else, and the thread that runs FUSE would sleep on.

    Attributes:
        act: what is done.
    """

    def __init__(self) -> None:
        self.act: Callable[[], object] = _leave
        signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
        threading.Thread(target=self._wait, name="ropeway-mount-end", daemon=True).start()

    def _wait(self) -> None:
        while True:
            signal.sigwait(_ENDING)
            self.act()


def end_fuse(thread: int) -> None:
    """Have FUSE end its loop, which a thread runs: SIGHUP means that to it, and it alone has this one to itself."""
    signal.pthread_kill(thread, signal.SIGHUP)


def _leave() -> None:
    sys.stderr.write("ropeway: interrupted\n")
    sys.stderr.flush()
    os._exit(_INTERRUPTED)
