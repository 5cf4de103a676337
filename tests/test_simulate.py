"""The simulation says what a job then does."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import packed
from ropeway import simulate
from ropeway.bursts import grouped
from ropeway.fetch import Fetched
from ropeway.order import OPEN_BYTES, Shuffled
from ropeway.plan import MAX_REQUEST
from ropeway.steps import Batching
from ropeway.stores import open_store
from ropeway.tuning import Tuning
from ropeway.wanted import MEMORY
from ropeway.world import World
from test_order import table


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ropeway.cli", "simulate", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


@pytest.mark.parametrize("world", [1, 8, 64])
@pytest.mark.parametrize(("samples", "length"), [(600, 4096), (40_000, 25_600), (100_000, 1536)])
def test_the_default_mixes_and_reads_nothing_twice(samples: int, length: int, world: int) -> None:
    view = table(np.full(samples, length), per_shard=10_000)
    order = Shuffled()
    epoch, _ = simulate.readiness(simulate.blocks_of(view, order), order, world, seed=0)
    labels = np.arange(samples) * 10 // samples  # sorted by label
    assert simulate.mixing(epoch, labels, 10, 192, seed=0).ratio >= 0.985
    for rank in simulate.reads(view, order, 192, world, seed=0, memory=MEMORY):
        assert rank.amplification <= 1.05
    assert order.appetite(view, 1).held <= OPEN_BYTES


def test_it_counts_what_a_run_reads() -> None:
    view = table(np.full(3000, 9216), per_shard=700)
    order = Shuffled(lanes=8, window=2, block_bytes=100_000)

    class Counting:
        bytes = 0

        def read(self, shard: int, start: int, stop: int) -> memoryview:
            self.bytes += stop - start
            return memoryview(bytes(stop - start))

        def map(self, shard: int) -> memoryview | None:
            return None

    for said in simulate.reads(view, order, 32, 4, seed=3, memory=MEMORY):
        reader = Counting()
        steps = Batching(32, World(said.rank, 4), "drop").steps(order.epoch(view, 3, 0), 0)
        bursts = Fetched(view, reader, memory=MEMORY, look=1 << 20, tuning=Tuning(MAX_REQUEST, 2)).bursts(
            grouped(steps, view.length)
        )
        given = sum(int(burst.lengths.sum()) for burst in bursts)
        assert (said.read, said.delivered) == (reader.bytes, given)


def test_a_made_up_dataset_needs_no_table_of_samples() -> None:
    done = run("--samples", "4.51e6", "--world", "64", "--global-batch-size", "512", "--json")
    found = json.loads(done.stdout)
    assert found["steps"] == 4_510_000 // 512
    assert found["entropy_ratio"] >= 0.985
    assert found["order_bytes"] < 10e6


def test_a_view_is_simulated_and_drawn(tmp_path: Path) -> None:
    packed.publish(open_store(tmp_path / "store"), samples=500)
    picture = tmp_path / "order.png"
    asked = ("--store", str(tmp_path / "store"), "--task", "cls", "--global-batch-size", "60", "--plot", str(picture))
    done = run(*asked, "--world", "4")
    assert done.returncode == 0, done.stderr
    assert "no two ranks read the same block" in done.stdout
    assert picture.read_bytes()[:4] == b"\x89PNG"
    uneven = run(*asked, "--world", "5")
    assert "lanes=195 keeps their reads apart" in uneven.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "simulate needs --store"),
        (("--samples", "1000", "--split", "train"), "leave out the view and the options of a query"),
        (("--samples", "1000", "--world", "7"), "the nearest world sizes that do are 4 or 8"),
        (("--store", "/no/such/place"), "no such folder"),
        (("--samples", "1000", "--lanes", "0"), "lanes must be at least 1"),
        (
            ("--samples", "100", "--global-batch-size", "104"),
            "there are 100 samples, fewer than one global batch of 104",
        ),
    ],
)
def test_what_cannot_be_is_told(arguments: tuple[str, ...], words: str) -> None:
    done = run(*arguments)
    assert done.returncode == 1
    assert words in done.stderr
