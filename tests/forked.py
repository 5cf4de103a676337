"""Work in a forked child, as a DataLoader's workers do theirs."""

import os
import signal
from collections.abc import Callable


def in_fork(work: Callable[[], object]) -> str:
    """What `work` says in a forked child: `ok`, or its error. A child that hangs is ended by an alarm."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, 30)
        try:
            work()
            said = "ok"
        except BaseException as error:  # noqa: BLE001 - told to the parent
            said = f"{type(error).__name__}: {error}"
        os.write(writing, said.encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as answer:
        said = answer.read()
    _, status = os.waitpid(child, 0)
    assert status == 0, f"the child ended with status {status}"
    return said
