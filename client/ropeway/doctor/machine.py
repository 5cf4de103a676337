"""This host: versions, processors and memory, open files, FUSE, GPU."""

import importlib.util
import os
import platform
import resource
import shutil
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from ropeway.doctor import gpu
from ropeway.doctor.finding import Finding

_FILES = 1024
"""Open files that a busy loader may want: a connection per request, a descriptor per mapped shard."""

_PARTS = ("torch", "pydicom", "nibabel", "pyedflib", "av", "h5py", "mfusepy", "fastapi", "distributed")
"""Libraries of the extras, told where they are there."""


def checks() -> Iterator[Finding]:
    """All checks of this host."""
    yield _versions()
    yield _requirements()
    yield _processors()
    yield _files()
    yield fuse(Path("/dev/fuse"))
    yield gpu.judged(gpu.look())


def _versions() -> Finding:
    there = [
        f"{name} {found}" for name in ("numpy", "pyarrow", "obstore", "duckdb", *_PARTS) if (found := _installed(name))
    ]
    python = f"Python {platform.python_version()} on {platform.system()} {platform.machine()}"
    return Finding(
        "versions", "good", f"ropeway {_installed('ropeway') or '(not installed)'}, {python}, {', '.join(there)}"
    )


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _requirements() -> Finding:
    """Whether what is installed is what this release asks for."""
    from packaging.requirements import Requirement

    wrong = []
    for line in requires("ropeway") or ():
        wanted = Requirement(line)
        if wanted.marker is not None and not wanted.marker.evaluate({"extra": ""}):
            continue
        found = _installed(wanted.name)
        if found is None or not wanted.specifier.contains(found, prereleases=True):
            wrong.append(f"{wanted.name} {found or 'missing'} (wanted {wanted.specifier})")
    if wrong:
        return Finding("requirements", "bad", ", ".join(wrong), "pip install --upgrade ropeway")
    return Finding("requirements", "good", "all there, in versions that fit")


def _processors() -> Finding:
    cores = len(os.sched_getaffinity(0))
    memory = _memory()
    told = f"{cores} of {os.cpu_count()} cores, {memory / 1e9:.1f} GB of memory"
    if memory < 4e9:
        return Finding("machine", "slow", told, "a loader holds up to 2 GiB by default: give it a smaller memory=")
    return Finding("machine", "good", told)


def _memory() -> int:
    """Bytes that this process may have: the machine's, or the container's where that is less."""
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = Path("/sys/fs/cgroup/memory.max")
    text = limit.read_text().strip() if limit.is_file() else "max"
    return min(whole, int(text)) if text.isdecimal() else whole


def _files() -> Finding:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < _FILES:
        return Finding("open files", "slow", f"up to {soft:,} (at most {hard:,})", f"ulimit -n {min(hard, 65_536)}")
    return Finding("open files", "good", f"up to {soft:,}")


def fuse(device: Path) -> Finding:
    """Whether `ropeway mount` can work."""
    missing = []
    if not device.exists():
        missing.append(f"{device} is not there: load the kernel's fuse module, or start the container with --device")
    elif not os.access(device, os.R_OK | os.W_OK):
        missing.append(f"{device} may not be opened: allow this user to read and write it")
    if shutil.which("fusermount3") is None:
        missing.append("fusermount3 is missing: install fuse3")
    if importlib.util.find_spec("mfusepy") is None:
        missing.append("pip install 'ropeway[mount]'")
    if missing:
        return Finding("FUSE", "unknown", "ropeway mount would not work here", "; ".join(missing))
    return Finding("FUSE", "good", "ropeway mount works here")
