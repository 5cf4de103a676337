"""`python -m benchmarks mount`: the mount beside rclone, s3fs and ratarmount, over the same S3 in the same run.

rclone and s3fs are Debian packages (`apt-get install rclone s3fs`); ratarmount is on PyPI and wants an environment of
its own (`pip install 'ratarmount[fsspec]' s3fs`, then `--ratarmount PATH`). Who is not there is left out, and said so.

The floor is the store itself: our range client, without a file system, at the best of three ways to read a shard. Where
the time goes between the two, processor seconds tell, which other work on the machine disturbs less than it does speed;
and the mount of the same shards from this machine's page cache, which is all that FUSE and we take without a network.
All are mounted anew in each of some rounds, one after the other, and the median counts.
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import indexed
import packed
from benchmarks.mount_rivals import URL, attempt, mounted, ratarmount, rclone, ropeway, s3fs
from benchmarks.servers import Sources, serving
from ropeway.stores import LocalStore, open_store

SAMPLES, PER_SHARD, SHAPE = 32_000, 4_000, (12, 1000)
"""Eight shards of 105 MB, of samples of 24 KB."""

READ = 1 << 20
"""Bytes of a program's read."""

RAW = ((4 << 20, 8), (32 << 20, 4), (1 << 30, 1))
"""How the store itself is read: bytes of a range, and how many of them at once."""

ROUNDS, SHARDS, FILES, LARGE = 3, 3, 300, 1_000_000
"""Mounts of each; shards and files read through each mount, each for the first time; files of the folder that is
listed."""

READERS = 16
"""Programs that read small files at once, where it is not one."""

LONG = 10.0
"""Seconds after which no further small file is read."""


@dataclass(frozen=True, slots=True)
class Through:
    """Reading shards through a mount.

    Attributes:
        speed: median MB/s.
        spent: processor seconds per GB, by who spent them.
    """

    speed: float
    spent: Mapping[str, float]


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks mount", description=__doc__)
    parser.add_argument("--ratarmount", default="ratarmount", help="its command")
    parser.add_argument("--scratch", type=Path, help="where to keep two gigabytes meanwhile")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="ropeway-bench-", dir=given.scratch) as scratch:
        found = measure(Path(scratch), given.ratarmount)
    json.dump(found, sys.stdout, indent=1)
    sys.stdout.write("\n")


def measure(scratch: Path, ratarmount_command: str) -> dict[str, object]:
    """All figures: MB/s through a shard, small files per second, seconds to look into a large folder."""
    found: dict[str, object] = {"large folder": _large(scratch)}
    with serving(scratch / "s3", {"s3", "s3-20ms"}) as sources:
        assert sources is not None
        os.environ |= sources.environments["s3"]
        for store in (open_store(URL), LocalStore(scratch / "local")):
            packed.publish(store, "signals", samples=SAMPLES, per_shard=PER_SHARD, shape=SHAPE)
        for place in ("s3", "s3-20ms"):
            found[place] = _measured(scratch, sources, place, ratarmount_command)
    return found


def _measured(scratch: Path, sources: Sources, place: str, ratarmount_command: str) -> dict[str, object]:
    environment = {**os.environ, **sources.environments[place]}
    environment.pop("AWS_CA_BUNDLE", None)  # nothing here is TLS, and rclone refuses it
    raw: list[float] = []
    through: dict[str, list[object]] = {}
    here = ropeway(source=str(scratch / "local"), name="ropeway, from the page cache")
    for _ in range(ROUNDS):
        raw.append(_raw(environment))
        for rival in (ropeway(), *s3fs(scratch, environment), *rclone(environment), here):
            through.setdefault(rival.name, []).append(attempt(scratch, rival, environment, _through))
    small: dict[str, object] = {}
    for rival in (ropeway("samples/signals/train"), *ratarmount(ratarmount_command, scratch)):
        begun = time.perf_counter()
        small[f"{rival.name}, seconds to mount"] = attempt(scratch, rival, environment, partial(_since, begun))
        for readers in (1, READERS):
            told = attempt(scratch, rival, environment, partial(_small, readers))
            small[f"{rival.name}, {readers} at once"] = told
    return {
        "MB/s through a shard": {"the store itself": statistics.median(raw)}
        | {name: _median([one.speed if isinstance(one, Through) else one for one in told])
           for name, told in through.items()},
        "processor seconds per GB": {name: _spent(told) for name, told in through.items()},
        "files of 24 KB per second": small,
    }  # fmt: skip


def _median(told: Sequence[object]) -> object:
    """The median of a rival's figures, or why it has none."""
    figures = [one for one in told if isinstance(one, float)]
    return statistics.median(figures) if figures else told[0]


def _spent(told: Sequence[object]) -> dict[str, float]:
    measured = [one.spent for one in told if isinstance(one, Through)]
    return {who: statistics.median(spent[who] for spent in measured) for who in (measured[0] if measured else ())}


def _raw(environment: Mapping[str, str]) -> float:
    done = subprocess.run([sys.executable, "-c", _RAW], env=environment, check=True, capture_output=True)
    return float(done.stdout)


_RAW = f"""
import time
from concurrent.futures import ThreadPoolExecutor
from ropeway.stores import open_store
store = open_store({URL!r})
shards = [stat for stat in store.objects("signals") if stat.path.endswith(".tar")][:{SHARDS}]
store.read(shards[0].path, 0, 1)
medians = []
for part, at_once in {RAW!r}:
    speeds = []
    with ThreadPoolExecutor(at_once) as pool:
        for shard in shards:
            begun = time.perf_counter()
            ranges = [(at, min(at + part, shard.size)) for at in range(0, shard.size, part)]
            sizes = pool.map(lambda span: len(store.read(shard.path, *span)), ranges)
            assert sum(sizes) == shard.size
            speeds.append(shard.size / 1e6 / (time.perf_counter() - begun))
    medians.append(sorted(speeds)[len(speeds) // 2])
print(max(medians))
"""


def _through(folder: Path, process: int) -> Through:
    """Read whole shards."""
    speeds, total, before = [], 0, _processor(process)
    for shard in sorted(folder.glob("*.tar"))[:SHARDS]:
        begun, size = time.perf_counter(), 0
        with shard.open("rb", buffering=0) as file:
            while got := file.read(READ):
                size += len(got)
        speeds.append(size / 1e6 / (time.perf_counter() - begun))
        total += size
    spent = {who: (after - before[who]) / total * 1e9 for who, after in _processor(process).items()}
    return Through(statistics.median(speeds), spent)


def _processor(mount: int) -> dict[str, float]:
    """Processor seconds until now: of a mount's process, of this one that reads, and of the store's."""
    store = 0.0
    for children in Path("/proc/self/task").glob("*/children"):
        for child in children.read_text().split():
            if Path(f"/proc/{child}/comm").read_text().strip() == "weed":
                store += _of(int(child))
    return {"mount": _of(mount), "reader": _of(os.getpid()), "store": store}


def _of(process: int) -> float:
    user, system = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def _since(begun: float, folder: Path, process: int) -> float:
    return time.perf_counter() - begun


def _small(readers: int, folder: Path, process: int) -> float:
    """Small files per second, of one shard, in random order, each opened, read and closed once."""
    names = [f"k{number:06d}.x.npy" for number in random.Random(readers).sample(range(PER_SHARD), FILES)]
    (folder / f"k{PER_SHARD - 1:06d}.x.npy").read_bytes()
    begun = time.perf_counter()

    def read(name: str) -> int:
        return len((folder / name).read_bytes()) if time.perf_counter() - begun < LONG else 0

    with ThreadPoolExecutor(readers) as pool:
        sizes = [size for size in pool.map(read, names) if size]
    assert len(set(sizes)) == 1
    return len(sizes) / (time.perf_counter() - begun)


def _large(scratch: Path) -> dict[str, float]:
    """Seconds until a folder of a million files answers."""
    rows = [indexed.row(number) for number in range(LARGE)]
    indexed.publish(LocalStore(scratch / "large"), "large", rows)
    command = ropeway(source=str(scratch / "large")).command(scratch / "mount")
    found = {}
    begun = time.perf_counter()
    with mounted(scratch / "mount", command, os.environ):
        split = scratch / "mount/samples/large/train"
        split.stat()
        found["from the command to the first look into the index"] = time.perf_counter() - begun
        begun = time.perf_counter()
        (split / f"k{LARGE // 2}.x.npy").stat()
        found["first stat"] = time.perf_counter() - begun
        begun = time.perf_counter()
        with os.scandir(split) as entries:
            next(entries)
            found["first name"] = time.perf_counter() - begun
            assert sum(1 for _ in entries) == LARGE - 1
        found["all names"] = time.perf_counter() - begun
    return found
