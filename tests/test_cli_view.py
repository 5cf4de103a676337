"""`ropeway view` as a user types it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import packed
from ropeway.stores import open_store


@pytest.fixture
def store(tmp_path: Path) -> str:
    packed.publish(open_store(tmp_path / "store"), samples=103)
    return str(tmp_path / "store")


def ropeway(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ropeway.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def test_a_few_shot_view_is_saved_listed_shown_and_streamed_by_name(store: str) -> None:
    saved = ropeway("view", "save", "five", "-s", store, "--task", "cls", "--few-shot", "5", "--tag", "paper")
    assert saved.stdout.startswith("saved five: view "), saved.stderr
    (listed,) = json.loads(ropeway("view", "ls", "-s", store, "--tag", "paper", "--json").stdout)
    assert (listed["name"], listed["samples"]) == ("five", 15)
    assert "no named views" in ropeway("view", "ls", "-s", store, "--tag", "other").stdout
    shown = ropeway("view", "show", "five", "-s", store).stdout
    assert f"view {listed['view']}: 15 samples" in shown
    assert '"kind": "few-shot"' in shown
    streamed = json.loads(ropeway("stream", "five", "-s", store, "--batch-size", "5", "--json").stdout)
    assert (streamed["view"], streamed["samples"]) == (listed["view"], 15)


def test_a_view_is_made_of_a_saved_one(store: str) -> None:
    assert ropeway("view", "save", "all", "-s", store, "--where", "age < 60").returncode == 0
    made = ropeway("view", "save", "even", "-s", store, "--of", "all", "--task", "cls", "--balanced", "--limit", "9",
                   "--json")  # fmt: skip
    assert json.loads(made.stdout)["samples"] == 9


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--few-shot", "5"), "name their --task"),
        (("--of", "x", "--where", "age < 3"), "'x' names one view: leave out --where"),
        (("--of", "nobody"), "no view named 'nobody' is saved here"),
        (("--limit", "1000"), "a limit is from 1"),
        (("--domain", "MRI"), "no dataset matches: domain='MRI'"),
    ],
)
def test_what_cannot_be_saved_is_one_clear_line(store: str, options: tuple[str, ...], says: str) -> None:
    done = ropeway("view", "save", "mine", "-s", store, *options)
    assert done.returncode == 1
    assert says in done.stderr
    assert done.stderr.count("\n") == 1
