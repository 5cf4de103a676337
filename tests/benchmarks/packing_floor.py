"""Where the time of packing byte for byte goes: the steps that cannot be left out, each measured alone.

A sample is read once, hashed (the manifest's sha256 of the shard), checked (crc32c and the content number of the index)
and written once. What Ropeway takes beyond these is Python: checking the picture, headers, the index, the plan.
"""

import hashlib
import os
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from ropeway.checksum import crc32c
from ropeway.content import content_number
from ropeway_shardgen.plan import make_plan
from ropeway_shardgen.recipe import Recipe

_SAMPLES = 1000
_SHARD = 64 << 20
_REPEATS = 5


def told(recipe: Recipe, root: Path, out: Path, packed: float, rival: float) -> Iterator[str]:
    """Two lines; `packed` and `rival`: processor seconds a sample of Ropeway, plan included, and of the ShardWriter."""
    steps = {name: seconds * 1e6 for name, seconds in _steps(recipe, root, out).items()}
    steps["the rest"] = packed * 1e6 - sum(steps.values())
    yield f"  µs of a processor each: {', '.join(f'{name} {took:,.1f}' for name, took in steps.items())}"
    floor = sum(steps[name] for name in ("read", "sha256", "crc32c and content", "write and fsync"))
    yield (
        f"  reading, hashing and writing alone are {floor:,.0f} µs: ShardWriter's {rival * 1e6:,.0f} ÷ "
        f"{rival * 1e6 / floor:.1f}"
    )


def _steps(recipe: Recipe, root: Path, out: Path) -> Mapping[str, float]:
    """Processor seconds a sample of each step, from the page cache."""
    files = sorted((root / "images").iterdir())
    rows = len(files)
    files = files[:_SAMPLES]
    contents = [file.read_bytes() for file in files[:16]]
    some = [contents[number % 16] for number in range(len(files))]

    def read() -> None:
        for file in files:
            file.read_bytes()

    def sha256() -> None:
        digest = hashlib.sha256()
        for content in some:
            digest.update(content)

    def checked() -> None:
        for content in some:
            crc32c(content)
            content_number({"image": content}, {"image": "image"})

    def write() -> None:
        with out.open("wb", 64 << 10) as file:
            for content in some:
                file.write(content)
                if file.tell() > _SHARD:
                    os.fsync(file.fileno())
                    file.seek(0)
                    file.truncate()
            file.flush()
            os.fsync(file.fileno())

    each = {"read": read, "sha256": sha256, "crc32c and content": checked, "write and fsync": write}
    found = {name: _median(step) / len(files) for name, step in each.items()}
    out.unlink()
    return found | {"plan": _median(lambda: make_plan(recipe, root)) / rows}


def _median(step: Callable[[], object]) -> float:
    taken: list[float] = []
    for _ in range(_REPEATS):
        began = time.process_time()
        step()
        taken.append(time.process_time() - began)
    return statistics.median(taken)
