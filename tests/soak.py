"""The correctness suite: random schedules of kills and resizes, each held against one uninterrupted run.

    make soak                                  200 schedules, as a table
    make soak ARGS="--schedules 1000 --first 5000"
    make soak ARGS="--replay 137"              one of them again, with what it did

A schedule is drawn from its number alone: a dataset's shape, a filter or a mix, batch, tail, order, and a list of
worlds with the step at which each one is killed. Every rank of every world runs the real loader (or the torch dataset
in a DataLoader with worker processes), and what all ranks were given is put together step by step. Checked:

    same batches   the interrupted run gave the same global batches as the uninterrupted run of one rank
    exactly once   each sample of the view came once per epoch (mixes: once per epoch of its source)
    equal steps    all ranks of a world took the same number of steps
"""

import argparse
import json
import random
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from time import perf_counter
from typing import Any

import ropeway
from ropeway.mixing import Mix
from ropeway.order import Order, Sequential, Shuffled
from ropeway.steps import Tail
from ropeway.stores import open_store
from ropeway.view import View

sys.path.insert(0, str(Path(__file__).parent))
import packed

BATCHES = (6, 12, 24)
"""Global batches; every world size drawn divides all of them or is drawn from the divisors."""


@dataclass(frozen=True)
class Leg:
    """One start of the job: so many ranks, killed after so many steps (None: it finishes its epochs)."""

    ranks: int
    steps: int | None
    workers: int

    def __str__(self) -> str:
        return f"{self.ranks}{f'w{self.workers}' if self.workers else ''}×{self.steps or 'end'}"


@dataclass(frozen=True)
class Schedule:
    """Everything one number stands for."""

    number: int
    datasets: tuple[int, ...]
    per_shard: int
    where: str | None
    mixing: str | None
    batch: int
    tail: Tail
    order: Order
    seed: int
    epochs: int
    memory: bool
    legs: tuple[Leg, ...]

    def __str__(self) -> str:
        legs = " → ".join(
            f"{leg.ranks}{f'w{leg.workers}' if leg.workers else ''}×{leg.steps or 'end'}" for leg in self.legs
        )
        what = f"{self.mixing or 'view'} {'+'.join(map(str, self.datasets))}{' where' if self.where else ''}"
        order = f"L{self.order.lanes} K{self.order.window}" if isinstance(self.order, Shuffled) else "sequential"
        return f"{what:28} batch {self.batch:2} {self.tail:4} {order:12} {legs}"


def draw(number: int) -> Schedule:
    """The schedule of a number."""
    rng = random.Random(number)
    mixing = rng.choice([None, None, None, "per-source", "mixed"])
    datasets = tuple(rng.randint(30, 160) for _ in range(rng.randint(2, 3) if mixing else rng.randint(1, 2)))
    batch = rng.choice(BATCHES)
    epochs = rng.randint(1, 2)
    divisors = [w for w in range(1, 7) if batch % w == 0]
    tail: Tail = "drop" if mixing else rng.choice(["drop", "pad", "pad", "wrap"])
    order: Order = Sequential() if rng.random() < 0.1 else Shuffled(
        lanes=rng.choice([1, 4, 12, 48, 192]), window=rng.randint(1, 4), block_bytes=rng.choice([None, 4096, 65536])
    )  # fmt: skip
    legs = [
        Leg(rng.choice(divisors), rng.randint(1, 12), rng.choice([0, 0, 0, 0, 2])) for _ in range(rng.randint(1, 3))
    ]
    legs.append(Leg(rng.choice(divisors), None, 0))
    return Schedule(
        number, datasets, rng.choice([7, 40, 1000]), rng.choice([None, None, "age < 60 and label <> 'b'"]), mixing,
        batch, tail, order, rng.getrandbits(48), epochs, rng.random() < 0.5, tuple(legs),
    )  # fmt: skip


Given = list[tuple[str, str]]
"""What one rank was really given at a step: (source or dataset, key)."""


def given(batch: dict[str, Any]) -> Given:
    """The samples of a batch of any kind, padding left out."""
    if "__source__" in batch:
        return [(batch["__source__"], key) for key in batch["__key__"]]
    if "__key__" not in batch:
        return [(name, key) for name, part in batch.items() for key in part["__key__"]]
    names = batch.get("__dataset__", [""] * len(batch["__key__"]))
    real = batch["__mask__"].tolist() if "__mask__" in batch else [True] * len(names)
    return [pair for pair, is_real in zip(zip(names, batch["__key__"], strict=True), real, strict=True) if is_real]


def run_rank(
    what: View | Mix, plan: Schedule, leg: Leg, rank: int, state: dict[str, Any] | None
) -> tuple[list[Given], dict[str, Any]]:
    """One rank of one leg: its steps, and the state it would save."""
    options: dict[str, Any] = {
        "global_batch_size": plan.batch, "seed": plan.seed, "order": plan.order, "tail": plan.tail, "rank": rank,
        "world_size": leg.ranks, "parts": ["x"],
    }  # fmt: skip
    if leg.workers:
        from torch.utils.data import DataLoader

        stateful: Any = ropeway.StreamingDataset(what, **options)
        source: Any = DataLoader(stateful, batch_size=None, num_workers=leg.workers)
    else:
        stateful = source = ropeway.StreamingLoader(what, **options)
    if state is not None:
        stateful.load_state_dict(json.loads(json.dumps(state)))

    def batches() -> Iterator[dict[str, Any]]:
        while stateful.state_dict()["epoch"] < plan.epochs:
            yield from source

    steps = [given(batch) for batch in islice(batches(), leg.steps)]
    return steps, stateful.state_dict()


def run_world(
    what: View | Mix, plan: Schedule, leg: Leg, state: dict[str, Any] | None
) -> tuple[list[Given], dict[str, Any]]:
    """All ranks of one leg; their steps put together."""
    ranks = [run_rank(what, plan, leg, rank, state) for rank in range(leg.ranks)]
    steps = {len(share) for share, _ in ranks}
    assert len(steps) == 1, f"ranks took different numbers of steps: {steps}"
    states = [saved for _, saved in ranks]
    assert all(saved == states[0] for saved in states), "ranks would save different states"
    return [sorted(chain.from_iterable(step)) for step in zip(*(share for share, _ in ranks), strict=True)], states[0]


def check(plan: Schedule, url: str) -> int:
    """Run a schedule; returns how many samples it gave. Raises AssertionError when a property does not hold."""
    store = open_store(url)
    for number, samples in enumerate(plan.datasets):
        packed.publish(store, f"d{number}", samples=samples, per_shard=plan.per_shard)
    catalog = ropeway.connect(url)
    task = "cls" if plan.where else None
    views = [catalog.query(task=task, where=plan.where, datasets=[f"d{n}"]) for n in range(len(plan.datasets))]
    what: View | Mix
    if plan.mixing:
        weights = [1.0 + number for number in range(len(views))]
        what = ropeway.mix(dict(zip(views, weights, strict=True)), batches=plan.mixing)  # type: ignore[arg-type]
    else:
        what = catalog.query(task=task, where=plan.where)
    if what.samples < plan.batch:
        return 0
    whole, _ = run_world(what, plan, Leg(1, None, 0), None)
    together: list[Given] = []
    state: dict[str, Any] | None = None
    for leg in plan.legs:
        steps, state = run_world(what, plan, leg, state)
        together += steps
    assert together == whole, "the interrupted run gave other global batches than the uninterrupted one"
    _check_counts(plan, what, together)
    return sum(map(len, together))


def _check_counts(plan: Schedule, what: View | Mix, steps: list[Given]) -> None:
    counts = Counter(chain.from_iterable(steps))
    if isinstance(what, Mix):
        for name, view in what.sources.items():
            times = [counts[name, key] for key in view.table().keys.to_pylist()]
            assert max(times) - min(times) <= 1, (
                f"source {name}: some samples came {max(times)}, others {min(times)} times"
            )
        return
    per_epoch = len(steps) // plan.epochs
    for epoch in range(plan.epochs):
        inside = Counter(chain.from_iterable(steps[epoch * per_epoch : (epoch + 1) * per_epoch]))
        if plan.tail == "drop":
            assert max(inside.values()) == 1
            assert len(inside) == what.samples // plan.batch * plan.batch
        elif plan.tail == "pad":
            assert max(inside.values()) == 1
            assert len(inside) == what.samples
        else:
            assert len(inside) == what.samples
            assert sum(inside.values()) == -(-what.samples // plan.batch) * plan.batch


def run(number: int) -> tuple[Schedule, int, str]:
    """One schedule: what it was, how many samples it gave, and what went wrong (nothing: empty)."""
    plan = draw(number)
    with tempfile.TemporaryDirectory(prefix="ropeway-soak-") as folder:
        url = f"memory://soak-{number}" if plan.memory and not any(leg.workers for leg in plan.legs) else folder
        try:
            return plan, check(plan, url), ""
        except (AssertionError, ropeway.RopewayError):
            return plan, 0, traceback.format_exc()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--schedules", type=int, default=200)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--replay", type=int)
    arguments = parser.parse_args()
    first = arguments.first if arguments.replay is None else arguments.replay
    numbers = range(first, first + (arguments.schedules if arguments.replay is None else 1))
    failed, samples, began = [], 0, perf_counter()
    for number in numbers:
        plan, gave, problem = run(number)
        samples += gave
        sys.stdout.write(f"{number:6}  {'FAILED' if problem else 'ok':6} {plan}  {gave:6,} samples\n")
        if problem:
            failed.append(number)
            sys.stdout.write(problem)
    sys.stdout.write(
        f"{len(numbers) - len(failed)} passed, {len(failed)} failed; {samples:,} samples, "
        f"{perf_counter() - began:.0f} s\n"
    )
    for number in failed:
        sys.stdout.write(f'again: make soak ARGS="--replay {number}"\n')
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
