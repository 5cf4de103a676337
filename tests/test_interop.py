"""Others read what we wrote: webdataset, GNU tar, DuckDB, polars, Spark, and by their formats DALI, wids, Energon, HF.

Megatron-Energon and HF datasets are in the environment that `make bench` makes; without it their tests are skipped.
"""

import hashlib
import importlib.util
import json
import re
import shutil
import sqlite3
import struct
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb
import polars
import pyarrow.parquet as pq
import pytest
import webdataset

import packed
import tiny_store
from ropeway.catalog import StoreCatalog, connect
from ropeway.errors import UsageError
from ropeway.export import WRITERS
from ropeway.stores import LocalStore, open_store
from serving import serving

ROOT = Path(__file__).parents[1]
BENCH = ROOT / ".venv-bench/main/bin/python"
in_bench = pytest.mark.skipif(not BENCH.exists(), reason="no .venv-bench/main: `make bench` makes it")
quiet = pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # webdataset leaves files to be collected


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store")


@pytest.fixture
def tiny(store: LocalStore) -> dict[str, dict[str, bytes]]:
    """A published dataset `tiny`; key → extension → content of all its samples."""
    tiny_store.build(store)
    return {
        sample.key: {f"{part}.{form}": content for part, (form, content) in sample.parts.items()}
        for sample in tiny_store.samples()
    }


def of_split(tiny: dict[str, dict[str, bytes]], split: str) -> dict[str, dict[str, bytes]]:
    return {sample.key: tiny[sample.key] for sample in tiny_store.samples() if sample.split == split}


@quiet
def test_webdataset_reads_the_urls_of_a_view(store: LocalStore, tiny: dict[str, dict[str, bytes]]) -> None:
    view = StoreCatalog(store).query(split="train")
    read = {
        sample["__key__"]: {name: value for name, value in sample.items() if not name.startswith("__")}
        for sample in webdataset.WebDataset(view.urls(), shardshuffle=False)
    }
    assert read == of_split(tiny, "train")


def test_a_view_of_some_samples_has_no_urls(store: LocalStore, tiny: dict[str, dict[str, bytes]]) -> None:
    catalog = StoreCatalog(store)
    for where in ("age != 3", "age < 47", "age > 0"):
        with pytest.raises(UsageError, match="not all"):
            catalog.query(where=where).urls()
    assert len(catalog.query(where="age >= 0 or age is null").urls()) == len(catalog.manifest("tiny").shards)


def test_the_urls_of_a_view_on_s3_and_from_a_service_need_no_credentials(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"s3://{bucket}/x"
    tiny_store.build(open_store(url))
    shard = StoreCatalog(open_store(url)).manifest("tiny").shards[0]
    with serving(url) as service:
        for place in (url, service):
            found = connect(place).query().urls(seconds=60)
            content = subprocess.run(["curl", "--silent", "--fail", found[0]], check=True, capture_output=True).stdout
            assert hashlib.sha256(content).hexdigest() == shard.sha256


def test_gnu_tar_unpacks_every_shard(store: LocalStore, tiny: dict[str, dict[str, bytes]], tmp_path: Path) -> None:
    folder = tmp_path / "unpacked"
    folder.mkdir()
    for url in StoreCatalog(store).query().urls():
        subprocess.run(["tar", "-xf", url, "-C", str(folder)], check=True)
    files = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert files == {f"{key}.{name}": content for key, parts in tiny.items() for name, content in parts.items()}


def test_duckdb_and_polars_read_the_index(store: LocalStore, tiny: dict[str, dict[str, bytes]]) -> None:
    manifest = StoreCatalog(store).manifest("tiny")
    paths = [str(store.root / "tiny" / file.path) for file in manifest.index]
    asked = 'select key from read_parquet(?) where "meta.age" >= 30 and "task.sick" = 1 order by key'
    by_duckdb = [key for (key,) in duckdb.connect().execute(asked, [paths]).fetchall()]
    frame = polars.read_parquet(paths)
    chosen = frame.filter((polars.col("meta.age") >= 30) & (polars.col("task.sick") == 1))
    expected = sorted(
        sample.key for sample in tiny_store.samples()
        if (sample.meta.get("age") or 0) >= 30 and sample.labels.get("sick") == 1  # type: ignore[operator]
    )  # fmt: skip
    assert by_duckdb == sorted(chosen["key"].to_list()) == expected
    assert frame.schema["task.findings"] == polars.List(polars.Int32)


@pytest.mark.skipif(importlib.util.find_spec("pyspark") is None, reason="pyspark (400 MB) is not installed")
@pytest.mark.skipif(shutil.which("java") is None, reason="Spark needs Java")
def test_spark_reads_the_index(store: LocalStore, tiny: dict[str, dict[str, bytes]]) -> None:
    folder = store.root / "tiny" / tiny_store.VERSION / "index"
    files = [pq.read_table(path).to_pylist() for path in folder.iterdir()]
    rows = sorted((row for file in files for row in file), key=lambda row: (row["shard"], row["offset"]))
    found = run(Path(sys.executable), "read_spark.py", str(folder))
    assert found["rows"] == rows
    assert max(row["crc32c"] for row in rows) >= 1 << 31  # unsigned, which Spark has no type for
    asked = [row for row in rows if row["meta.age"] is not None and row["meta.age"] >= 10]
    groups = {(row["split"], row["task.sick"]) for row in asked}
    for split, sick in groups:
        some = [row for row in asked if (row["split"], row["task.sick"]) == (split, sick)]
        size, highest = sum(row["length"] for row in some), max(row["crc32c"] for row in some)
        assert [split, sick, len(some), size, highest] in found["counted"]
    assert len(found["counted"]) == len(groups)


def test_dalis_index_is_what_gnu_tar_says(store: LocalStore, tiny: dict[str, dict[str, bytes]]) -> None:
    manifest = StoreCatalog(store).manifest("tiny")
    written = WRITERS["dali"](store, manifest)
    assert len(written) == len(manifest.shards)
    for shard, path in zip(manifest.shards, written, strict=True):
        head, *lines = Path(store.root, path).read_text().splitlines()
        assert head == f"v1.2 {shard.samples}"
        tar = store.root / "tiny" / shard.path
        told = [tuple(line.split()[at : at + 4]) for line in lines for at in range(0, len(line.split()), 4)]
        assert [(name, int(offset), int(size)) for _, offset, size, name in told] == _members(tar)
        assert all(name.endswith(f".{extension}") for extension, _, _, name in told)
        assert len(lines) == shard.samples


def _members(path: Path) -> list[tuple[str, int, int]]:
    """Name, content offset and size of each member, from `tar -tvR`."""
    listing = subprocess.run(["tar", "-tvRf", str(path)], check=True, capture_output=True, text=True).stdout
    found = re.findall(r"^block (\d+): \S+ \S+ +(\d+) \S+ \S+ (.+)$", listing, re.MULTILINE)
    return [(name, (int(block) + 1) * 512, int(size)) for block, size, name in found]


@quiet
def test_wids_lists_shards_and_counts(store: LocalStore, tiny: dict[str, dict[str, bytes]]) -> None:
    for path in WRITERS["wids"](store, StoreCatalog(store).manifest("tiny")):
        file = store.root / path
        told = json.loads(file.read_text())
        assert (told["__kind__"], told["wids_version"]) == ("wids-shard-index-v1", 1)
        for shard in told["shardlist"]:
            tar = file.parent / shard["url"]
            assert shard["filesize"] == tar.stat().st_size
            assert shard["nsamples"] == sum(1 for _ in webdataset.WebDataset(str(tar), shardshuffle=False))


def test_shards_with_withdrawn_samples_are_not_exported(store: LocalStore) -> None:
    given = tiny_store.samples(12)
    made = tiny_store.build(store, "d", given)
    there = store.root / "d" / made.index[0].path
    rows = polars.read_parquet(there)
    rows.filter(polars.col("key") != given[1].key).write_parquet(there)
    for write in WRITERS.values():
        with pytest.raises(UsageError, match="withdrawn"):
            write(store, made)


def run(python: Path, script: str, *arguments: str) -> Any:
    """What a program says that runs in another environment."""
    command = [str(python), str(ROOT / "tests/others" / script), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=150)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout[done.stdout.index("[") if script == "read_energon.py" else done.stdout.index("{") :])


@in_bench
def test_energon_streams_what_was_exported(store: LocalStore, tiny: dict[str, dict[str, bytes]]) -> None:
    WRITERS["energon"](store, StoreCatalog(store).manifest("tiny"))
    found = run(BENCH, "read_energon.py", str(store.root / "tiny"))
    for split, seen in zip(("train", "valid"), found, strict=True):
        assert seen == {
            key: {name: hashlib.sha256(content).hexdigest() for name, content in parts.items()}
            for key, parts in of_split(tiny, split).items()
        }


@in_bench
def test_energons_index_is_what_its_own_tool_writes(
    store: LocalStore, tiny: dict[str, dict[str, bytes]], tmp_path: Path
) -> None:
    manifest = StoreCatalog(store).manifest("tiny")
    shards = [shard.path for shard in manifest.shards]
    WRITERS["energon"](store, manifest)
    theirs = tmp_path / "theirs"
    for path in shards:
        (theirs / path).parent.mkdir(parents=True, exist_ok=True)
        (theirs / path).write_bytes((store.root / "tiny" / path).read_bytes())
    script = (
        "import sys; from pathlib import Path; from megatron.energon import BaseWebdatasetFactory\n"
        "BaseWebdatasetFactory.prepare_dataset(Path(sys.argv[1]), sys.argv[2:], split_parts_ratio=[('train', 1.0)],"
        " workers=1)"
    )
    subprocess.run([str(BENCH), "-c", script, str(theirs), *shards], check=True, capture_output=True, timeout=150)
    for path in shards:
        assert (store.root / "tiny" / f"{path}.idx").read_bytes() == (theirs / f"{path}.idx").read_bytes()
    assert _tables(store.root / "tiny/.nv-meta/index.sqlite") == _tables(theirs / ".nv-meta/index.sqlite")
    counts = [json.loads((folder / ".nv-meta/.info.json").read_text()) for folder in (store.root / "tiny", theirs)]
    assert counts[0]["shard_counts"] == counts[1]["shard_counts"]


def _tables(path: Path) -> list[Sequence[Any]]:
    with sqlite3.connect(path) as database:
        asked = ("select * from samples order by 1, 3", "select * from sample_parts order by 1, 2, 4")
        found = [row for one in asked for row in database.execute(one)]
        indexes = database.execute("select name from sqlite_master where type = 'index' and sql is not null order by 1")
        found += list(indexes)
    database.close()
    return found


@in_bench
def test_hf_datasets_streams_the_urls_of_a_view(store: LocalStore) -> None:
    packed.publish(store, samples=30, per_shard=12)
    found = run(BENCH, "read_hf.py", *StoreCatalog(store).query().urls())
    assert found == {f"k{i:06d}": [15 * i, f"sample {i}"] for i in range(30)}


def test_the_command(store: LocalStore, tiny: dict[str, dict[str, bytes]]) -> None:
    command = [sys.executable, "-m", "ropeway.cli", "export", "tiny", "--store", str(store.root), "--json"]
    refused = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "--energon, --dali, --wids" in refused.stderr
    done = subprocess.run([*command, "--energon", "--dali", "--wids"], capture_output=True, text=True, check=True)
    written = json.loads(done.stdout)["written"]
    assert set(written) == {"energon", "dali", "wids"}
    for path in (path for paths in written.values() for path in paths):
        assert (store.root / path).is_file()
    shard = StoreCatalog(store).manifest("tiny").shards[0]
    places = (store.root / "tiny" / f"{shard.path}.idx").read_bytes()
    assert len(struct.unpack(f"<{len(places) // 8}Q", places)) == shard.samples + 1
