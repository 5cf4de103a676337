"""Workplaces: filled once, private, and gone with the last process."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ropeway_shardgen.formats import workplace


@pytest.fixture(autouse=True)
def _own_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    yield
    for place in [place for place in workplace._HELD if place.is_relative_to(tmp_path)]:
        workplace.release(place)


def test_a_workplace_is_filled_once_private_and_removed_by_the_last(tmp_path: Path) -> None:
    filled: list[Path] = []

    def fill(place: Path) -> None:
        filled.append(place)
        (place / "made").write_text("x")

    stale = workplace._home() / "log.killed.part"
    stale.mkdir()
    place = workplace.shared("log", fill)
    assert place == workplace.shared("log", fill)
    assert len(filled) == 1
    assert place.parent.stat().st_mode & 0o077 == 0
    assert not stale.exists()
    other = (
        "import sys, tempfile; tempfile.tempdir = sys.argv[1]\n"
        "from ropeway_shardgen.formats import workplace\n"
        "print((workplace.shared('log', lambda _: 1 / 0) / 'made').read_text())"
    )
    command = [sys.executable, "-c", other, str(tmp_path)]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "x\n"
    assert place.exists()  # the other process was not the last
    workplace.release(place)
    assert list(workplace._home().iterdir()) == []


def test_a_workplace_that_fails_to_fill_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        workplace.shared("log", lambda _: 1 / 0)  # type: ignore[arg-type]
    assert [path.name for path in workplace._home().iterdir()] == ["log.lock"]
    workplace._home().chmod(0o755)
    with pytest.raises(PermissionError, match="closed to others"):
        workplace.shared("log", lambda _: None)


def test_many_processes_fill_and_remove_it_in_turn(tmp_path: Path) -> None:
    script = (
        "import sys, tempfile; tempfile.tempdir = sys.argv[1]\n"
        "from pathlib import Path\n"
        "from ropeway_shardgen.formats import workplace\n"
        "def fill(place): (place / 'made').write_text('whole')\n"
        "for turn in range(300):\n"
        "    place = workplace.shared('log', fill)\n"
        "    assert (place / 'made').read_text() == 'whole'\n"
        "    workplace.release(place)\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    running = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    assert [process.communicate(timeout=60)[1] for process in running] == [""] * 3
    assert list(workplace._home().iterdir()) == []
