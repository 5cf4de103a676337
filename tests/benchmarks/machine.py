"""What the figures were measured on, and with which versions."""

import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmarks.systems import ENTRIES


def describe(pythons: Mapping[str, str]) -> dict[str, str]:
    """Processor, cores, memory, system, date and versions of everything measured.

    Args:
        pythons: environment name → its interpreter.
    """
    told = {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "memory": f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30:.0f} GiB",
        "system": platform.system() + " " + platform.release(),
        "python": platform.python_version(),
    }
    for entry in ENTRIES.values():
        told[entry.library] = _version(entry.library, pythons[entry.environment])
    return told | {name: _version(name, sys.executable) for name in ("numpy", "simplejpeg")}


def sentence(machine: dict[str, str]) -> str:
    """The same in one line."""
    libraries = dict.fromkeys(entry.library for entry in ENTRIES.values())
    versions = ", ".join(f"{name} {machine[name]}" for name in [*libraries, "numpy"] if machine.get(name))
    return (
        f"{machine['date']}, {machine['cores']} cores of {machine['processor']}, {machine['memory']}, "
        f"Python {machine['python']}; {versions}"
    )


def available_memory() -> int:
    """Bytes that the page cache could take."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) << 10
    return 0


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _version(library: str, python: str) -> str:
    """A library's version in an environment; empty where it is not installed."""
    if python == sys.executable:
        try:
            return version(library)
        except PackageNotFoundError:
            return ""
    asked = f"from importlib.metadata import version; print(version({library!r}))"
    done = subprocess.run([python, "-c", asked], capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""
