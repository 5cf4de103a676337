"""Where the time of packing byte for byte goes: the steps that cannot be left out, together and each alone.

A sample is read once, hashed (the manifest's sha256 of the shard), checked (crc32c and the content number of the index)
and written once. What Ropeway takes beyond these is Python: checking the picture, headers, the index, the plan. Each
step alone has its bytes in the processor's cache, which it has not where files follow one another.
"""

import hashlib
import shutil
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import count
from pathlib import Path

from ropeway.checksum import crc32c
from ropeway.content import content_number
from ropeway.stores import LocalStore
from ropeway_shardgen.adapters.whole import whole
from ropeway_shardgen.hashed_file import BLOCK, HashedFile
from ropeway_shardgen.plan import make_plan
from ropeway_shardgen.recipe import Recipe
from ropeway_shardgen.sizes import parse_size

_SAMPLES = 1000
_SHARD = 64 << 20
_REPEATS = 5


def alone(recipe: Recipe, root: Path, out: Path) -> None:
    """Pack the files without a plan, headers or an index, in one process: they are read, hashed, checked and written,
    each by what Ropeway does it with, and as much at the same time. So no packer of this format is faster."""
    store, left = LocalStore(out), map(str, sorted((root / "images").iterdir()))
    with ThreadPoolExecutor(1) as finishing:
        for number in count():
            with ExitStack() as ending:
                plain = ending.enter_context(store.writing(f"{number:06d}.tar"))
                with HashedFile(plain) as file:
                    more = _filled(file, left, parse_size(recipe.shard_size))
                    file.hexdigest()
                finishing.submit(ending.pop_all().close)
            if not more:
                return


def _filled(file: HashedFile, left: Iterator[str], most: int) -> bool:
    """Write files until they are `most` bytes; whether they were."""
    size = 0
    for name in left:
        content = whole(name)
        crc32c(content)
        content_number({"image": content}, {"image": "image"})
        file.write([content])
        size += len(content)
        if size >= most:
            return True
    return False


def told(recipe: Recipe, root: Path, out: Path, packed: float) -> Iterator[str]:
    """A line; `packed`: processor seconds a sample of Ropeway, plan included."""
    steps = {name: seconds * 1e6 for name, seconds in _steps(recipe, root, out).items()}
    steps["the rest"] = packed * 1e6 - sum(steps.values())
    yield f"  µs of a processor each: {', '.join(f'{name} {took:,.1f}' for name, took in steps.items())}"


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
