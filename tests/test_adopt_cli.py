"""`ropeway adopt` as it is typed, and as it is killed."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import foreign
from ropeway.catalog import StoreCatalog
from ropeway.stores import open_store


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    return foreign.write_shards(tmp_path / "raw", 3)


def ropeway_cli(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ropeway.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def test_an_adoption_that_was_killed_goes_on(tmp_path: Path) -> None:
    real = foreign.write_shard(tmp_path / "real.tar", range(50))
    (tmp_path / "raw").mkdir()
    for number in range(100):
        (tmp_path / f"raw/{number:03d}.tar").symlink_to(real)
    command = [sys.executable, "-m", "ropeway.cli", "adopt", "big", "--shards", f"{tmp_path}/raw/*.tar",
               "--key", "{shard}/{key}", "--store", str(tmp_path / "store"), "--processes", "1", "--json"]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as killed:
        while sum(1 for _ in (tmp_path / "store").rglob("*.parquet")) < 5 and killed.poll() is None:
            time.sleep(0.01)
        killed.kill()
    assert killed.returncode == -signal.SIGKILL
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    told = json.loads(done.stdout)
    assert told["samples"] == 5_000
    assert told["kept"] >= 5
    assert told["read"] == real.stat().st_size * (100 - told["kept"])


def test_the_command(shards: Path, tmp_path: Path) -> None:
    arguments = (
        "adopt", "foreign", "--shards", str(shards / "x-{000..001}.tar"), "--shards", f"valid={shards}/x-002.tar",
        "--store", str(tmp_path / "store"), "--task", "digit=cls", "--meta", "age=json.age", "--json",
    )  # fmt: skip
    done = ropeway_cli(*arguments)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["samples"], told["tasks"], told["kept"]) == (30, ["digit"], 0)
    made = StoreCatalog(open_store(tmp_path / "store")).manifest("foreign")
    assert {split.name: split.samples for split in made.splits} == {"train": 20, "valid": 10}
    twice = ropeway_cli(*arguments, "--meta", "age=json.sex")
    assert twice.returncode == 1
    assert twice.stderr == "ropeway: 'age' is given twice: 'json.age' and 'json.sex'\n"
    (shards / "x-000.tar").write_bytes(b"")
    failed = ropeway_cli(*arguments)
    assert failed.returncode == 1
    assert "x-000.tar" in failed.stderr
    assert failed.stderr.strip().splitlines()[-1].startswith("ropeway: 1 of 3 shards are broken")
