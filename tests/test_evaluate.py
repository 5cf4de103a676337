"""Exact evaluation, in one process and in several."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import packed
import ropeway
from ropeway.errors import UsageError
from ropeway.stores import open_store

JOB = """
import json, sys
import torch, torch.distributed as dist
import ropeway
dist.init_process_group("gloo")
view = ropeway.connect(sys.argv[1]).query()
found = ropeway.evaluate(view, lambda batch: {"mean": batch["x"].float().mean(dim=(1, 2)), "y": batch["task.cls"]}, 4)
with open(f"{sys.argv[2]}/{dist.get_rank()}.json", "w") as file:
    json.dump({"mean": found["mean"].tolist(), "y": found["y"].tolist(), "keys": found["__key__"]}, file)
dist.destroy_process_group()
"""


def test_each_sample_counts_once(tmp_path: Path) -> None:
    packed.publish(open_store(tmp_path), samples=23)
    view = ropeway.connect(str(tmp_path)).query()
    found = ropeway.evaluate(view, lambda batch: {"mean": batch["x"].float().mean(dim=(1, 2))}, 5, parts=["x"])
    assert isinstance(found["mean"], np.ndarray)
    assert found["mean"].tolist() == list(range(23))
    assert found["__key__"] == [f"k{i:06d}" for i in range(23)]
    with pytest.raises(UsageError, match=r"step gave 'loss' of shape \(\) for 5 samples"):
        ropeway.evaluate(view, lambda batch: {"loss": torch.tensor(1.0)}, 5)


def test_every_rank_gets_all_in_storage_order(tmp_path: Path) -> None:
    packed.publish(open_store(tmp_path / "store"), samples=23)
    (tmp_path / "job.py").write_text(JOB)
    launch = [sys.executable, "-m", "torch.distributed.run", "--nnodes", "1", "--nproc-per-node", "3"]
    rendezvous = ["--rdzv-backend", "c10d", "--rdzv-endpoint", "127.0.0.1:0"]
    job = [str(tmp_path / "job.py"), str(tmp_path / "store"), str(tmp_path)]
    done = subprocess.run([*launch, *rendezvous, *job], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    for rank in range(3):
        found = json.loads((tmp_path / f"{rank}.json").read_text())
        assert found["mean"] == list(range(23))
        assert found["y"] == [i % 3 for i in range(23)]
        assert found["keys"] == [f"k{i:06d}" for i in range(23)]
