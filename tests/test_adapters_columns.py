"""Packing what others packed: MDS, litdata, HF datasets and Parquet, from files that those programs wrote."""

import io
import json
import shutil
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import ropeway
from ropeway.catalog import StoreCatalog
from ropeway.errors import RopewayError, SourceError, UsageError
from ropeway.stores import open_store
from ropeway_shardgen.adapters import adapter
from ropeway_shardgen.adapters.columns import ColumnsOptions
from ropeway_shardgen.formats.arrow_file import ArrowFile
from ropeway_shardgen.formats.columns import Columns
from ropeway_shardgen.formats.litdata_file import LitdataFile
from ropeway_shardgen.formats.mds_file import MdsFile
from ropeway_shardgen.pack import pack
from ropeway_shardgen.recipe import loads

DATA = Path(__file__).parent / "data/foreign"

RECIPE = """
id = "foreign"
key = "{note}"
[card]
title = "Foreign"
domain = "test"
modalities = ["signal"]
licence = "CC0-1.0"
access = "open"
unit = "sample"
[raw]
get = "written by other programs"
folder = "FILES"
[source]
files = ["FILES"]
adapter = "columns"
[parts.ecg]
kind = "signal"
adapter = "columns"
options = { column = "ecg", axes = ["lead", "time"], units = "mV", sampling_rate = 500 }
[parts.picture]
kind = "image"
adapter = "columns"
options = { column = "PICTURE", format = "jpg" }
[parts.words]
kind = "text"
adapter = "columns"
options = { column = "note" }
[subject]
id = "{note}"
[split]
rule = "subject-hash"
fractions = { train = 1.0 }
[tasks.class]
type = "multiclass"
from = "label"
classes = ["a", "b", "c"]
map = { "0" = "a", "1" = "b", "2" = "c" }
"""


def shade(content: Any) -> int:
    return int(np.asarray(Image.open(io.BytesIO(content)))[0, 0, 0])


@pytest.mark.parametrize(
    ("kind", "pattern", "picture"),
    [
        (MdsFile, "mds/*.mds", "jpg"),
        (LitdataFile, "litdata/*.bin", "jpg"),
        (ArrowFile, "hf/*.arrow", "image"),
        (ArrowFile, "*.parquet", "image"),
    ],
    ids=["mds", "litdata", "hf", "parquet"],
)
def test_every_value_is_what_was_written(kind: Callable[[Path], Columns], pattern: str, picture: str) -> None:
    with ExitStack() as opened:
        files = [opened.enter_context(closing(kind(path))) for path in sorted(DATA.glob(pattern))]
        _compare(files, picture)


def _compare(files: list[Columns], picture: str) -> None:
    found = [(file, row) for file in files for row in range(len(file))]
    assert len(found) == 12
    for number, (file, row) in enumerate(found):
        ecg = file.cell(row, "ecg")
        np.testing.assert_array_equal(np.asarray(ecg), np.full((3, 5), number))
        assert np.asarray(ecg).dtype == np.int16
        assert shade(file.cell(row, picture)) == number
        assert file.cell(row, "note") == f"note {number}"
        assert file.cell(row, "label") == number % 3
        for name, value in (("score", number / 2), ("age", 40 + number), ("told", {"a": number})):
            if name in file.names:
                assert file.cell(row, name) == value
        varied = "free" if "free" in file.names else "row"
        length = 4 if isinstance(file, LitdataFile) else 1 + number % 3
        np.testing.assert_array_equal(np.asarray(file.cell(row, varied)), np.full(length, number, np.float32))
    with pytest.raises(ValueError, match=r"there is no column 'nothing'; there is: .*ecg"):
        files[0].cell(0, "nothing")


@pytest.mark.parametrize(
    ("folder", "files", "picture"),
    [("mds", "*.mds", "jpg"), ("litdata", "*.bin", "jpg"), ("hf", "*.arrow", "image"), ("", "*.parquet", "image")],
)
def test_they_pack_and_stream(folder: str, files: str, picture: str, tmp_path: Path) -> None:
    store = open_store(tmp_path)
    done = pack(loads(RECIPE.replace("FILES", files).replace("PICTURE", picture), "test"), DATA / folder, store)
    assert done.manifest.samples == 12
    view = StoreCatalog(store).query(task="class")
    seen = set()
    for batch in ropeway.NumpyLoader(view, 5, tail="pad"):
        for at in np.flatnonzero(batch["__mask__"]).tolist():
            number = int(batch["words"][at].removeprefix("note "))
            seen.add(number)
            np.testing.assert_array_equal(batch["ecg"][at], np.full((3, 5), number))
            assert batch["picture"][at][0, 0, 0] == number
            assert batch["task.class"][at] == number % 3
    assert seen == set(range(12))
    [ecg] = [part for part in done.manifest.parts if part.name == "ecg"]
    assert (ecg.dtype, ecg.shape, ecg.axes, ecg.units) == ("<i2", (3, 5), ("lead", "time"), "mV")


def copied(folder: str, tmp_path: Path) -> Path:
    return Path(shutil.copytree(DATA / folder, tmp_path / folder))


@pytest.mark.parametrize(("folder", "name", "kind"), [("mds", "shard.00000.mds", MdsFile),
                                                       ("litdata", "chunk-0-0.bin", LitdataFile)])  # fmt: skip
def test_files_that_are_cut_short_or_alone_are_refused(folder: str, name: str, kind: Any, tmp_path: Path) -> None:
    path = copied(folder, tmp_path) / name
    whole = path.read_bytes()
    for size in (2, 20, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(ValueError, match="cut short"):
            kind(path)
    path.with_name("index.json").write_text("{")
    with pytest.raises(ValueError, match=r"index\.json is not JSON"):
        kind(path)
    path.with_name("index.json").unlink()
    with pytest.raises(UsageError, match=r"there is no index\.json beside"):
        kind(path)


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    for folder, name, kind in (("mds", "shard.00000.mds", MdsFile), ("litdata", "chunk-0-0.bin", LitdataFile)):
        description = copied(folder, tmp_path) / "index.json"
        text = description.read_text().replace('"bytes", "int"', '"pkl", "int"')
        text = text.replace('"numpy", "pkl"', '"numpy", "pickle"')
        description.write_text(text)
        with closing(kind(description.with_name(name))) as file:
            with pytest.raises(ValueError, match="unpickled, which is never done"):
                file.cell(0, "jpg")
            assert file.cell(0, "label") == 0


def test_what_is_compressed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="compressed with zstd"):
        MdsFile(DATA / "mds-zstd/shard.00000.mds")
    description = copied("litdata", tmp_path) / "index.json"
    told = json.loads(description.read_text())
    told["config"]["compression"] = "zstd"
    description.write_text(json.dumps(told))
    with pytest.raises(ValueError, match=r"compression \(zstd\)"):
        LitdataFile(description.with_name("chunk-0-0.bin"))


def test_damaged_arrow_files_are_refused(tmp_path: Path) -> None:
    for source in (DATA / "rows.parquet", next(DATA.glob("hf/*.arrow"))):
        path = tmp_path / source.name
        path.write_bytes(source.read_bytes()[:700])
        with pytest.raises(ValueError, match="cut short"):
            ArrowFile(path)


def test_recipes_that_do_not_fit_are_told(tmp_path: Path) -> None:
    for wrong, problem in (
        ('format = "jpg"', ""),
        ('column = "note"', 'column = "nothing"'),
        ('axes = ["lead", "time"]', 'axes = ["lead"]'),
    ):
        text = RECIPE.replace("FILES", "*.mds").replace("PICTURE", "jpg").replace(wrong, problem or "units = 'x'")
        with pytest.raises(RopewayError, match=r"options\.format|there is no column 'nothing'|has 2 axes"):
            pack(loads(text, "test"), DATA / "mds", open_store(tmp_path / wrong[:3]))
    with pytest.raises(SourceError):
        pack(loads(RECIPE.replace("FILES", "*.mds"), "test"), tmp_path, open_store(tmp_path / "store"))


def test_fields_are_words_and_numbers() -> None:
    rows = adapter("columns").rows
    assert rows is not None
    first = next(rows(DATA / "mds/shard.00000.mds", ColumnsOptions()))
    assert dict(first.fields) == {"age": 40, "label": 0, "note": "note 0", "score": 0.0, "row": 0}
    only = next(rows(DATA / "hf/data-00000-of-00002.arrow", ColumnsOptions(fields=("age",))))
    assert dict(only.fields) == {"age": 40, "row": 0}
    with pytest.raises(ValueError, match="holds no words or numbers"):
        next(rows(DATA / "mds/shard.00000.mds", ColumnsOptions(fields=("ecg",))))
