"""Private folders that processes share while they pack: filled once, and gone when the last of them ends.

What is derived from raw data on the way may be as sensitive as the data itself. So it lies in a folder that only its
owner can enter, under the system's folder for temporary files (`TMPDIR`), and is removed at the end. A process that is
killed leaves it behind; the next one with the same input uses it and removes it.
"""

import atexit
import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

_HELD: dict[Path, int] = {}
"""Folder → descriptor of its lock file, on which this process has a shared lock."""


def shared(name: str, fill: Callable[[Path], None]) -> Path:
    """The folder of that name, filled by the first process that asks for it; the others wait.

    Raises:
        PermissionError: the place for such folders is not this user's alone.
    """
    place = _home() / name
    if place not in _HELD:
        _HELD[place] = _filled(place, fill)
        atexit.register(release, place)
    return place


def release(place: Path) -> None:
    """Have no more need of a folder; the last process removes it."""
    descriptor = _HELD.pop(place, None)
    if descriptor is None:
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(place, ignore_errors=True)
        _lock(place).unlink()
    except BlockingIOError:  # others use it
        pass
    finally:
        os.close(descriptor)


def _filled(place: Path, fill: Callable[[Path], None]) -> int:
    """A descriptor with a shared lock on a folder that is there."""
    while True:
        descriptor = os.open(_lock(place), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        if place.exists() and _in_force(descriptor, place):
            return descriptor
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)  # lets go of the shared lock first: two cannot wait for each other
            if not place.exists() and _in_force(descriptor, place):
                _fill(place, fill)
        finally:
            os.close(descriptor)


def _lock(place: Path) -> Path:
    return place.with_name(f"{place.name}.lock")


def _in_force(descriptor: int, place: Path) -> bool:
    """Whether a lock file is still the folder's; who removed the folder removed its lock file too."""
    try:
        return os.path.samestat(os.fstat(descriptor), _lock(place).stat())
    except FileNotFoundError:
        return False


def _fill(place: Path, fill: Callable[[Path], None]) -> None:
    for left in place.parent.glob(f"{place.name}.*.part"):  # by a process that was killed
        shutil.rmtree(left)
    partial = Path(tempfile.mkdtemp(prefix=f"{place.name}.", suffix=".part", dir=place.parent))
    try:
        fill(partial)
        partial.rename(place)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def _home() -> Path:
    home = Path(tempfile.gettempdir()) / f"ropeway-{os.getuid()}"
    home.mkdir(mode=0o700, exist_ok=True)
    state = home.lstat()
    if state.st_uid != os.getuid() or state.st_mode & 0o077:
        raise PermissionError(f"{home} must belong to this user and be closed to others: remove it, or set TMPDIR")
    return home
