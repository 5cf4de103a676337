"""Where the time of packing byte for byte goes: the steps that cannot be left out, each measured alone.

A sample is read once, hashed (the manifest's sha256 of the shard), checked (crc32c and the content number of the index)
and written once. What Ropeway takes beyond these is Python: checking the picture, headers, the index, the plan. Hashing
has a thread of its own, so that the wall may show less than the sum.
"""

import hashlib
import shutil
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from ropeway.checksum import crc32c
from ropeway.content import content_number
from ropeway.stores import LocalStore
from ropeway_shardgen.adapters.whole import whole
from ropeway_shardgen.hashed_file import BLOCK
from ropeway_shardgen.plan import make_plan
from ropeway_shardgen.recipe import Recipe

_SAMPLES = 1000
_SHARD = 64 << 20
_REPEATS = 5


def told(recipe: Recipe, root: Path, out: Path, packed: float, rival: float) -> Iterator[str]:
    """Three lines; `packed`, `rival`: processor seconds a sample of Ropeway, plan included, and of the ShardWriter."""
    steps = {name: seconds * 1e6 for name, seconds in _steps(recipe, root, out).items()}
    steps["the rest"] = packed * 1e6 - sum(steps.values())
    yield f"  µs of a processor each: {', '.join(f'{name} {took:,.1f}' for name, took in steps.items())}"
    floor = sum(steps[name] for name in ("read", "sha256", "crc32c and content", "write and fsync"))
    beside = max(steps["sha256"], floor - steps["sha256"])
    yield (
        f"  reading, hashing and writing alone are {floor:,.0f} µs: ShardWriter's {rival * 1e6:,.0f} ÷ "
        f"{rival * 1e6 / floor:.1f}; {beside:,.0f} µs of the wall, hashing beside the rest"
    )
    planned = floor + steps["plan"]
    yield (
        f"  Ropeway's {packed * 1e6:,.0f} µs are {floor / (packed * 1e6):.2f} of that floor, "
        f"{planned / (packed * 1e6):.2f} of it and the plan"
    )


def _steps(recipe: Recipe, root: Path, out: Path) -> Mapping[str, float]:
    """Processor seconds a sample of each step, from the page cache."""
    files = sorted((root / "images").iterdir())
    rows = len(files)
    names = [str(file) for file in files[:_SAMPLES]]
    contents = [whole(name) for name in names[:16]]
    some = [contents[number % 16] for number in range(len(names))]
    block = b"".join(contents * (BLOCK // len(contents[0]) + 1))[:BLOCK]

    def read() -> None:
        for name in names:
            whole(name)

    def sha256() -> None:
        digest = hashlib.sha256()
        for content in some:
            digest.update(content)

    def checked() -> None:
        for content in some:
            crc32c(content)
            content_number({"image": content}, {"image": "image"})

    def write() -> None:
        left = sum(map(len, some))
        while left > 0:
            with LocalStore(out).writing("shard.tar") as file:
                for start in range(0, min(left, _SHARD), BLOCK):
                    file.write(block[: left - start])
            left -= _SHARD

    each = {"read": read, "sha256": sha256, "crc32c and content": checked, "write and fsync": write}
    found = {name: _median(step) / len(names) for name, step in each.items()}
    shutil.rmtree(out)
    return found | {"plan": _median(lambda: make_plan(recipe, root)) / rows}


def _median(step: Callable[[], object]) -> float:
    taken: list[float] = []
    for _ in range(_REPEATS):
        began = time.process_time()
        step()
        taken.append(time.process_time() - began)
    return statistics.median(taken)
