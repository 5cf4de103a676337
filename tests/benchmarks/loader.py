"""How fast batches come, beside what the machine can do: `make bench` (about a minute).

Each workload is packed once, then streamed for several shuffled epochs from the page cache, checksums on; the ceilings
are measured between those epochs, so that a noisy machine disturbs both alike. Figures are medians.
"""

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import numpy as np

import ropeway
from ropeway.stores import open_store
from ropeway.view import View

sys.path.insert(0, str(Path(__file__).parents[1]))
import packed


@dataclass(frozen=True)
class Workload:
    """Samples of one int16 array each."""

    name: str
    samples: int
    shape: tuple[int, ...]
    batch: int

    @property
    def bytes(self) -> int:
        """Of one array."""
        return int(np.prod(self.shape)) * 2


WORKLOADS = (
    Workload("ECG 12×1000 int16 (24 KB)", 20_000, (12, 1000), 256),
    Workload("tiny 512 int16 (1 KB)", 100_000, (512,), 256),
    Workload("volumes 64×128×128 int16 (2 MB)", 300, (64, 128, 128), 8),
)


def epoch(view: View, work: Workload) -> float:
    """Samples per second of one shuffled epoch, first batch to last."""
    loader = ropeway.StreamingLoader(view, work.batch, parts=["x"])
    list(loader)
    return loader.stats().samples_per_second


def read_speed(folder: Path, work: Workload) -> float:
    """Samples per second at the speed of reading the shards in 1 MiB pieces into one reused buffer."""
    buffer = bytearray(1 << 20)
    total = 0
    began = perf_counter()
    for shard in folder.rglob("*.tar"):
        with shard.open("rb", buffering=0) as file:
            while read := file.readinto(buffer):
                total += read
    return total / (perf_counter() - began) / work.bytes


def copy_speed(folder: Path, work: Workload) -> float:
    """Samples per second at the speed of copying between two arrays that do not fit into the caches."""
    source, target = np.ones(64 << 20, np.uint8), np.ones(64 << 20, np.uint8)
    began = perf_counter()
    np.copyto(target, source)
    return len(source) / (perf_counter() - began) / work.bytes


@contextmanager
def packed_view(work: Workload) -> Iterator[tuple[View, Path]]:
    with tempfile.TemporaryDirectory(prefix="ropeway-bench-") as scratch:
        packed.publish(open_store(scratch), samples=work.samples, per_shard=work.samples // 4, shape=work.shape)
        yield ropeway.connect(scratch).query(), Path(scratch)


def measure(work: Workload, repeats: int) -> dict[str, object]:
    """Medians over interleaved repeats."""
    with packed_view(work) as (view, folder):
        measured: dict[str, list[float]] = {"ropeway": [], "readv": [], "memcpy": []}
        ceilings: dict[str, Callable[[Path, Workload], float]] = {"readv": read_speed, "memcpy": copy_speed}
        epoch(view, work)  # warm the page cache
        for _ in range(repeats):
            measured["ropeway"].append(epoch(view, work))
            for name, ceiling in ceilings.items():
                measured[name].append(ceiling(folder, work))
    return {"workload": work.name, "bytes": work.bytes} | {
        name: statistics.median(rates) for name, rates in measured.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    rows = [measure(work, arguments.repeats) for work in WORKLOADS]
    if arguments.json:
        sys.stdout.write(json.dumps(rows, indent=1) + "\n")
        return
    sys.stdout.write("| workload | samples/s | GB/s | share of readv | share of memcpy |\n|---|---|---|---|---|\n")
    for row in rows:
        rate, size, readv, memcpy = (float(str(row[name])) for name in ("ropeway", "bytes", "readv", "memcpy"))
        sys.stdout.write(
            f"| {row['workload']} | {rate:,.0f} | {rate * size / 1e9:.2f} | {rate / readv:.2f} "
            f"| {rate / memcpy:.2f} |\n"
        )


if __name__ == "__main__":
    main()
