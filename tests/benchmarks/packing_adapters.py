"""What each adapter costs, in one process: bytes of raw files in, bytes of parts out, beside the library alone.

Files of a real size where they can be made; the rest from the small trees that recipes are tested with, where what a
sample costs counts, not a megabyte. Processor time, of the fastest of the repeats: other work can only slow one down.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.packing_files import FILES, Raw, stored_files
from raw_trees import raw_trees
from ropeway.errors import SourceError
from ropeway_shardgen.adapters import Row, adapters
from ropeway_shardgen.adapters.opened import close_all
from ropeway_shardgen.plan import Plan, Settings, make_plan
from ropeway_shardgen.planned import PlannedSample
from ropeway_shardgen.problems import SampleError
from ropeway_shardgen.recipe import Recipe, available, configured
from ropeway_shardgen.shard import read_part
from shardgen_raw import real_root

_SECONDS = 0.4
"""Of repeats, at least."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Of all samples of a file or tree: bytes, and processor seconds. `listed`: finding them; `bare`: the library."""

    what: str
    samples: int
    raw: int
    stored: int
    read: float
    listed: float
    bare: float | None = None

    @property
    def line(self) -> str:
        """As it stands in the table."""
        raw, stored = (_short(size / self.read / 1e6) for size in (self.raw, self.stored))
        bare = _short(self.stored / self.bare / 1e6) if self.bare else ""
        each = f"{self.listed / self.samples * 1e6:,.0f}"
        return f"{self.what:<42}{raw:>9}{stored:>12}{bare:>9}{_short(self.samples / self.read):>11}{each:>12}"


def _short(number: float) -> str:
    return f"{number:,.0f}" if number >= 10 else f"{number:.2g}"


def told(scratch: Path, names: Sequence[str]) -> Iterator[str]:
    """A line for each of the adapters named."""
    yield "Adapters, one process, MB a second of processor time"
    yield f"  {'':<20}{'':<42}{'raw in':>9}{'stored out':>12}{'library':>9}{'samples/s':>11}{'listing µs':>12}"
    for name in names:
        cost = next(_costs(name, scratch / "adapters" / name), None)
        yield f"  {name:<20}{cost.line if cost else 'no raw files of it can be made here'}"


def chosen(names: Sequence[str]) -> Sequence[str]:
    """The adapters to measure; none named: all."""
    unknown = sorted(set(names) - set(adapters()))
    if unknown:
        raise SystemExit(f"no adapter {unknown[0]!r}; there is: {', '.join(adapters())}")
    return names or adapters()


def _costs(name: str, folder: Path) -> Iterator[Cost]:
    """The cost of an adapter: of a large file, else of the first tree or demo that has it."""
    folder.mkdir(parents=True)
    if name in FILES:
        what, make = FILES[name]
        yield _of_file(name, what, make(folder))
    for recipe in available():
        part = next((part for part, rule in recipe.parts.items() if rule.adapter == name), None)
        if part is not None and recipe.id in raw_trees():
            root = folder / recipe.id
            root.mkdir()
            raw_trees()[recipe.id](root)
            yield _of_recipe(recipe, part, root, f"small tree of {recipe.id}")
        elif part is not None and recipe.climb is None:
            try:
                yield _of_recipe(recipe, part, real_root(), f"files of the demo's {recipe.id}")
            except SourceError:
                continue


def _of_file(name: str, what: str, raw: Raw) -> Cost:
    adapter, options = configured(name, raw.options)
    rows = [Row({})]
    listing = adapter.rows

    def listed() -> None:
        close_all()
        rows[:] = list(listing(raw.path, options)) if listing else rows

    sizes: list[int] = []

    def read() -> None:
        close_all()
        sizes[:] = [len(adapter.read(raw.path, row.fields, options).content) for row in rows]

    found = _fastest(listed) if listing else 0.0
    taken = _fastest(read)
    close_all()
    bare = _fastest(raw.bare) if raw.bare else None
    size = sum(file.stat().st_size for file in stored_files(raw.path))
    return Cost(what, len(sizes), size, sum(sizes), taken, found, bare)


def _of_recipe(recipe: Recipe, part: str, root: Path, what: str) -> Cost:
    plans: list[Plan] = []
    found = _fastest(lambda: plans.append(make_plan(recipe, root, Settings(limit=200, on_error="skip"))))
    planned = (sample for shard in plans[0].shards for sample in shard.samples)
    samples = [sample for sample in planned if part in sample.files and _readable(recipe, root, sample, part)]
    sizes: list[int] = []

    def read() -> None:
        close_all()
        sizes[:] = [len(read_part(recipe, plans[0].root, sample, part).content) for sample in samples]

    taken = _fastest(read)
    close_all()
    files = {root / sample.files[part] for sample in samples if sample.files[part]}
    raw = sum(one.stat().st_size for file in files for one in (stored_files(file) if file.is_dir() else [file]))
    return Cost(what, len(samples), raw, sum(sizes), taken, found)


def _readable(recipe: Recipe, root: Path, sample: PlannedSample, part: str) -> bool:
    """Trees for tests have samples that cannot be packed, too."""
    try:
        read_part(recipe, root, sample, part)
    except SampleError:
        return False
    return True


def _fastest(work: Callable[[], Any]) -> float:
    """Processor seconds of the fastest repeat, the first of two or more left out: it imports."""
    work()
    taken: list[float] = []
    while sum(taken) < _SECONDS:
        began = time.process_time()
        work()
        taken.append(time.process_time() - began)
    return min(taken)
