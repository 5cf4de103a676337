"""A mount while it lasts: from the kernel taking it until a signal or `ropeway unmount` ends it."""

import gc
import os
import subprocess
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from ropeway.decoders.libraries import require
from ropeway.errors import UsageError
from ropeway.mount.filesystem import SIDE_BY_SIDE, FileSystem
from ropeway.mount.signals import Ending, end_fuse
from ropeway.mount.tree import Tree

FOR_EVER = 86_400
"""Seconds for which the kernel may trust what it knows: nothing in a mount ever changes."""

READ_AHEAD = 2048
"""KiB that the kernel reads ahead. It takes more than its default of 128 only from root."""

WARM = 10.0
"""Seconds that a mount may be held up until all indexes are read; a million samples take about one."""

_SIGNALLED = 8
"""What libfuse returns when a signal ended its loop."""

_LIMITED_SINCE = (3, 12)
"""The libfuse that began to limit its threads, to ten."""


def serve(tree: Tree, folder: Path, ending: Ending, ready: Callable[[], None]) -> None:
    """Mount a tree on a folder, and return when it is unmounted: by Ctrl-C, by SIGTERM, or by `unmount`.

    Args:
        tree: what is shown.
        folder: an empty one.
        ending: of this process.
        ready: is called once it is mounted.

    Raises:
        UsageError: the folder or this machine can't be mounted on.
    """
    library = _library()
    check_folder(folder)
    main = threading.get_ident()

    tree.warm(WARM)
    gc.freeze()  # what is there now stays: collections need not go through all of it while files are read

    def end() -> None:  # reads that wait for a store fail at once, so that FUSE's own way to end is free
        tree.close()
        end_fuse(main)

    def mounted() -> None:
        threading.Thread(target=_read_ahead, args=(folder,), name="ropeway-mount-ahead", daemon=True).start()
        ending.act = end
        ready()

    try:
        library.FUSE(
            FileSystem(tree, mounted), str(folder), foreground=True, fsname="ropeway", subtype="ropeway", ro=True,
            nosuid=True, nodev=True, noexec=True, default_permissions=True, kernel_cache=True, entry_timeout=FOR_EVER,
            attr_timeout=FOR_EVER, **_threads(library),
        )  # fmt: skip
    except RuntimeError as error:
        if error.args == (_SIGNALLED,):
            return
        raise UsageError("FUSE refused the mount and said why above", url=folder.as_uri()) from error
    finally:
        tree.close()


def unmount(folder: Path) -> None:
    """Unmount what is mounted on a folder, also when its process is gone.

    Raises:
        UsageError: nothing is, or somebody uses it.
    """
    try:
        done = subprocess.run(["fusermount3", "-u", str(folder)], capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise UsageError("no `fusermount3` here: install your system's package fuse3") from error
    if done.returncode:
        raise UsageError(_why_not(done.stderr.strip().removeprefix("fusermount3: ")), url=folder.as_uri())


def _why_not(told: str) -> str:
    """Why fusermount3 could not unmount, from its words for it."""
    if "busy" in told:
        return f"{told}; `lsof +D` names who uses it"
    if "Invalid argument" in told or "not found in" in told:
        return "nothing is mounted there"
    return told


def check_folder(folder: Path) -> None:
    """Raise UsageError when a folder can't be mounted on."""
    try:
        empty = not any(folder.iterdir())
    except OSError as error:
        dead = "a mount whose process is gone: run `ropeway unmount` first"
        told = {FileNotFoundError: "no such folder: make it first", NotADirectoryError: "not a folder"}
        raise UsageError(told.get(type(error), dead), url=folder.as_uri()) from error
    if not empty:
        raise UsageError("not empty: give a folder that nothing is in, or mounted on", url=folder.as_uri())


def _library() -> Any:
    """mfusepy, bound to FUSE 3: by itself it prefers FUSE 2 where both are installed, and this is all it listens to."""
    os.environ.setdefault("FUSE_LIBRARY_NAME", "fuse3")
    try:
        library = require("mfusepy", "mount")
    except OSError as error:
        raise UsageError("no libfuse3 on this machine: install your system's package fuse3") from error
    if library.fuse_version_major != 3:
        raise UsageError("FUSE 2 was asked for (FUSE_LIBRARY_NAME): this needs FUSE 3")
    if not Path("/dev/fuse").exists():
        raise UsageError("no /dev/fuse: this system or container has no FUSE; a container needs --device /dev/fuse "
                         "and --cap-add SYS_ADMIN")  # fmt: skip
    return library


def _threads(library: Any) -> dict[str, int]:
    """Options for as many threads as there may be requests; older libraries start them without a limit."""
    limited = (library.fuse_version_major, library.fuse_version_minor) >= _LIMITED_SINCE
    return {"max_idle_threads": SIDE_BY_SIDE} | ({"max_threads": SIDE_BY_SIDE} if limited else {})


def _read_ahead(folder: Path) -> None:
    """Have the kernel read further ahead, where we may: fewer, larger requests."""
    device = folder.stat().st_dev
    with suppress(OSError):  # not root, or /sys is read-only
        Path(f"/sys/class/bdi/{os.major(device)}:{os.minor(device)}/read_ahead_kb").write_text(f"{READ_AHEAD}")
