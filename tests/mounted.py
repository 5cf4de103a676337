"""Mounts of the real command on the real FUSE, for tests."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

COMMAND = (sys.executable, "-m", "ropeway.cli")

_PATIENCE = 60.0
"""Seconds for a mount to come or to go, on a machine that is busy with other tests."""


def missing() -> str:
    """Why nothing can be mounted here, or the empty text."""
    if not Path("/dev/fuse").exists():
        return "there is no /dev/fuse"
    if shutil.which("fusermount3") is None:
        return "there is no fusermount3 (package fuse3)"
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        return "/dev/fuse may not be opened"
    return ""


@contextmanager
def mounted(source: str, folder: Path, *options: str) -> Iterator["subprocess.Popen[str]"]:
    """The process of a mount, which ends with the context."""
    folder.mkdir(exist_ok=True)
    command = [*COMMAND, "mount", source, str(folder), *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            wait(lambda: folder.is_mount() or process.poll() is not None)
            if process.poll() is not None:
                assert process.stderr is not None
                raise AssertionError(f"it did not mount: {process.stderr.read()}")
            yield process
        finally:
            process.terminate()
            try:
                process.wait(_PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
            subprocess.run(["fusermount3", "-uz", str(folder)], check=False, capture_output=True)


def wait(until: Callable[[], bool]) -> None:
    """Until it holds, and no longer than a mount may take."""
    end = time.monotonic() + _PATIENCE
    while not until():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)
