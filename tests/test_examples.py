"""Each framework's example stops in the middle of an epoch and goes on: together they read what one run reads."""

import importlib.util
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

import packed
import ropeway
from ropeway.stores import open_store

EXAMPLES = Path(__file__).parent / "examples"


@pytest.fixture
def store(tmp_path: Path) -> str:
    packed.publish(open_store(tmp_path / "store"), samples=60)
    return str(tmp_path / "store")


def expected(store: str) -> list[list[str]]:
    """The keys of each step of two epochs, as one process reads them."""
    view = ropeway.connect(store).query(task="cls", split="train")
    loader = ropeway.NumpyLoader(view, global_batch_size=8, seed=1, parts=[])
    return [batch["__key__"] for _ in range(2) for batch in loader]


def run(command: Sequence[str | Path]) -> list[list[str]]:
    """The keys of each step that a program prints."""
    environment = {**os.environ, "PYTHONWARNINGS": "ignore", "OMP_NUM_THREADS": "1"}
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False, timeout=150,
                          env=environment)  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return [line.split() for line in done.stdout.splitlines() if line.startswith("k0")]


@pytest.mark.parametrize(
    ("script", "library"),
    [
        ("lightning_fit.py", "lightning"),
        ("accelerate_fit.py", "accelerate"),
        ("trainer_fit.py", "transformers"),
        ("numpy_fit.py", "numpy"),
    ],
)
def test_an_example_goes_on_where_it_stopped(script: str, library: str, store: str, tmp_path: Path) -> None:
    if importlib.util.find_spec(library) is None:
        pytest.skip(f"{library} is not installed")
    command: list[str | Path] = [sys.executable, EXAMPLES / script, store, tmp_path / "checkpoint"]
    first = run([*command, "4"])
    assert len(first) == 4
    assert first + run(command) == expected(store)


def test_ddp_goes_on_with_another_number_of_ranks(store: str, tmp_path: Path) -> None:
    def torchrun(ranks: int, *arguments: str) -> list[list[str]]:
        launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks)]
        return run([*launch, EXAMPLES / "ddp.py", store, tmp_path / "checkpoint", *arguments])

    first = torchrun(2, "4")
    assert len(first) == 2 * 4
    rest = torchrun(1)
    steps = expected(store)
    assert sorted(key for step in first for key in step) == sorted(key for step in steps[:4] for key in step)
    assert rest == steps[4:]
