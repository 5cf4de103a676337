"""`ropeway pack` and `ropeway recipes`: what they print, and one clear line where something is wrong."""

import io
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner, Result

from ropeway.errors import RopewayError
from ropeway.stores import LocalStore
from ropeway_shardgen.cli import register
from ropeway_shardgen.pack import pack
from ropeway_shardgen.report import Bar, as_json
from shardgen_raw import RECIPE, recipe, row, write_raw, write_table


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "tiny.toml").write_text(RECIPE)
    return write_raw(tmp_path / "raw")


def run(*words: object) -> Result:
    app = typer.Typer()
    register(app)
    return CliRunner().invoke(app, [str(word) for word in words])


def failure(*words: object) -> str:
    """The one line that the program would print."""
    result = run(*words)
    assert isinstance(result.exception, RopewayError), result.output
    assert "\n" not in str(result.exception)
    return str(result.exception)


def test_pack_prints_a_summary(root: Path, tmp_path: Path) -> None:
    words = ["pack", tmp_path / "tiny.toml", "--root", root, "--store", tmp_path / "store"]
    result = run(*words)
    assert result.exit_code == 0
    assert "packed tiny" in result.output
    assert "60 samples in" in result.output
    assert "train" in result.output
    assert "nothing to do" in run(*words).output


def test_pack_as_json(root: Path, tmp_path: Path) -> None:
    words = ["pack", tmp_path / "tiny.toml", "--root", root, "--store", tmp_path / "store", "--json", "--limit", 20]
    told = json.loads(run(*words, "--workers", 1, "--shard-size", "20kB").stdout)
    assert (told["dataset"], told["samples"], told["already_published"]) == ("tiny", 20, False)
    assert sum(told["splits"].values()) == 20
    assert told["shards"] > 1
    assert json.loads(run(*words, "--shard-size", "20kB").stdout)["already_published"] is True


def test_skip_is_reported(root: Path, tmp_path: Path) -> None:
    (root / "images/0003.png").write_bytes(b"broken")
    words = ["pack", tmp_path / "tiny.toml", "--root", root, "--store", tmp_path / "store"]
    assert "images/0003.png" in failure(*words)
    result = run(*words, "--on-error", "skip")
    assert result.exit_code == 0
    assert "left out: 1 samples (1 unreadable file)" in result.output


def test_check_says_what_is_missing(root: Path, tmp_path: Path) -> None:
    words = ["pack", tmp_path / "tiny.toml", "--root", root, "--check"]
    assert "ready tiny: 60 samples from 61 raw files" in run(*words).output
    (root / "images/0003.png").unlink()
    write_table(root, [row(n) | ({"finding": "7"} if n == 9 else {}) for n in range(60)])
    result = run(*words)
    assert "images/0003.png" in result.output
    assert "label '7'" in result.output
    assert "label '7'" in failure(*words)
    assert len(json.loads(run(*words, "--json").stdout)["problems"]) == 2
    assert not (tmp_path / "store").exists()


def test_check_opens_a_file_of_each_part(root: Path, tmp_path: Path) -> None:
    words = ["pack", tmp_path / "tiny.toml", "--root", root, "--check"]
    for file in (root / "images").iterdir():
        file.write_bytes(file.read_bytes()[:-20])
    assert re.search(r"raw file cannot be read: images/\d{4}\.png: a PNG cut short", failure(*words))
    [problem] = json.loads(run(*words, "--json").stdout)["problems"]
    assert "a PNG cut short" in problem


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["pack", "pbmc86k", "--root", ".", "--store", "x"], "no recipe 'pbmc86k': did you mean 'pbmc68k'?"),
        (["pack", "gone.toml", "--root", ".", "--store", "x"], "recipe gone.toml: cannot be read"),
        (["pack", "lung", "--root", "nowhere", "--store", "x"], "no such folder of raw data: nowhere"),
        (["pack", "lung", "--root", ".", "--store", "x"], "raw file missing: lifelines/datasets/lung.csv"),
        (["pack", "lung", "--root", "."], "where to? give --store"),
        (["pack", "lung", "--root", ".", "--store", "ftp://x"], "not a store URL"),
        (["pack", "lung", "--root", ".", "--store", "x", "--shard-size", "big"], "not a size: 'big'"),
        (["pack", "lung", "--root", ".", "--store", "x", "--pseudonym-key", "gone"], "cannot read the pseudonym key"),
        (["recipes", "nothing"], "no recipe 'nothing'"),
    ],
)
def test_bad_input(words: list[str], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert told in failure(*words)
    assert not list(tmp_path.iterdir())


def test_a_pseudonym_key_must_be_long(root: Path, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("short\n")
    words = ["pack", tmp_path / "tiny.toml", "--root", root, "--store", tmp_path / "store"]
    assert "shorter than 16 bytes" in failure(*words, "--pseudonym-key", tmp_path / "key")
    (tmp_path / "key").write_text("long enough to be a key\n")
    assert run(*words, "--pseudonym-key", tmp_path / "key").exit_code == 0


def test_recipes_are_listed() -> None:
    told = json.loads(run("recipes", "--json").stdout)
    cells = next(one for one in told if one["id"] == "pbmc68k")
    assert cells["tasks"][0]["id"] == "cell-type"
    assert cells["licence"] == "BSD-3-Clause"
    assert {"title", "domain", "modalities", "access", "unit", "parts", "raw"} <= set(cells)
    assert "pbmc68k" in run("recipes").output


def test_the_list_shows_what_people_choose_by(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    head, *lines = run("recipes").output.splitlines()
    assert " ".join(head.split()) == "recipe domain modality parts samples one is tasks licence access"
    [row] = [line for line in lines if line.startswith("covid-blues ")]
    for cell in ("ultrasound", "video", "362", "covid, age", "CC-BY-NC-ND-4.0", "open"):
        assert cell in row


def test_one_recipe_tells_where_its_raw_data_is() -> None:
    output = run("recipes", "dicom-images").output
    assert "pip download --no-deps pydicom==3.0.2" in output
    assert "dicomdirtests" in output
    assert json.loads(run("recipes", "lung", "--json").stdout)["id"] == "lung"


def test_listing_recipes_needs_no_raw_format_library() -> None:
    program = (
        "import sys; from ropeway_shardgen.recipe import available; available();"
        "print([m for m in ('pydicom', 'h5py', 'nibabel', 'pyedflib', 'torch') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_the_bar_shows_progress_on_a_terminal_only(root: Path, tmp_path: Path) -> None:
    for terminal in (True, False):
        out = io.StringIO()
        store = LocalStore(tmp_path / f"store-{terminal}")
        with Bar(Console(file=out, force_terminal=terminal, width=120)) as bar:
            packed = pack(recipe(), root, store, watch=bar)
        assert ("60/60 samples" in out.getvalue()) == terminal
        assert as_json(packed, store.url, 0.5)["samples"] == 60
