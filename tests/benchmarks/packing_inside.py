"""What packing costs by itself: each adapter on real small files, a table of many columns, and the memory of a plan."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ropeway.errors import SourceError
from ropeway.stores import LocalStore
from ropeway_shardgen.adapters.opened import close_all
from ropeway_shardgen.pack import pack_plan
from ropeway_shardgen.plan import DEFAULTS, make_plan
from ropeway_shardgen.recipe import Recipe, available, load, loads
from shardgen_raw import RECIPE, real_root, row

_SECONDS = 0.5
"""Of reading, for each adapter at least."""

_COLUMNS, _ROWS = 100, 5_000
_PLANNED = (2_000, 40_000)


def told(scratch: Path) -> Iterator[str]:
    """All of it, as lines."""
    yield "Adapters on real files, one process: read and made a part"
    yield f"  {'recipe and part':<34}{'adapter':<18}{'MB/s':>8}{'samples/s':>12}{'KB each':>10}"
    for recipe in available():
        if recipe.climb is None:
            yield from _adapters(recipe)
    yield ""
    yield from _wide_table(scratch)
    yield from _memory(scratch)


def _adapters(recipe: Recipe) -> Iterator[str]:
    try:
        plan = make_plan(recipe, real_root())
    except SourceError:
        yield f"  {recipe.id:<34}its raw files are not among those of the demo"
        return
    samples = [sample for shard in plan.shards for sample in shard.samples]
    for part, (adapter, options) in recipe.readers.items():

        def read(sample: Any, part: str = part, adapter: Any = adapter, options: Any = options) -> int:
            return len(adapter.read(plan.root / sample.files[part], sample.fields, options).content)

        count, size, seconds = _repeated(read, [sample for sample in samples if part in sample.files])
        name = f"{recipe.id} {part}"
        yield (
            f"  {name:<34}{recipe.parts[part].adapter:<18}{size / seconds / 1e6:>8,.1f}{count / seconds:>12,.0f}"
            f"{size / count / 1e3:>10,.1f}"
        )
    close_all()


def _repeated(read: Callable[[Any], int], samples: list[Any]) -> tuple[int, int, float]:
    """Samples, bytes and processor seconds of reading them all again and again."""
    read(samples[0])  # imports
    count, size, began = 0, 0, time.process_time()
    while (seconds := time.process_time() - began) < _SECONDS:
        for sample in samples[:200]:
            size += read(sample)
            count += 1
    return count, size, seconds


def _wide_table(scratch: Path) -> Iterator[str]:
    """Rows of a hundred numbers, all of them metadata columns."""
    root = scratch / "wide"
    root.mkdir()
    names = [f"c{number}" for number in range(_COLUMNS)]
    head = ",".join([*row(0), *names])
    lines = [
        ",".join([*row(number).values(), *(str(number * k % 997) for k in range(_COLUMNS))]) for number in range(_ROWS)
    ]
    (root / "samples.csv").write_text("\n".join([head, *lines]) + "\n")
    text = RECIPE.replace('[parts.image]\nkind = "image"\nadapter = "image"\nfile = "images/{image}.png"\n', "")
    text = text.replace('width = { from = "image.width", type = "integer" }\n', "")
    text += "".join(f'{name} = {{ from = "{name}", type = "number" }}\n' for name in names)
    recipe = loads(text, "wide")
    began = time.process_time()
    plan = make_plan(recipe, root)
    planned = time.process_time()
    pack_plan(plan, LocalStore(scratch / "wide-store"), DEFAULTS)
    packed = time.process_time()
    yield (
        f"A table of {_COLUMNS} metadata columns: {_ROWS / (planned - began):,.0f} rows/s planned, "
        f"{_ROWS / (packed - planned):,.0f} rows/s packed (processor time)"
    )


def _memory(scratch: Path) -> Iterator[str]:
    """What one more sample adds to the most memory that planning takes, each measured in a process of its own."""
    peaks = [
        int(subprocess.check_output([sys.executable, "-c", _PLAN, str(scratch), str(count)])) for count in _PLANNED
    ]
    each = (peaks[1] - peaks[0]) / (_PLANNED[1] - _PLANNED[0])
    yield f"A plan takes at most {each:,.0f} bytes a sample: {each * 2e6 / 1e9:.2f} GB for two million"


_PLAN = "import sys; from benchmarks.packing_inside import peak; print(peak(*sys.argv[1:]))"


def peak(scratch: str, samples: str) -> int:
    """The most memory (bytes) that this process had, planning so many samples of a file each."""
    root = Path(scratch, f"plan-{samples}")
    lines = [",".join(row(0))]
    for number in range(int(samples)):
        cells = row(number) | {"image": f"study-{number // 200:012x}/{number:012x}"}
        file = root / "images" / f"{cells['image']}.png"
        if number % 200 == 0:
            file.parent.mkdir(parents=True)
        file.touch()
        lines.append(",".join(cells.values()))
    (root / "samples.csv").write_text("\n".join(lines) + "\n")
    del lines
    plan = make_plan(load(str(_tiny(Path(scratch)))), root)
    assert plan.samples == int(samples)
    told = Path("/proc/self/status").read_text()  # getrusage tells the parent's peak too
    return int(told.partition("VmHWM:")[2].split()[0]) * 1024


def _tiny(scratch: Path) -> Path:
    file = scratch / "tiny.toml"
    file.write_text(RECIPE)
    return file
