"""`python -m benchmarks packing`: what packing costs, against a plain copy and against webdataset's ShardWriter.

Every system reads the same JPEG files, from the page cache, in interleaved rounds on one disk, and ends when the disk
has its bytes (fsync, `sync -f`); medians are told. Ropeway alone plans, checks each file, and writes hashes, checksums
and an index; the ShardWriter gets the bytes and a class each, and writes tars only. Rates are of wall time, and of
processor time (user and system, children too), which other work on the machine disturbs less.
"""

import argparse
import gc
import io
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image
from webdataset.writer import ShardWriter

from benchmarks import packing_adapters, packing_floor, packing_inside
from ropeway.stores import LocalStore
from ropeway_shardgen import clusters
from ropeway_shardgen.engine import Engine, in_process, in_processes
from ropeway_shardgen.engine_dask import dask_engine
from ropeway_shardgen.pack import Watch, pack
from ropeway_shardgen.plan import Settings
from ropeway_shardgen.recipe import Recipe, loads

RECIPE = """
id = "jpegs"
key = "{image}"
shard_size = "64MiB"

[card]
title = "JPEG files"
domain = "bench"
modalities = ["image"]
licence = "CC0-1.0"
access = "open"
unit = "image"

[raw]
get = "made by the bench"
folder = "samples.csv, images/*.jpg"

[source]
table = "samples.csv"

[parts.image]
kind = "image"
adapter = "image"
file = "images/{image}.jpg"

[subject]
id = "{patient}"

[split]
rule = "subject-hash"
fractions = { train = 0.8, test = 0.2 }

[tasks.label]
type = "multiclass"
from = "label"
classes = ["0", "1", "2"]
"""

_SIDES = {"1 MB": (1150, 0.5), "100 KB": (360, 1.0), "10 KB": (112, 0.5)}
"""Size of a file → its side in pixels (noise has 0.75 bytes a pixel at this quality), and the share of the bytes asked
for: some ten thousands of small files, as datasets have, so that starting processes is not most of it."""


@dataclass(slots=True)
class Cost:
    """Seconds of each round: of the wall, and of processors."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    @contextmanager
    def measured(self) -> Iterator[None]:
        before, began = _processor_seconds(), time.perf_counter()
        yield
        self.wall.append(time.perf_counter() - began)
        self.cpu.append(_processor_seconds() - before)


def _processor_seconds() -> float:
    """Of this process and of its children that have ended; `os.times` has hundredths only."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


class Pace(Watch):
    """Bytes told of, and when: what engines pack once their workers are up."""

    def __init__(self) -> None:
        self.told: list[tuple[float, int]] = []

    def advance(self, samples: int, size: int) -> None:
        if size:
            self.told.append((time.perf_counter(), size))

    @property
    def rate(self) -> float:
        """Bytes a second from the first telling to the last."""
        return sum(size for _, size in self.told[1:]) / (self.told[-1][0] - self.told[0][0])


def main(words: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks packing", description=__doc__)
    parser.add_argument("--megabytes", type=int, default=1200, help="of files of 100 KB; half of it of the other sizes")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scratch", type=Path, help="where to make the temporary folder")
    parser.add_argument("--adapters", nargs="*", metavar="NAME", help="only the table of adapters: of all, or of these")
    given = parser.parse_args(words)
    with tempfile.TemporaryDirectory(prefix="ropeway-packing-", dir=given.scratch) as scratch:
        if given.adapters is not None:
            _say(packing_adapters.told(Path(scratch), packing_adapters.chosen(given.adapters)))
            return
        for name, (side, share) in _SIDES.items():
            root = Path(scratch, name)
            count, size = _write(root, side, int(given.megabytes * share * 1_000_000))
            costs = _compare(root, Path(scratch, "out"), given.rounds)
            told = [*_told(f"{count:,} JPEG files of {name}", size, costs)]
            packed = statistics.median(costs["Ropeway, 1 process"].cpu) / count
            told += packing_floor.told(loads(RECIPE, "jpegs"), root, Path(scratch, "floor"), packed)
            told += _scaling(root, Path(scratch, "out"), given.rounds)
            shutil.rmtree(root)
            _say([*told, ""])
        _say(packing_inside.told(Path(scratch)))
        _say(packing_adapters.told(Path(scratch), packing_adapters.chosen([])))


def _say(lines: Iterable[str]) -> None:
    for line in lines:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()


def _write(root: Path, side: int, wanted: int) -> tuple[int, int]:
    """Files of noise until there are so many bytes; how many files, and bytes."""
    (root / "images").mkdir(parents=True)
    rng = np.random.default_rng(0)
    pictures = []
    for _ in range(16):
        file = io.BytesIO()
        Image.fromarray(rng.integers(0, 256, (side, side), dtype=np.uint8)).save(file, "JPEG", quality=90)
        pictures.append(file.getvalue())
    count = wanted // len(pictures[0])
    for number in range(count):
        (root / "images" / f"{number:06d}.jpg").write_bytes(pictures[number % 16])
    rows = [f"{number:06d},P{number // 2},{number % 3}" for number in range(count)]
    (root / "samples.csv").write_text("\n".join(["image,patient,label", *rows]) + "\n")
    return count, sum(len(pictures[number % 16]) for number in range(count))


def _compare(root: Path, out: Path, rounds: int) -> dict[str, Cost]:
    recipe = loads(RECIPE, "jpegs")
    systems: Mapping[str, Callable[[], None]] = {
        "cp -r": lambda: _copy(root, out),
        "tar cf": lambda: _tar(root, out),
        "ShardWriter": lambda: _shard_writer(root, out),
        "what no packer leaves out": lambda: packing_floor.alone(recipe, root, out),
        "Ropeway, 1 process": lambda: _ropeway(recipe, root, out, in_process),
        "Ropeway, 2 processes": lambda: _ropeway(recipe, root, out, in_processes(2)),
        "Ropeway, Dask, 1 worker": lambda: _ropeway(recipe, root, out, dask_engine(clusters.local(1))),
        "Ropeway, Dask, 2 workers": lambda: _ropeway(recipe, root, out, dask_engine(clusters.local(2))),
    }
    costs = {name: Cost() for name in systems}
    for _ in range(rounds):
        for name, run in systems.items():
            os.sync()
            gc.collect()  # else one system in turn pays for the garbage of all, a seventh of what packing takes
            # Last: the host of a virtual machine takes back memory that lies free, and is slow to give it again.
            shutil.rmtree(out, ignore_errors=True)
            with costs[name].measured():
                run()
    shutil.rmtree(out)
    return costs


def _copy(root: Path, out: Path) -> None:
    subprocess.run(["cp", "-r", root, out], check=True)
    subprocess.run(["sync", "-f", out], check=True)


def _tar(root: Path, out: Path) -> None:
    out.mkdir()
    subprocess.run(["tar", "cf", out / "all.tar", "-C", root, "images"], check=True)
    subprocess.run(["sync", "-f", out], check=True)


def _shard_writer(root: Path, out: Path) -> None:
    out.mkdir()
    with ShardWriter(str(out / "%06d.tar"), maxsize=64 << 20, verbose=0, post=_settle) as writer:
        for number, file in enumerate(sorted((root / "images").iterdir())):
            writer.write({"__key__": file.stem, "jpg": file.read_bytes(), "cls": number % 3})


def _settle(path: str) -> None:
    with Path(path).open("rb") as file:
        os.fsync(file.fileno())


def _ropeway(recipe: Recipe, root: Path, out: Path, engine: Engine) -> None:
    pack(recipe, root, LocalStore(out), engine=engine)


ENGINES: Mapping[str, Callable[[int], Engine]] = {
    "processes": in_processes,
    "Dask": lambda workers: dask_engine(clusters.local(workers)),
}


def _scaling(root: Path, out: Path, rounds: int) -> Iterator[str]:
    """Throughput with one worker and with two, once they are up."""
    recipe = loads(RECIPE, "jpegs")
    for name, engine in ENGINES.items():
        rates: dict[int, list[float]] = {1: [], 2: []}
        for _ in range(rounds):
            for workers, found in rates.items():
                shutil.rmtree(out, ignore_errors=True)
                pace = Pace()
                pack(recipe, root, LocalStore(out), Settings(shard_size=16 << 20), engine=engine(workers), watch=pace)
                found.append(pace.rate)
        one, two = (statistics.median(found) / 1e6 for found in rates.values())
        yield f"  {name}, once workers are up: {one:,.0f} MB/s with one, {two:,.0f} with two: × {two / one:.2f}"
    shutil.rmtree(out)


def _told(title: str, size: int, costs: Mapping[str, Cost]) -> Iterator[str]:
    yield f"{title} ({size / 1e6:.0f} MB)"
    against = f"{'÷ cp':>8}{'÷ ShardWriter':>15}"
    yield f"  {'':<26}{'MB/s':>8}{against}{'MB per CPU s':>15}{against}"
    for name in costs:
        line = f"  {name:<26}"
        for kind, width in (("wall", 8), ("cpu", 15)):
            seconds = {one: statistics.median(getattr(of, kind)) for one, of in costs.items()}
            own = seconds[name]
            line += (
                f"{size / own / 1e6:>{width},.0f}{seconds['cp -r'] / own:>8.2f}{seconds['ShardWriter'] / own:>15.2f}"
            )
        yield line
