"""JAX trains from the NumPy loader with no torch to import, stops within an epoch, and ends where one run ends."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import packed
import ropeway
from ropeway.stores import open_store

pytest.importorskip("jaxlib", reason="jax is not installed")

EXAMPLE = Path(__file__).parent / "examples/jax_fit.py"
WITHOUT_TORCH = "import runpy, sys; sys.modules['torch'] = None; runpy.run_path(sys.argv.pop(1), run_name='__main__')"


def run(store: Path, checkpoint: Path, *stop: str) -> list[list[str]]:
    """The keys of each step that the program prints."""
    command = [sys.executable, "-c", WITHOUT_TORCH, str(EXAMPLE), str(store), str(checkpoint), *stop]
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=150, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    return [line.split() for line in done.stdout.splitlines()]


def arrays(checkpoint: Path) -> dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
    with np.load(checkpoint) as saved:
        return {name: saved[name] for name in ("w", "b")}


def test_a_stopped_run_and_the_rest_are_one_run_to_the_last_bit(tmp_path: Path) -> None:
    packed.publish(open_store(tmp_path / "store"), samples=60)
    view = ropeway.connect(str(tmp_path / "store")).query(task="cls", split="train")
    loader = ropeway.NumpyLoader(view, global_batch_size=8, seed=1, parts=[])
    expected = [batch["__key__"] for _ in range(2) for batch in loader]
    whole, parted = tmp_path / "whole.npz", tmp_path / "parted.npz"
    assert run(tmp_path / "store", whole) == expected
    assert run(tmp_path / "store", parted, "4") == expected[:4]
    halfway = arrays(parted)
    assert run(tmp_path / "store", parted) == expected[4:]
    for name, weights in arrays(whole).items():
        np.testing.assert_array_equal(arrays(parted)[name], weights)
        assert np.isfinite(weights).all()
        assert not np.array_equal(weights, halfway[name])
