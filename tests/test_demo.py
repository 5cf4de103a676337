"""The main job, as a newcomer runs it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ropeway_shardgen.demo import job
from ropeway_shardgen.demo.proof import prove
from ropeway_shardgen.demo.train import TrainPlan

FIELDS = {
    "datasets", "samples", "shards", "delivered", "expected", "duplicates", "missing", "loss_first", "loss_last",
    "accuracy", "baseline", "samples_per_second", "data_wait",
}  # fmt: skip


def demo(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ropeway.cli", "demo", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=170)


@pytest.mark.xdist_group("demo")
def test_the_main_job_on_s3() -> None:
    done = demo("--store", "s3", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found.keys() >= FIELDS
    assert found["datasets"] >= 6
    assert found["delivered"] == found["expected"] > 0
    assert found["duplicates"] == found["missing"] == 0
    assert found["taken_back"] > 0  # it was killed between two checkpoints
    assert found["loss_last"] < found["loss_first"]
    assert found["accuracy"] > found["baseline"] + 0.2


@pytest.mark.xdist_group("demo")
def test_what_is_kept_can_be_explored_with_the_commands_it_prints(tmp_path: Path) -> None:
    done = demo("--keep", str(tmp_path / "kept"))
    assert done.returncode == 0, done.stderr
    assert "exactly once per epoch" in done.stdout
    commands = [line.split() for line in done.stdout.splitlines() if line.startswith("  ropeway ")]
    assert len(commands) >= 5
    for command in commands:
        if command[1] != "serve":
            ran = subprocess.run([sys.executable, "-m", "ropeway.cli", *command[1:]], capture_output=True, check=False)
            assert ran.returncode == 0, ran.stderr
    again = demo("--keep", str(tmp_path / "kept"))
    assert again.returncode == 1
    assert "is not empty" in again.stderr


def test_a_file_is_no_folder_to_keep_things_in(tmp_path: Path) -> None:
    (tmp_path / "kept").touch()
    refused = demo("--keep", str(tmp_path / "kept"))
    assert refused.returncode == 1
    assert refused.stderr.endswith("kept can't be used: File exists; give a new folder\n")
    assert len(refused.stderr.splitlines()) == 1


def test_a_training_that_fails_says_why(tmp_path: Path) -> None:
    plan = TrainPlan(service=str(tmp_path / "absent"), task="a", part="b", where="c > 0", folder=str(tmp_path))
    assert job.start(plan, 1) != 0
    told = job.why_failed(plan)
    assert told.startswith("rank 0 ended with 1")
    assert "NotFound: no such folder" in told  # the rank's own words, not only that torchrun has ended


def log(path: Path, *steps: tuple[int, int, list[str]]) -> Path:
    path.write_text("".join(json.dumps({"epoch": e, "position": p, "keys": k}) + "\n" for e, p, k in steps))
    return path


def test_the_proof_counts_what_a_resume_keeps(tmp_path: Path) -> None:
    killed = log(tmp_path / "a", (0, 2, ["a", "b"]), (0, 4, ["c", "d"]), (1, 2, ["d", "c"]), (1, 4, ["a", "b"]))
    resumed = log(tmp_path / "b", (1, 4, ["b", "a"]))
    verdict = prove([[killed], [resumed]], [(1, 2)], ["a", "b", "c", "d"], 2)
    assert verdict.exactly_once
    assert (verdict.delivered, verdict.expected, verdict.taken_back) == (8, 8, 2)


@pytest.mark.parametrize(
    ("given", "duplicates", "missing"),
    [(["a", "b", "c", "c"], 1, 1), (["a", "b", "c"], 0, 1), (["a", "b", "c", "d", "a"], 1, 0), ([], 0, 4)],
)
def test_the_proof_finds_what_is_wrong(tmp_path: Path, given: list[str], duplicates: int, missing: int) -> None:
    verdict = prove([[log(tmp_path / "a", (0, 4, given))]], [], ["a", "b", "c", "d"], 1)
    assert not verdict.exactly_once
    assert (verdict.duplicates, verdict.missing) == (duplicates, missing)
