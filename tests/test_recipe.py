"""Recipes: what is read, and what is refused in which words."""

import pickle
from pathlib import Path

import msgspec
import pytest

from ropeway.errors import RecipeError, UsageError
from ropeway.index import Value
from ropeway_shardgen.fields import fill, holes
from ropeway_shardgen.problems import SampleError
from ropeway_shardgen.recipe import available, load
from ropeway_shardgen.sizes import format_size, parse_size
from shardgen_raw import RECIPE, recipe


def test_built_in_recipes_are_well_formed_and_named_after_their_files() -> None:
    found = available()
    assert {"pbmc68k", "gbsg2", "lung", "photographs", "dicom-images", "ecg-dicom"} <= {one.id for one in found}
    for one in found:
        assert load(one.id) == one
        assert one.raw.get
        assert one.raw.folder


def test_a_recipe_survives_pickling() -> None:
    one = recipe()
    assert one.readers
    assert pickle.loads(pickle.dumps(one)) == one


def test_a_recipe_that_travels_to_another_process_is_of_the_same_version() -> None:
    """A version says what a recipe says, and not what it leaves to defaults."""
    for one in available():
        again = pickle.loads(pickle.dumps(one))
        assert again == one
        assert msgspec.json.encode(again) == msgspec.json.encode(one), one.id


def test_unknown_recipe_suggests() -> None:
    with pytest.raises(RecipeError, match="no recipe 'pbmc86k': did you mean 'pbmc68k'"):
        load("pbmc86k")
    with pytest.raises(RecipeError, match=r"no recipe '\.\./x'"):
        load("../x")


def test_missing_file_and_broken_toml(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"mine.toml: cannot be read: No such file"):
        load(tmp_path / "mine.toml")
    (tmp_path / "mine.toml").write_text("id = ")
    with pytest.raises(RecipeError, match=r"mine\.toml: not TOML"):
        load(str(tmp_path / "mine.toml"))


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('unit = "image"', 'unit = "image"\nsise = 3', r"card: unknown key 'sise'"),
        ('table = "samples.csv"', 'tabel = "samples.csv"', r"source: unknown key `tabel`"),
        ('access = "open"', 'access = "public"', r"card\.access: Invalid enum value 'public'"),
        ('adapter = "image"', 'adapter = "jpeg"', r"parts\.image\.adapter: no adapter 'jpeg'; there is: .*image"),
        ("columns = [", "column = [", r"parts\.covariates\.options: (unknown key `column`|missing)"),
        ('id = "tiny"', 'id = "Tiny"', "id: not a dataset id"),
        ('key = "{image}"', 'key = "{image"', "key: not a template"),
        ('shard_size = "64KiB"', 'shard_size = "big"', "shard_size: not a size"),
        ("valid = 0.2", "valid = 0.3", "split.fractions: positive numbers that add up to 1"),
        ('"1" = "present"', '"1" = "there"', r"tasks\.finding\.map: 'there' is not one of the classes"),
        ('classes = ["absent", "present"]', 'classes = ["absent"]', "a binary task has two"),
        ('from = "finding"', 'from = "finding"\nseparator = ";"', "separator: for multilabel"),
        ("\nwidth =", "\nlabel =", "meta.label: this name already means something"),
        ("\nwidth =", '\n"image width" =', "a column's name is letters"),
        ("\nwidth =", "\nAge =", "'age' is there twice"),
        ('table = "samples.csv"', 'table = "samples.csv"\nfiles = ["*"]', "give one of table, files and folders"),
        ('rule = "subject-hash"', 'rule = "random"', r"split\.rule: Invalid value 'random'"),
        ('kind = "image"', 'kind = "picture"', r"parts\.image\.kind: Invalid enum value 'picture'"),
        ('from = "sex", type', 'form = "sex", type', r"meta\.sex: unknown key `form`"),
        ("[parts.image]", "[parts.Image]", r"parts\.Image: not a part name"),
    ],
)
def test_what_is_wrong_is_named(old: str, new: str, words: str) -> None:
    with pytest.raises(RecipeError, match=rf"recipe tiny\.toml: .*{words}"):
        recipe((old, new))


def test_a_user_s_file_is_a_recipe(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(RECIPE)
    assert load(str(path)).id == "tiny"


def test_templates() -> None:
    fields: dict[str, Value] = {"patient": "P 1", "image": 7, "empty": None, "ph.ecog": 1.0}
    assert fill("{patient}/{image:04}", fields) == "P 1/0007"
    assert fill("{ph.ecog}", fields) == "1.0"
    assert holes("{patient}/{image:04}") == ["patient", "image"]
    with pytest.raises(SampleError, match="field 'empty' is empty"):
        fill("{empty}", fields)
    with pytest.raises(SampleError, match="no field 'patients'; there is: patient, image"):
        fill("{patients}", fields)


@pytest.mark.parametrize(
    ("text", "size"), [("256MiB", 256 << 20), ("1.5 GB", 1_500_000_000), ("7", 7), ("64k", 64000), ("1KiB", 1024)]
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "MiB", "-3", "0", "3 apples", "nan"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(UsageError):
        parse_size(text)


def test_sizes_for_people() -> None:
    assert [format_size(size) for size in (999, 1500, 5_200_000, 3e12)] == ["999 B", "1.5 kB", "5.2 MB", "3.0 TB"]
