"""Raw files, damaged at random: packing ends with a named error, a counted sample or a pack that verifies. Never with
another exception, a hang, a crash or memory beyond a bound. Packed as `ropeway pack` does it: in a process apart."""

import os
import shutil
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apart_packing import grown, ready
from raw_trees import raw_trees
from ropeway.catalog import StoreCatalog
from ropeway.stores.local import LocalStore
from ropeway.verify import verify
from ropeway_shardgen.adapters import adapters
from ropeway_shardgen.apart import Apart
from ropeway_shardgen.attempts import attempts
from ropeway_shardgen.reading import Limit
from ropeway_shardgen.recipe import available, load
from shardgen_raw import real_root

FEW = 4
EXAMPLES = int(os.environ.get("ROPEWAY_FUZZ", FEW))
"""Per recipe. `make fuzz` sets more; the few of the suite are the same in every run."""

GROWTH = 1 << 30
"""Bytes of memory that a damaged file may not cost: raw trees are a thousand times smaller."""


REAL = ("ecg-dicom", "pbmc68k")
"""Recipes over real files, for the adapters that no tree needs."""


SECONDS = 10.0
"""For a damaged file: enough to import what reads it, too."""


@pytest.fixture(scope="module" if EXAMPLES == FEW else "function")  # with many, some end the process
def apart() -> Iterator[Apart]:
    with Apart(None) as process:
        process.call(Limit(), ready, told=lambda: None)
        yield process


@cache
def recipes() -> dict[str, str]:
    """Recipe → its adapters: enough recipes for all adapters that trees exercise; with many examples, all recipes."""
    trees, chosen, covered = raw_trees(), dict[str, str](), set[str]()
    for recipe in available():
        used = {part.adapter for part in recipe.parts.values()} | {recipe.source.adapter or "table"}
        if recipe.id in (*trees, *REAL) and (EXAMPLES > FEW or used - covered):
            covered |= used
            chosen[recipe.id] = ", ".join(sorted(used))
    return chosen


def test_every_adapter_is_damaged() -> None:
    told = {name for used in recipes().values() for name in used.split(", ")}
    # A copy of what another has read; of no built-in recipe, and damaged in tests of their own
    assert set(adapters()) - told == {"raw", "columns", "hdf5"}


@st.composite
def damage(draw: st.DrawFn) -> tuple[float, str, float, bytes]:
    """Which file (as a share of all), and what happens to it where."""
    return (
        draw(st.floats(0, 1, exclude_max=True)),
        draw(st.sampled_from(["cut", "flip", "zeros", "insert", "empty"])),
        draw(st.floats(0, 1, exclude_max=True)),
        draw(st.binary(min_size=1, max_size=8)),
    )


def spoil(content: bytes, how: str, where: float, noise: bytes) -> bytes:
    at = int(where * len(content))
    match how:
        case "cut":
            return content[:at]
        case "flip":
            return content[:at] + noise + content[at + len(noise) :]
        case "zeros":
            return content[:at] + bytes(64) + content[at + 64 :]
        case "insert":
            return content[:at] + noise + content[at:]
        case _:
            return b""


_SCRATCH = TemporaryDirectory()


@cache
def tree(name: str) -> Path:
    """A recipe's raw files, written once."""
    folder = Path(_SCRATCH.name, name)
    folder.mkdir()
    if name in REAL:
        for path in load(name).source.files:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(real_root() / path, folder / path)
    else:
        raw_trees()[name](folder)
    return folder


@pytest.mark.parametrize("name", recipes())
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=EXAMPLES == FEW,
    suppress_health_check=list(HealthCheck),
    database=None,
)
@given(what=damage())
def test_damaged_files_end_in_words(apart: Apart, name: str, what: tuple[float, str, float, bytes]) -> None:
    which, how, where, noise = what
    with TemporaryDirectory() as scratch:
        raw, store = Path(scratch, "raw"), LocalStore(Path(scratch, "store"))
        shutil.copytree(tree(name), raw)
        files = sorted(path for path in raw.rglob("*") if path.is_file())
        file = files[int(which * len(files))]
        file.write_bytes(spoil(file.read_bytes(), how, where, noise))

        def attempt(limit: Limit) -> tuple[int, bool]:
            return apart.call(limit, grown, name, raw, store, told=lambda: None)

        growth, published = attempts(attempt, SECONDS, "skip", name)
        assert growth < GROWTH, (file, how)
        if published:
            assert not verify(store, StoreCatalog(store).manifest(name)).problems
