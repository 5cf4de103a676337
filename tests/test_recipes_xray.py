"""What the X-ray recipes say when a raw folder is not as it should be, and that no identity gets past them."""

from collections.abc import Callable
from pathlib import Path

import pytest

from raw_trees import raw_trees
from ropeway import index
from ropeway.errors import SourceError
from ropeway.stores.local import LocalStore
from ropeway_shardgen.pack import pack
from ropeway_shardgen.plan import Settings, inspect
from ropeway_shardgen.recipe import load

TREES = raw_trees()


def raw(name: str, folder: Path) -> Path:
    """A recipe's tree."""
    root = folder / "raw"
    root.mkdir()
    TREES[name](root)
    return root


def replaced(path: Path, old: str, new: str) -> None:
    text = path.read_text("utf-8")
    assert old in text, old
    path.write_text(text.replace(old, new), "utf-8")


def unknown_word(root: Path) -> None:
    replaced(root / "CheXpert-v1.0-small/train.csv", ",-1.0,", ",2.0,")


def unknown_sex(root: Path) -> None:
    replaced(root / "CheXpert-v1.0-small/train.csv", "Unknown", "?")


def unlisted_image(root: Path) -> None:
    replaced(root / "test_list.txt", "00000003_007.png", "00000009_000.png")


def image_in_both_lists(root: Path) -> None:
    (root / "test_list.txt").write_text("00000001_000.png\n00000002_000.png\n00000003_007.png\n")


def series_not_downloaded(root: Path) -> None:
    replaced(root / "metadata.csv", "Mass-Test_P_00004_LEFT_MLO,", "Mass-Test_P_00005_LEFT_MLO,")


def readers_in_a_tie(root: Path) -> None:
    table = root / "annotations/image_labels_train.csv"
    lines = table.read_text().splitlines()
    table.write_text("\n".join([*lines, next(line for line in lines if ",R17," in line)]))


def column_renamed(root: Path) -> None:
    replaced(root / "breast-level_annotations.csv", "breast_birads", "birads")


def unknown_category(root: Path) -> None:
    replaced(root / "breast-level_annotations.csv", "BI-RADS 3", "BI-RADS 6")


def stray_file(root: Path) -> None:
    (root / "TrainData/Normal/Thumbs.db").write_bytes(b"\xd0\xcf\x11\xe0")


def class_without_images(root: Path) -> None:
    for file in (root / "ValData/COVID-19").iterdir():
        file.unlink()


def score_out_of_range(root: Path) -> None:
    replaced(root / "metadata_global_v2.csv", ";16;", ";19;")


@pytest.mark.parametrize(
    ("name", "spoil", "problem"),
    [
        ("chexpert", unknown_word, "label '2.0' in field 'Edema' is none of the words"),
        ("chexpert", unknown_sex, "field 'sex': '?' is none of: Female, Male, Unknown"),
        ("nih-chestxray8", unlisted_image, "no row in train_val_list.txt or test_list.txt for image '0000000"),
        ("nih-chestxray8", image_in_both_lists, "column 'set' differs between the 2 rows of one sample"),
        ("cbis-ddsm", series_not_downloaded, "no row in metadata.csv for Subject ID 'Mass-Test_P_00004_LEFT_MLO'"),
        ("vindr-cxr", readers_in_a_tie, "are there equally often"),
        ("vindr-mammo", column_renamed, "there is no field 'breast_birads'"),
        ("vindr-mammo", unknown_category, "label 'BI-RADS 6' in field 'breast_birads' is none of: "),
        ("covid19-cxr", stray_file, "TrainData/Normal/Thumbs.db cannot be read: neither a JPEG nor a PNG"),
        ("covid19-cxr", class_without_images, "raw file missing: ValData/COVID-19/**/*.*"),
        ("brixia", score_out_of_range, "label '19' in field 'BrixiaScoreGlobal' is none of: 0, 1"),
    ],
)  # fmt: skip
def test_a_spoiled_folder_is_named(name: str, spoil: Callable[[Path], None], problem: str, tmp_path: Path) -> None:
    root = raw(name, tmp_path)
    spoil(root)
    assert any(problem in found for found in inspect(load(name), root))


def test_a_side_that_the_header_lacks_is_an_error(tmp_path: Path) -> None:
    """It must not pass for a breast that the sheet does not list."""
    root = raw("cmmd", tmp_path)
    path = next(root.glob("**/D2-0750/**/*.dcm"))
    path.write_bytes(path.read_bytes().replace(b"CS\x02\x00L ", b"CS\x02\x00  "))
    assert any("field 'side' is empty" in found for found in inspect(load("cmmd"), root))


def test_what_only_reading_shows(tmp_path: Path) -> None:
    root = raw("mimic-cxr", tmp_path)
    report = root / "files/p10/p10000032/s50414267.txt"
    whole = report.read_bytes()
    report.write_bytes(whole.decode().encode("latin-1"))
    with pytest.raises(SourceError, match=r"s50414267\.txt: not utf-8-sig text: byte 0xb1 at"):
        pack(load("mimic-cxr"), root, LocalStore(tmp_path / "store"))
    report.write_bytes(whole)
    image = next(root.glob("**/2a2277a9-b0ded155.jpg"))
    image.write_bytes(image.read_bytes()[:-4])
    with pytest.raises(SourceError, match=r"2a2277a9-b0ded155\.jpg: a JPEG cut short"):
        pack(load("mimic-cxr"), root, LocalStore(tmp_path / "store"))


@pytest.mark.parametrize(
    ("name", "identifiers"),
    [
        ("cmmd", ["D1-0001", "D2-0002"]),
        ("cbis-ddsm", ["P_00001"]),
        ("chexpert", ["patient00001"]),
        ("mimic-cxr", ["10000032"]),
        ("nih-chestxray8", ["00000001_"]),
        ("vindr-cxr", []),
        ("vindr-mammo", []),
        ("brixia", []),
    ],
)
def test_no_identity_gets_into_a_store(name: str, identifiers: list[str], tmp_path: Path) -> None:
    pack(load(name), raw(name, tmp_path), LocalStore(tmp_path / "store"), Settings(secret=b"of the site"))
    stored = [file.read_bytes() for file in (tmp_path / "store").rglob("*") if file.is_file()]
    rows = [repr(index.decode(content).to_pylist()).encode() for content in stored if content.startswith(b"PAR1")]
    assert rows
    for word in (*identifiers, "Planted", "19530405", "20010203"):
        assert not any(word.encode() in content for content in (*stored, *rows)), word
