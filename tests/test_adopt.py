"""Adopting tars of others: what is there is found, whatever it is called, and streams from where it is."""

import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import webdataset
from hypothesis import given
from hypothesis import strategies as st

import foreign
import range_server
import ropeway
from ropeway.adopt import Broken, adopt, names, reading
from ropeway.adopt.rules import CardRules, MetaRules, PartRules, Rules, TaskRules, load
from ropeway.catalog import StoreCatalog
from ropeway.errors import FormatError, NotFound, RecipeError, UsageError
from ropeway.keys import check_key, unescape_key
from ropeway.stored import stored_samples
from ropeway.stores import open_store
from ropeway.verify import verify
from serving import serving

LABELS = Rules(
    tasks={
        "digit": TaskRules(from_="cls"),
        "score": TaskRules(from_="json.score"),
        "findings": TaskRules(from_="json.findings", classes=("CD", "MI")),
        "site": TaskRules(from_="json.site.name"),
    },
    meta={"age": MetaRules(from_="json.age"), "smoker": MetaRules(from_="json.smoker")},
    subject="json.subject",
)


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    return foreign.write_shards(tmp_path / "raw", 3)


def batches(view: ropeway.View, **wanted: Any) -> dict[str, dict[str, Any]]:
    """Key → its parts and labels, streamed."""
    found = {}
    for batch in ropeway.StreamingLoader(view, 4, tail="pad", order=ropeway.Sequential(), **wanted):
        for at, key in enumerate(batch["__key__"]):
            if batch["__mask__"][at]:
                found[key] = {name: value[at] for name, value in batch.items() if not isinstance(value, dict)}
    return found


def test_what_webdataset_wrote_streams_with_labels_and_metadata(shards: Path, tmp_path: Path) -> None:
    store = open_store(tmp_path / "store")
    done = adopt(store, "foreign", {"train": [str(shards / "x-{000..002}.tar")]}, LABELS)
    assert (done.manifest.samples, len(done.manifest.shards)) == (30, 3)
    assert done.read == sum(path.stat().st_size for path in shards.iterdir())
    catalog = StoreCatalog(store)
    view = catalog.query(task="digit", where="age >= 12 and smoker = false and label = '1'")
    found = batches(view)
    assert set(found) == {f"{i:05d}" for i in range(12, 30) if i % 2 and i % 3 == 1}
    for key, sample in found.items():
        number = int(key)
        np.testing.assert_array_equal(sample["ecg"], foreign.ecg(number))
        assert sample["jpg"].shape == (8, 8, 3)
        assert sample["cls"] == str(number % 3)
        assert sample["json"]["age"] == number
        assert float(sample["task.score"]) == number / 2
        assert sample["task.findings"].tolist() == [number % 3 == 2, number % 3 >= 1]
    described = {part.name: part for part in done.manifest.parts}
    assert (described["ecg"].dtype, described["ecg"].shape) == ("<i2", (3, 5))
    assert done.manifest.task("site").classes == ("a", "b", "c")  # type: ignore[union-attr]
    assert verify(store, done.manifest).problems == ()


def test_only_index_and_manifest_are_written(shards: Path, tmp_path: Path) -> None:
    store = open_store(tmp_path / "store")
    before = {path: path.stat().st_mtime_ns for path in shards.iterdir()}
    version = adopt(store, "foreign", {"train": [f"{shards}/*.tar"]}).manifest.version
    written = [stat.path for stat in store.objects()]
    assert written == [
        f"foreign/{version}/index/00000.parquet", f"foreign/{version}/manifest.json", "foreign/latest.json",
    ]  # fmt: skip
    assert {path: path.stat().st_mtime_ns for path in shards.iterdir()} == before


def test_splits_globs_and_brace_lists(shards: Path, tmp_path: Path) -> None:
    found = adopt(
        open_store(tmp_path / "store"), "foreign",
        {"train": [str(shards / "x-00{0,1}.tar")], "test": [(shards / "x-002.tar").as_uri()]},
    ).manifest  # fmt: skip
    assert {split.name: split.samples for split in found.splits} == {"train": 20, "test": 10}


def test_the_same_again_is_the_same_version_and_reads_nothing(shards: Path, tmp_path: Path) -> None:
    store, patterns = open_store(tmp_path / "store"), foreign.train(f"{shards}/*.tar")
    first = adopt(store, "foreign", patterns)
    again = adopt(store, "foreign", patterns)
    assert again.manifest == first.manifest
    assert again.read == 0
    foreign.write_shard(shards / "x-001.tar", range(10, 19))
    later = adopt(store, "foreign", patterns)
    assert later.manifest.samples == 29
    assert StoreCatalog(store).manifest("foreign") == later.manifest


def test_several_processes_find_the_same(shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    foreign.write_members(shards / "x-003.tar", [("a.txt", b"1"), ("b.txt", b"2"), ("a.txt", b"3")])
    alone = adopt(open_store(tmp_path / "one"), "foreign", foreign.train(f"{shards}/*.tar"), LABELS, skip_broken=True)
    monkeypatch.setattr(reading, "PER_PROCESS", 1)
    told = list[int]()
    several = adopt(
        open_store(tmp_path / "two"), "foreign", foreign.train(f"{shards}/*.tar"), LABELS, skip_broken=True,
        processes=2, advance=told.append,
    )  # fmt: skip
    assert several.manifest == alone.manifest
    assert several.broken == alone.broken != {}
    assert sum(told) == several.read == alone.read


def test_a_stopped_adoption_goes_on(shards: Path, tmp_path: Path) -> None:
    store = open_store(tmp_path / "store")
    cut = shards / "x-001.tar"
    cut.write_bytes(cut.read_bytes()[:4000])
    with pytest.raises(Broken, match=r"1 of 3 shards are broken.*need not be read again"):
        adopt(store, "foreign", {"train": [f"{shards}/*.tar"]})
    with pytest.raises(NotFound):
        StoreCatalog(store).manifest("foreign")
    done = adopt(store, "foreign", {"train": [f"{shards}/*.tar"]}, skip_broken=True)
    assert (done.manifest.samples, done.kept, done.read) == (20, 2, 4000)
    assert done.manifest.provenance.skipped == {"broken shard": 1}
    assert list(done.broken) == [cut.as_uri()]


def test_kept_scans_are_not_read_again(shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, patterns = open_store(tmp_path / "store"), foreign.train(f"{shards}/*.tar")

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as stopped:
        stopped.setattr("ropeway.adopt.run.build", stop)
        with pytest.raises(KeyboardInterrupt):
            adopt(store, "foreign", patterns)
    done = adopt(store, "foreign", patterns)
    assert (done.kept, done.read) == (3, 0)
    assert verify(store, done.manifest).problems == ()


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # webdataset leaves it to be collected
@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_odd_names_are_read_as_webdataset_reads_them(form: int, tmp_path: Path) -> None:
    long = "" if form == tarfile.USTAR_FORMAT else "x" * 150
    path = foreign.write_members(
        tmp_path / "odd.tar",
        [
            ("__meta__", b"skipped"), (".hidden", b"skipped"), ("README", b"skipped"),
            ("v1.2/a.JPG", foreign.jpeg(1)), ("v1.2/a.Txt", b"one"),
            ("./b c.jpg", foreign.jpeg(2)),
            (f"{long}c.jpg", foreign.jpeg(3)), (f"{long}c.left.seg.png", foreign.picture(3, "PNG")),
            ("d.task.txt", b"four"), ("d.0.txt", b"zero"),
        ],
        form,
    )  # fmt: skip
    store = open_store(tmp_path / "store")
    done = adopt(store, "odd", {"train": [str(path)]}, Rules(drop=("left",)))
    assert done.ignored == 3
    found = batches(StoreCatalog(store).query())
    theirs = [sample["__key__"] for sample in webdataset.WebDataset(str(path), shardshuffle=False)]
    assert [key.removeprefix("./") for key in theirs] == [unescape_key(key) for key in found]
    assert set(found) == {"v1%2E2/a", "b%20c", f"{long}c", "d"}
    assert found["v1%2E2/a"]["txt"] == "one"
    assert found["d"]["part-task"] == "four"
    assert found["d"]["part-0"] == "zero"
    assert verify(store, done.manifest).problems == ()
    [shard] = done.manifest.shards
    stored = {sample.key: sample for sample in stored_samples(store, done.manifest, shard, lambda _: None)}
    assert set(stored) == set(found)
    assert {part.name: bytes(part.content) for part in stored["d"].parts} == {"part-task": b"four", "part-0": b"zero"}


def test_gnu_tars_of_folders(tmp_path: Path) -> None:
    folder = tmp_path / "folder/sub"
    folder.mkdir(parents=True)
    for number in range(5):
        (folder / f"{number}.jpg").write_bytes(foreign.jpeg(number))
        (folder / f"{number}.txt").write_text(f"text {number}")
    path = foreign.gnu_tar(tmp_path / "folder", tmp_path / "folder.tar")
    store = open_store(tmp_path / "store")
    done = adopt(store, "folder", {"train": [str(path)]})
    assert {key: sample["txt"] for key, sample in batches(StoreCatalog(store).query()).items()} == {
        f"sub/{number}": f"text {number}" for number in range(5)
    }
    assert verify(store, done.manifest).problems == ()


def test_missing_members_are_missing_parts_and_pictures_may_be_mixed(tmp_path: Path) -> None:
    members = [("a.jpg", foreign.jpeg(9)), ("a.txt", b"a"), ("b.png", foreign.picture(7, "PNG")), ("c.txt", b"c")]
    path = foreign.write_members(tmp_path / "x.tar", members)
    store = open_store(tmp_path / "store")
    rules = Rules(parts={"image": PartRules(fields=("jpg", "png"))}, card=CardRules(licence="CC0-1.0", access="open"))
    done = adopt(store, "mixed", {"train": [str(path)]}, rules)
    assert {part.name: (part.kind, part.samples) for part in done.manifest.parts} == {
        "image": ("image", 2), "txt": ("text", 2),
    }  # fmt: skip
    found = batches(StoreCatalog(store).query(parts=["image"]))
    assert {key: int(sample["image"][0, 0, 0]) for key, sample in found.items()} == {"a": 9, "b": 7}
    assert done.manifest.card.licence == "CC0-1.0"


def test_keys_that_repeat_are_told_apart_by_their_shard(tmp_path: Path) -> None:
    for name in ("one", "two"):
        foreign.write_shard(tmp_path / f"raw/{name}.tar", range(3))
    store, patterns = open_store(tmp_path / "store"), foreign.train(f"{tmp_path}/raw/*.tar")
    with pytest.raises(UsageError, match=r"3 keys are in several shards.*--key '\{shard\}/\{key\}'"):
        adopt(store, "twice", patterns)
    adopt(store, "twice", patterns, Rules(key="{shard}/{key}"))
    assert set(batches(StoreCatalog(store).query())) == {
        f"{name}/{number:05d}" for name in ("one", "two") for number in range(3)
    }


def test_a_shard_that_is_changed_later_is_found_when_it_streams(shards: Path, tmp_path: Path) -> None:
    store = open_store(tmp_path / "store")
    adopt(store, "foreign", {"train": [f"{shards}/*.tar"]})
    path = shards / "x-001.tar"
    content = bytearray(path.read_bytes())
    content[600] ^= 1
    path.write_bytes(content)
    with pytest.raises(FormatError, match=r"crc32c differs.*x-001.tar"):
        batches(StoreCatalog(store).query())


def test_spaces_in_paths(tmp_path: Path) -> None:
    path = foreign.write_shard(tmp_path / "raw data/a b%20c.tar", range(4))
    store = open_store(tmp_path / "store")
    done = adopt(store, "spaces", {"train": [str(path)]})
    assert len(batches(StoreCatalog(store).query())) == 4
    assert verify(store, done.manifest).problems == ()


def test_shards_on_s3(bucket: str, tmp_path: Path) -> None:
    theirs, ours = open_store(f"s3://{bucket}/public"), f"s3://{bucket}/ours"
    for number in range(3):
        path = foreign.write_shard(tmp_path / f"{number}.tar", range(10 * number, 10 * number + 10))
        theirs.put(f"x-{number:06d}.tar", path)
    done = adopt(open_store(ours), "cloud", {"train": [f"s3://{bucket}/public/x-{{000000..000001}}.tar"],
                                             "valid": [f"s3://{bucket}/public/*2.tar"]}, LABELS_ONLY)  # fmt: skip
    assert (done.manifest.samples, done.requests) == (30, 3)
    found = batches(ropeway.connect(ours).query(split="valid", task="digit"), parts=["ecg"])
    for key, sample in found.items():
        np.testing.assert_array_equal(sample["ecg"], foreign.ecg(int(key)))


LABELS_ONLY = Rules(tasks={"digit": TaskRules(from_="cls")})


def test_shards_on_a_web_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = foreign.write_shard(tmp_path / "x.tar", range(10)).read_bytes()
    monkeypatch.setattr(range_server, "CONTENT", content + bytes(range_server.SIZE - len(content)))
    store = open_store(tmp_path / "store")
    with range_server.serving_ranges() as server:
        url = server.url("right").partition("?")[0]
        done = adopt(store, "web", {"train": [url]})
        assert done.requests >= 1
        assert verify(store, done.manifest).problems == ()
        assert len(batches(StoreCatalog(store).query(), parts=["ecg"])) == 10
        with pytest.raises(UsageError, match="a URL with a query") as caught:
            adopt(store, "web", {"train": [server.url("right")]})
    assert "token=1" not in str(caught.value)


@given(st.text(min_size=1), st.sampled_from(["{key}", "{shard}/{key}"]))
def test_every_key_becomes_a_key_of_ours(raw: str, template: str) -> None:
    field = names.split(f"{raw}.jpg")
    if field is None:
        return
    try:
        check_key(names.key_of(template, "shard-0.1", field.key))
    except FormatError as error:
        assert "raw id" in str(error)  # noqa: PT017 - text that is no Unicode, or nothing but slashes


def test_rules_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "rules.toml"
    path.write_text('key = "{shard}/{key}"\n[tasks.digit]\nfrom = "cls"\n[parts.image]\nfields = ["jpg", "png"]\n')
    assert load(path) == Rules(
        key="{shard}/{key}", tasks={"digit": TaskRules(from_="cls")},
        parts={"image": PartRules(fields=("jpg", "png"))},
    )  # fmt: skip
    path.write_text('[tasks.digit]\nfron = "cls"\n')
    with pytest.raises(RecipeError, match=r"rules.toml.*fron"):
        load(path)


def test_adopted_files_stream_through_a_service(shards: Path, tmp_path: Path) -> None:
    """Nothing signs files of a folder: the service hands out URLs of its own, and the bytes."""
    store = open_store(tmp_path / "store")
    adopt(store, "foreign", {"train": [f"{shards}/*.tar"]}, Rules(card=CardRules(licence="CC0-1.0", access="open")))
    with serving(str(tmp_path / "store")) as url:
        found = batches(ropeway.connect(url).query(), parts=["ecg"])
    assert len(found) == 30
    for key, sample in found.items():
        np.testing.assert_array_equal(sample["ecg"], foreign.ecg(int(key)))


def test_shards_as_img2dataset_leaves_them_for_laion(tmp_path: Path) -> None:
    """Statistics and tables beside the tars, keys of nine digits, values that are null, and captions that are empty."""
    folder = tmp_path / "laion"
    folder.mkdir()
    for shard in range(2):
        with webdataset.TarWriter(str(folder / f"{shard:05d}.tar")) as writer:
            for number in range(4):
                key = f"{shard:05d}{number:04d}"
                about = {
                    "caption": None if number == 2 else f"caption {key}", "url": f"https://example.org/{key}.jpg?a=b",
                    "key": key, "status": "success", "error_message": None, "width": 8, "height": 8 + number,
                    "original_width": 640, "exif": "{}", "sha256": "0" * 64, "similarity": 0.25 * number or None,
                }  # fmt: skip
                writer.write(
                    {"__key__": key, "jpg": foreign.jpeg(number), "txt": about["caption"] or "", "json": about}
                )
        (folder / f"{shard:05d}_stats.json").write_text("{}")
        (folder / f"{shard:05d}.parquet").write_bytes(b"PAR1")
    store = open_store(tmp_path / "store")
    columns = {name: MetaRules(from_=f"json.{name}") for name in ("url", "height", "similarity", "caption")}
    done = adopt(store, "laion", foreign.train(f"{folder}/{{00000..00001}}.tar"), Rules(meta=columns))
    assert (done.manifest.samples, done.ignored) == (8, 0)
    view = StoreCatalog(store).query(where="height >= 9 and (similarity > 0.3 or similarity is null)")
    found = batches(view, parts=["jpg", "txt"])
    assert set(found) == {f"{shard:05d}{number:04d}" for shard in range(2) for number in (2, 3)}
    assert {key: sample["txt"] for key, sample in found.items()} == {
        key: "" if key.endswith("2") else f"caption {key}" for key in found
    }
    assert view.columns(["url"]).column(0)[0].as_py() == "https://example.org/000000002.jpg?a=b"
    assert verify(store, done.manifest).problems == ()
