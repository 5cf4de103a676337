"""The README runs: its Python, its recipe, and its commands are those of the program."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import climb_table
from ropeway.catalog import connect
from ropeway.stores import open_store
from ropeway_shardgen import raw_samples, recipe
from ropeway_shardgen.pack import pack

README = (Path(__file__).parents[1] / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def test_the_python_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    pack(recipe.load("pbmc68k"), raw_samples.fetch(), open_store(tmp_path / "demo/store"))
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for block in blocks("python"):
        exec(block, names)
    assert "CD19+ B" in capsys.readouterr().out
    assert set(names["state"]) == {"seed", "epoch", "position", "view", "order"}  # type: ignore[call-overload]


def test_the_table_of_recipes_is_up_to_date() -> None:
    assert climb_table.replaced(README) == README, "run: PYTHONPATH=tests python tests/climb_table.py README.md"


def test_the_recipe_packs(tmp_path: Path) -> None:
    [text] = blocks("toml")
    (tmp_path / "my-trial.toml").write_text(text)
    rows = "".join(f"{number},{40 + number},{number / 2},{number % 2}\n" for number in range(40))
    (tmp_path / "patients.csv").write_text("id,age,size,recurred\n" + rows)
    command = [sys.executable, "-m", "ropeway.cli", "pack", "my-trial.toml", "--root", ".", "--store", "store"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    assert connect(str(tmp_path / "store")).query(task="recurrence", where="age >= 60").samples == 20


def test_every_command_it_shows_exists() -> None:
    shown = {
        line.split()[2] for block in blocks("console") for line in block.splitlines() if line.startswith("$ ropeway ")
    }
    listed = subprocess.run([sys.executable, "-m", "ropeway.cli", "--help"], capture_output=True, text=True, check=True)
    assert shown
    for command in shown:
        assert f" {command} " in listed.stdout


def test_the_format_section_is_what_is_stored(tmp_path: Path) -> None:
    import packed

    packed.publish(open_store(tmp_path))
    stored = {stat.path.replace(packed.VERSION, "<version>") for stat in open_store(tmp_path).objects()}
    for path in (
        "latest.json",
        "<version>/manifest.json",
        "<version>/index/00000.parquet",
        "<version>/train-000000.tar",
    ):
        assert f"<store>/<dataset>/{path}" in README
        assert f"d/{path}" in stored
