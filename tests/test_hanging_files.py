"""Raw files in which a library's C code loops for ever, or ends its process: named, or left out and counted, as the
policy says; the same bytes by every engine. The damage is real: HDF5 does so on a length in its global heap that leads
into zeros, and on a wrong version of an attribute's type."""

import hashlib
import json
import signal
from pathlib import Path

import h5py
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from apart_reading import SlowStore, lists, makes, reads, tells
from ropeway.cli import make_app
from ropeway.errors import RopewayError
from ropeway.stores import LocalStore
from ropeway_shardgen import clusters, reading
from ropeway_shardgen.apart import Apart, Ended
from ropeway_shardgen.attempts import attempts
from ropeway_shardgen.engine import in_processes
from ropeway_shardgen.engine_dask import dask_engine
from ropeway_shardgen.pack import Watch, pack
from ropeway_shardgen.plan import Settings
from ropeway_shardgen.problems import SampleError
from ropeway_shardgen.reading import NOTE, Limit, Note, OneOfMany, Place, rest, watched
from ropeway_shardgen.recipe import loads

SECONDS = 2.0
FILES = "abcdef"

HEAD = """
id = "cells"
{key}
[card]
title = "Cells"
domain = "test"
modalities = ["expression"]
licence = "CC0-1.0"
access = "open"
unit = "cell"
[raw]
get = "made by a test"
folder = "*.h5ad"
[parts.genes]
kind = "table"
adapter = "h5ad"
file = "{file}"
[split]
rule = "subject-hash"
fractions = { train = 1.0 }
"""
TABLE = HEAD.replace("{key}", 'key = "{file}"').replace('"{file}"\n[split]', '"{file}.h5ad"\n[split]')
TABLE += '[source]\ntable = "samples.csv"\n'
LISTED = HEAD.replace("{key}", 'key = "{stem}/{cell}"').replace('"{file}"', '"{path}"')
LISTED += '[source]\nfiles = ["*.h5ad"]\nadapter = "h5ad"\n'

DAMAGE = {
    "loops": (b"\x06\0" + bytes(6) + b"_index\0\0", b"\0\x08" + bytes(6) + b"_index\0\0"),
    "crashes": (b"_index\0\0\x19\x01\x01", b"_index\0\0\x19\xff\x01"),
}


def cells(path: Path, damage: str = "") -> None:
    """A matrix of eight cells and four genes."""
    with h5py.File(path, "w") as file:
        file["X"] = np.arange(32, dtype="f4").reshape(8, 4)
        for name, count in (("obs", 8), ("var", 4)):
            group = file.create_group(name)
            group.attrs["_index"] = "_index"
            group.create_dataset("_index", data=[f"{name}{n}" for n in range(count)], dtype=h5py.string_dtype())
    if damage:
        sound, spoilt = DAMAGE[damage]
        assert sound in path.read_bytes()
        path.write_bytes(path.read_bytes().replace(sound, spoilt))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Six files: reading the second loops for ever, the fourth ends the process."""
    (tmp_path / "raw").mkdir()
    for name in FILES:
        cells(tmp_path / f"raw/{name}.h5ad", {"b": "loops", "d": "crashes"}.get(name, ""))
    (tmp_path / "raw/samples.csv").write_text("\n".join(["file", *FILES]) + "\n")
    for name, text in (("table", TABLE), ("listed", LISTED)):
        (tmp_path / f"{name}.toml").write_text(text)
    return tmp_path / "raw"


def run(root: Path, recipe: str, *words: str) -> Result:
    command = ["pack", str(root.parent / f"{recipe}.toml"), "--root", str(root), *words]
    return CliRunner().invoke(make_app(), [*command, "--file-seconds", str(SECONDS)])


def packed(root: Path, store: Path, *words: str) -> Result:
    return run(root, "table", "--store", str(store), *words)


def contents(store: Path) -> dict[str, str]:
    one = LocalStore(store)
    return {stat.path: hashlib.sha256(one.read(stat.path)).hexdigest() for stat in one.objects()}


def test_a_file_that_loops_while_it_is_listed_is_named(root: Path) -> None:
    """So far nothing is packed: it is the plan that would never end."""
    error = run(root, "listed", "--check").exception
    assert isinstance(error, SampleError)
    assert str(error) == (
        "raw file cannot be read: b.h5ad: it took more than 2 s; is it damaged? (--file-seconds allows more) "
        "[dataset cells]"
    )


def test_a_file_that_ends_the_process_is_named(root: Path, tmp_path: Path) -> None:
    (root / "samples.csv").write_text("file\na\nd\n")
    error = packed(root, tmp_path / "store").exception
    assert isinstance(error, SampleError)
    assert "d.h5ad: the library that reads it ends the process; it is damaged [dataset cells, key d]" in str(error)


def test_such_files_are_left_out_the_same_way_by_every_engine(root: Path, tmp_path: Path) -> None:
    command = packed(root, tmp_path / "store", "--on-error", "skip", "--shard-size", "4kB", "--json")
    assert command.exit_code == 0, command.exception
    told = json.loads(command.stdout)
    assert (told["samples"], told["skipped"]) == (4, {"crash": 1, "out of time": 1})
    assert told["shards"] > 1
    for number, engine in enumerate((in_processes(2, SECONDS), dask_engine(clusters.local(1), SECONDS))):
        store, counted = tmp_path / f"store-{number}", Counted()
        settings = Settings(shard_size=4000, on_error="skip")
        pack(loads(TABLE, "table.toml"), root, LocalStore(store), settings, engine=engine, watch=counted)
        assert contents(store) == contents(tmp_path / "store")
        assert counted.samples == 6, "what is packed again counts once"


class Counted(Watch):
    """Sums up the samples that it is told of."""

    samples = 0

    def advance(self, samples: int, size: int) -> None:
        self.samples += samples


def test_a_pack_goes_on_until_too_many_files_are_left_out() -> None:
    tried: list[int] = []

    def attempt(limit: Limit) -> None:
        tried.append(len(limit.left_out))
        raise Ended("", Place(f"{len(tried)}.h5ad"), signal.SIGALRM)

    with pytest.raises(RopewayError, match=r"16 files have been left out .* 17\.h5ad is one more"):
        attempts(attempt, 1, "skip", "cells")
    assert tried == list(range(17))


def test_only_reading_is_against_the_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "signal.py").write_text("raise ImportError")  # no program of ours: raw folders hold anything
    monkeypatch.chdir(tmp_path)
    with Apart(None) as apart:
        assert apart.call(Limit(0.5), makes, 0.8, told=lambda: None) == "made"
        assert apart.call(Limit(0.5), reads, 0.3, told=lambda: None) == "read"
        with pytest.raises(Ended) as ended:
            apart.call(Limit(0.5), reads, 60.0, told=lambda: None)
        assert (ended.value.place, ended.value.signal) == (Place("x", "key"), signal.SIGALRM)
        assert apart.call(Limit(0.5), reads, 0.0, told=lambda: None) == "read"


def test_rows_of_a_table_are_read_against_the_clock_and_nothing_between_them() -> None:
    with Apart(None) as apart:
        assert apart.call(Limit(0.5), lists, 0.0, 0.8, told=lambda: None) == 20
        with pytest.raises(Ended) as ended:
            apart.call(Limit(0.5), lists, 60.0, 0.0, told=lambda: None)
        assert (ended.value.place, ended.value.signal) == (Place("t.csv"), signal.SIGALRM)


def test_no_file_is_blamed_for_a_store_that_is_slow(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw/samples.csv").write_text("file\na\nb\n")
    for name in "ab":
        (tmp_path / f"raw/{name}.txt").write_text(name)
    text = TABLE.replace('kind = "table"\nadapter = "h5ad"', 'kind = "text"\nadapter = "text"').replace(".h5ad", ".txt")
    store = SlowStore(tmp_path / "store")
    packed = pack(loads(text, "text.toml"), tmp_path / "raw", store, engine=in_processes(1, store.seconds / 2))
    assert packed.manifest.samples == 2


def test_each_of_many_files_has_its_time_though_the_timer_is_seldom_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, rings = 1000.0, list[float]()
    monkeypatch.setattr(reading, "monotonic", lambda: now)
    monkeypatch.setattr(signal, "setitimer", lambda _, seconds: rings.append(now + seconds if seconds else 0))
    (tmp_path / "note").write_bytes(bytes(NOTE))
    with (tmp_path / "note").open("r+b") as file, watched(note := Note(file.fileno()), Limit(100)):
        for after in (0, 1, 2, 2, 30, 0.5, 80, 6.3, 0):
            now += after
            with OneOfMany("x", "key"):
                assert 100 <= rings[-1] - now <= 107
                assert note.read() == Place("x", "key")
            assert note.read() is None
        assert len(rings) == 4, "set anew only where the last one would ring too early"
        rest()
        assert rings[-1] == 0
        with OneOfMany("x", "key"):
            assert rings[-1] - now >= 100


def test_no_answer_is_taken_for_another() -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    with Apart(None) as apart:
        with pytest.raises(KeyboardInterrupt):
            apart.call(Limit(), tells, "first", told=interrupted)
        assert apart.call(Limit(), tells, "second", told=lambda: None) == "second"
