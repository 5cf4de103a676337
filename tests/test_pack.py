"""Packing: what ends up in a store, byte for byte, and what is left after errors, kills and races."""

import hashlib
import io
import json
import multiprocessing
import signal
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import google_crc32c
import numpy as np
import psutil
import pydicom.data
import pytest
import webdataset
from msgspec.structs import replace

from ropeway import index, manifest, manifest_reading
from ropeway.catalog import StoreCatalog
from ropeway.errors import NotFound, RopewayError, SourceError
from ropeway.manifest import Latest
from ropeway.publishing import point_latest
from ropeway.stores import LocalStore, Store, open_store
from ropeway_shardgen import sidecar
from ropeway_shardgen.demo.run import RECIPES
from ropeway_shardgen.engine import in_process, in_processes
from ropeway_shardgen.pack import Watch, pack, pack_plan
from ropeway_shardgen.plan import Settings, make_plan
from ropeway_shardgen.problems import SampleError
from ropeway_shardgen.recipe import load
from ropeway_shardgen.shard import Job, pack_shard
from shardgen_raw import RECIPE, png, real_root, recipe, row, write_raw, write_table

GOLDEN = {
    "train-000000.tar": "1ffd460ec1da81bc752271a4e47a361663c089eeeb8aa7d38622fd956acaa314",
    "train-000001.tar": "334f8bd9e373a87c79a63643f495fc621d53d393b678c8e75e6d95fc4aeb0b39",
    "valid-000000.tar": "dfc24e5f4968497ce8c6074e1d6ec2dde501b1dee88d5e6df4ad7b1e1940f451",
    "test-000000.tar": "2b7369185bccbc78954566fd48ec99fe0ade5d217b67d6a66fa7915b532e1b7a",
}
SMALL = Settings(shard_size=20_000)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_raw(tmp_path / "raw")


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store")


def contents(store: Store) -> dict[str, str]:
    """Path → sha256 of all objects."""
    return {stat.path: hashlib.sha256(store.read(stat.path)).hexdigest() for stat in store.objects()}


def test_shards_are_golden(root: Path, store: LocalStore) -> None:
    """The bytes of a shard are part of the format: if this fails, count up `plan.REVISION`."""
    packed = pack(recipe(), root, store)
    assert {shard.path.partition("/")[2]: shard.sha256 for shard in packed.manifest.shards} == GOLDEN
    assert packed.manifest.version == "848283e843ec"


def test_shards_are_the_same_for_any_number_of_workers(root: Path, tmp_path: Path) -> None:
    one, two = LocalStore(tmp_path / "one"), LocalStore(tmp_path / "two")
    pack(recipe(), root, one, SMALL)
    packed = pack(recipe(), root, two, SMALL, engine=in_processes(2))
    assert contents(one) == contents(two)
    assert len(packed.manifest.shards) > 4


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # webdataset leaves files open
def test_any_tar_reader_sees_the_samples(root: Path, store: LocalStore) -> None:
    packed = pack(recipe(), root, store)
    keys = []
    for shard in packed.manifest.shards:
        path = store.root / "tiny" / shard.path
        with tarfile.open(path) as archive:
            names = archive.getnames()
            assert all(info.mtime == info.uid == info.gid == 0 for info in archive)
        assert subprocess.run(["tar", "tf", path], capture_output=True, text=True, check=True).stdout.split() == names
        for sample in webdataset.WebDataset(str(path), shardshuffle=False, empty_check=False):
            assert sample["image.png"] == png(int(sample["__key__"]))
            assert len(np.load(io.BytesIO(sample["covariates.npy"]))) == 2
            keys.append(sample["__key__"])
    assert sorted(keys) == [f"{number:04}" for number in range(60)]


def test_index_and_manifest_agree_with_the_shards(root: Path, store: LocalStore) -> None:
    found = pack(recipe(), root, store, SMALL).manifest
    rows = index.decode(store.read(f"tiny/{found.index[0].path}"))
    index.check(rows, found)
    assert manifest_reading.loads(manifest.dumps(found)) == found
    for found_row in rows.to_pylist():
        shard = store.read(f"tiny/{found_row['shard']}")
        span = shard[found_row["offset"] : found_row["offset"] + found_row["length"]]
        assert google_crc32c.value(bytes(span)) == found_row["crc32c"]
        image = shard[found_row["image.offset"] : found_row["image.offset"] + found_row["image.length"]]
        assert bytes(image) == png(int(found_row["key"]))
        assert found_row["meta.width"] == 24
        assert found_row["task.finding"] == (None if int(found_row["key"]) % 10 == 9 else int(found_row["key"]) % 2)
    for shard_ in found.shards:
        data = store.read(f"tiny/{shard_.path}")
        assert (hashlib.sha256(data).hexdigest(), len(data)) == (shard_.sha256, shard_.bytes)
    parts = {part.name: part for part in found.parts}
    assert (parts["image"].shape, parts["image"].format, parts["image"].samples) == ((24, 24), "png", 60)
    assert parts["covariates"].channels == ("age", "sex")
    assert sum(split.subjects for split in found.splits) == 30
    assert found.provenance.source_files == 61


def test_a_packed_dataset_can_be_queried(root: Path, store: LocalStore) -> None:
    pack(recipe(), root, store)
    view = StoreCatalog(store).query(task="finding", split="train", where="age >= 30 and label = 'present'")
    assert view.samples > 0
    assert view.label_counts("finding")["absent"] == 0


def test_packing_again_finds_it_published(root: Path, store: LocalStore) -> None:
    first = pack(recipe(), root, store)
    before = contents(store)
    again = pack(recipe(), root, store)
    assert (first.already_published, again.already_published) == (False, True)
    assert contents(store) == before
    assert first.current
    assert again.manifest == first.manifest


def test_other_input_is_a_new_version_and_the_old_one_stays(root: Path, store: LocalStore) -> None:
    first = pack(recipe(), root, store).manifest
    (root / "images/0000.png").write_bytes(png(0, 25))
    second = pack(recipe(), root, store).manifest
    catalog = StoreCatalog(store)
    assert catalog.manifest("tiny").version == second.version
    assert catalog.manifest("tiny", first.version) == first
    latest = manifest_reading.loads_latest(store.load("tiny/latest.json")[0])
    assert latest == Latest(version=second.version, history=(first.version, second.version))
    (root / "images/0000.png").write_bytes(png(0))
    back = pack(recipe(), root, store)
    assert (back.already_published, back.current) == (True, False)
    assert catalog.manifest("tiny").version == second.version


def test_nothing_is_left_beside_what_the_manifest_names(root: Path, store: LocalStore) -> None:
    found = pack(recipe(), root, store, SMALL).manifest
    named = {*(shard.path for shard in found.shards), *(file.path for file in found.index)}
    named |= {"latest.json", f"{found.version}/manifest.json"}
    assert {stat.path for stat in store.objects()} == {f"tiny/{path}" for path in named}


def test_a_bad_file_ends_the_pack_and_publishes_nothing(root: Path, store: LocalStore) -> None:
    store.root.mkdir()  # else it is there only if another shard was written before the pack ended
    (root / "images/0033.png").write_bytes(b"broken")
    for engine in (in_processes(2), in_process):
        with pytest.raises(SampleError, match=r"raw file cannot be read: images/0033\.png: .*dataset tiny, key 0033"):
            pack(recipe(), root, store, SMALL, engine=engine)
    with pytest.raises(NotFound):
        StoreCatalog(store).manifest("tiny")
    assert StoreCatalog(store).datasets() == []


def test_skip_leaves_it_out_and_counts_it(root: Path, store: LocalStore) -> None:
    (root / "images/0033.png").write_bytes(b"broken")
    (root / "images/0034.png").unlink()
    found = pack(recipe(), root, store, Settings(on_error="skip")).manifest
    assert found.samples == 58
    assert found.provenance.skipped == {"missing file": 1, "unreadable file": 1}
    for file in (root / "images").iterdir():
        file.write_bytes(b"")
    with pytest.raises(SourceError, match=r"every sample was left out: .*59 unreadable file"):
        pack(recipe(), root, store, Settings(on_error="skip"))


def test_a_truncated_dicom_is_named(tmp_path: Path, store: LocalStore) -> None:
    folder = tmp_path / "raw/pydicom/data/test_files"
    folder.mkdir(parents=True)
    real = Path(pydicom.data.__file__).parent / "test_files"
    (folder / "CT_small.dcm").write_bytes((real / "CT_small.dcm").read_bytes())
    (folder / "MR_small.dcm").write_bytes((real / "MR_truncated.dcm").read_bytes())
    one = load("dicom-images")
    text = (Path(one.__module__.replace(".", "/")), one)  # noqa: F841  the built-in recipe is left as it is

    two = replace(one, source=replace(one.source, files=("pydicom/data/test_files/*.dcm",)))
    with pytest.raises(
        SampleError, match=r"raw file cannot be read: pydicom/data/test_files/MR_small\.dcm: .*less than"
    ):
        pack(two, tmp_path / "raw", store)
    found = pack(two, tmp_path / "raw", store, Settings(on_error="skip")).manifest
    assert (found.samples, found.provenance.skipped) == (1, {"unreadable file": 1})


@pytest.mark.parametrize("name", RECIPES)
def test_real_files_pack(name: str, store: LocalStore) -> None:
    found = pack(load(name), real_root(), store).manifest
    assert found.samples > 0
    assert all(part.samples == found.samples for part in found.parts)
    rows = index.decode(store.read(f"{name}/{found.index[0].path}"))
    index.check(rows, found)
    text = json.dumps([row["key"] for row in rows.to_pylist()] + rows.column("subject").to_pylist())
    assert not any(identifier in text for identifier in ("1CT1", "4MR1", "77654033", "98890234", "642341"))


def test_cell_types_are_split_by_well(store: LocalStore) -> None:
    found = pack(load("pbmc68k"), real_root(), store).manifest
    assert [(split.name, split.samples, split.subjects) for split in found.splits] == [
        ("train", 519, 6),
        ("valid", 91, 1),
        ("test", 90, 1),
    ]
    view = StoreCatalog(store).query(task="cell-type")
    assert view.label_counts("cell-type")["Dendritic"] == 240


# Errors, kills and races


class Dead(Watch):
    """Ends the pack from within, after so many samples, as a power cut would."""

    def __init__(self, after: int) -> None:
        self.left = after

    def advance(self, samples: int, size: int) -> None:
        self.left -= samples
        if self.left <= 0:
            raise KeyboardInterrupt


def test_a_restarted_pack_goes_on_and_gives_the_same_bytes(root: Path, store: LocalStore, tmp_path: Path) -> None:
    whole = LocalStore(tmp_path / "whole")
    pack(recipe(), root, whole, SMALL)
    with pytest.raises(KeyboardInterrupt):
        pack(recipe(), root, store, SMALL, watch=Dead(25))
    finished = {stat.path: stat.tag for stat in store.objects() if stat.path.endswith(".tar")}
    assert finished
    packed = pack(recipe(), root, store, SMALL)
    assert packed.resumed == len(finished)
    tags = {stat.path: stat.tag for stat in store.objects()}
    assert finished.items() <= tags.items()
    assert contents(store) == contents(whole)


def test_a_finished_shard_that_is_gone_is_packed_again(root: Path, store: LocalStore, tmp_path: Path) -> None:
    whole = LocalStore(tmp_path / "whole")
    pack(recipe(), root, whole, SMALL)
    with pytest.raises(KeyboardInterrupt):
        pack(recipe(), root, store, SMALL, watch=Dead(25))
    store.delete(next(stat.path for stat in store.objects() if stat.path.endswith(".tar")))
    pack(recipe(), root, store, SMALL)
    assert contents(store) == contents(whole)


PROGRAM = """
import sys
from ropeway.stores import open_store
from ropeway_shardgen.engine import in_process, in_processes
from ropeway_shardgen.pack import pack
from ropeway_shardgen.plan import Settings
from ropeway_shardgen.recipe import load

if __name__ == "__main__":
    recipe, root, store, workers = sys.argv[1:]
    packed = pack(load(recipe), root, open_store(store), Settings(shard_size=20_000), engine=in_processes(int(workers)))
    print(packed.manifest.version, packed.already_published)
"""


def start(tmp_path: Path, root: Path, store: LocalStore, workers: int = 2) -> "subprocess.Popen[str]":
    """A pack in a process of its own."""
    (tmp_path / "tiny.toml").write_text(RECIPE)
    (tmp_path / "program.py").write_text(PROGRAM)
    command = [sys.executable, "program.py", "tiny.toml", str(root), str(store.root), str(workers)]
    return subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("workers", [1, 2])
def test_kill_9_in_the_middle_then_resume(workers: int, store: LocalStore, tmp_path: Path) -> None:
    root = write_raw(tmp_path / "raw", samples=600)
    process = start(tmp_path, root, store, workers)
    done = _wait_for(process, lambda: [s for s in store.objects() if ".packing/" in s.path][2:])
    children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert done
    assert not any(stat.path.endswith("manifest.json") for stat in store.objects())
    _, alive = psutil.wait_procs(children, timeout=20)
    assert not alive, "workers outlive the packer"
    names = [
        stat.path.rpartition("/")[2].removesuffix(".parquet") for stat in store.objects() if ".packing/" in stat.path
    ]
    finished = {s.path: s.tag for s in store.objects() if s.path.rpartition("/")[2] in names}
    packed = pack(recipe(), root, store, SMALL)
    assert packed.resumed == len(finished) < len(packed.manifest.shards)
    assert finished.items() <= {stat.path: stat.tag for stat in store.objects()}.items()
    whole = LocalStore(tmp_path / "whole")
    pack(recipe(), root, whole, SMALL)
    assert contents(store) == contents(whole)


def _sidecar_of(path: str) -> str:
    folder, _, name = path.rpartition("/")
    return f"{folder}/.packing/{name}.parquet"


def _wait_for(process: "subprocess.Popen[str]", condition: "object") -> object:
    assert callable(condition)
    while process.poll() is None:
        if found := condition():
            return found
        time.sleep(0.005)
    raise AssertionError("the pack ended too soon")


def test_two_packers_at_once(store: LocalStore, tmp_path: Path) -> None:
    root = write_raw(tmp_path / "raw", samples=300)
    both = [start(tmp_path, root, store, 1) for _ in range(2)]
    answers = [process.communicate(timeout=60)[0].split() for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert answers[0][0] == answers[1][0]
    whole = LocalStore(tmp_path / "whole")
    pack(recipe(), root, whole, SMALL)
    assert contents(store) == contents(whole)


def test_a_packer_that_another_overtakes(root: Path, store: LocalStore) -> None:
    """The other publishes and clears the sidecars away while this one is still packing."""

    def overtaken(job: object, shards: object, advance: object) -> Iterator[object]:
        pack(recipe(), root, store, SMALL)
        yield from ()

    plan = make_plan(recipe(), root, SMALL)
    packed = pack_plan(plan, store, SMALL, engine=overtaken)  # type: ignore[arg-type]
    assert packed.manifest.samples == 60
    assert not [stat for stat in store.objects() if ".packing" in stat.path]


def test_two_versions_published_at_once_are_both_in_the_history(store: LocalStore) -> None:
    point_latest(store, "tiny", "0" * 12)
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        pool.starmap(point_latest, [(store, "tiny", f"{number:012x}") for number in range(1, 9)])
    latest = manifest_reading.loads_latest(store.load("tiny/latest.json")[0])
    assert sorted(latest.history) == [f"{number:012x}" for number in range(9)]


def test_a_dead_worker_is_told(root: Path, store: LocalStore) -> None:
    class Killer(Watch):
        def advance(self, samples: int, size: int) -> None:
            for child in psutil.Process().children():
                with suppress(psutil.NoSuchProcess):  # it may have been killed at the last look
                    if "apart.serve" in " ".join(child.cmdline()):
                        child.kill()

    big = write_raw(root.parent / "big", samples=600)
    with pytest.raises(RopewayError, match="a packing process died"):
        pack(recipe(), big, store, SMALL, engine=in_processes(2), watch=Killer())


def test_memory_is_that_of_a_sample_not_of_a_shard(tmp_path: Path, store: LocalStore) -> None:
    """A shard of 128 MB is packed in far less."""
    root = tmp_path / "raw"
    (root / "images").mkdir(parents=True)
    picture = png(1, 1000)
    write_table(root, [row(number) | {"patient": "P"} for number in range(128)])
    for number in range(128):
        (root / "images" / f"{number:04d}.png").write_bytes(picture)
    plan = make_plan(recipe(), root, Settings(shard_size=1 << 30))
    assert len(plan.shards) == 1
    before = psutil.Process().memory_info().rss
    peak = 0

    def look(samples: int, size: int) -> None:
        nonlocal peak
        peak = max(peak, psutil.Process().memory_info().rss)

    summary = pack_shard(Job(plan.recipe, plan.version, root, store, "raise"), plan.shards[0], look)
    assert summary.bytes > 120 << 20
    assert peak - before < 40 << 20


class SlowStore(LocalStore):
    """Takes no shard before something has happened."""

    def __init__(self, root: Path, happened: threading.Event) -> None:
        super().__init__(root)
        self.happened, self.waited = happened, list[bool]()

    @contextmanager
    def writing(self, path: str) -> Iterator[BinaryIO]:
        with super().writing(path) as file:
            yield file
            if path.endswith(".tar"):
                self.waited.append(self.happened.wait(5))


def test_the_next_shard_is_packed_while_the_store_takes_one(root: Path, tmp_path: Path) -> None:
    plan = make_plan(recipe(), root, SMALL)
    enough, packed = threading.Event(), 0

    def look(samples: int, size: int) -> None:
        nonlocal packed
        packed += samples
        if packed > len(plan.shards[0]):
            enough.set()

    slow = SlowStore(tmp_path / "slow", enough)
    summaries = list(in_process(Job(plan.recipe, plan.version, root, slow, "raise"), plan.shards, look))
    assert [summary.name for summary in summaries] == [shard.name for shard in plan.shards]
    assert slow.waited == [True] * len(plan.shards)


def test_an_error_in_the_next_shard_loses_nothing_of_the_one_before(root: Path, store: LocalStore) -> None:
    plan = make_plan(recipe(), root, SMALL)
    first, second = plan.shards[:2]
    (root / next(iter(second.samples)).files["image"]).unlink()
    job = Job(plan.recipe, plan.version, root, store, "raise")
    with pytest.raises(SampleError, match="raw file missing"):
        list(in_process(job, plan.shards, lambda *_: None))
    left = {stat.path.rpartition("/")[2] for stat in store.objects()}
    assert left == {first.name, f"{first.name}.parquet"}
    assert not list(store.root.rglob(".ropeway-tmp-*"))


def test_packing_into_memory(root: Path) -> None:
    memory = open_store("memory://packing")
    assert pack(recipe(), root, memory, SMALL).manifest.samples == 60
    place = sidecar.folder("tiny", make_plan(recipe(), root, SMALL).version)
    assert not list(memory.objects(place))
