"""Plans: the same input gives the same plan, and what is wrong with raw data is told before a byte is written."""

import gzip
import shutil
from pathlib import Path

import pytest

from ropeway.errors import SourceError
from ropeway_shardgen.plan import Settings, inspect, make_plan
from shardgen_raw import recipe, row, write_raw, write_table


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_raw(tmp_path / "raw")


def test_the_same_input_gives_the_same_plan_wherever_it_lies(root: Path, tmp_path: Path) -> None:
    plan = make_plan(recipe(), root)
    elsewhere = shutil.copytree(root, tmp_path / "elsewhere")
    again = make_plan(recipe(), elsewhere)
    assert (again.version, again.shards) == (plan.version, plan.shards)
    assert plan.source_files == 61
    assert plan.samples == 60


def test_the_version_depends_on_recipe_settings_and_listing(root: Path) -> None:
    versions = {make_plan(recipe(), root).version}
    versions.add(make_plan(recipe(('title = "Tiny"', 'title = "Small"')), root).version)
    versions.add(make_plan(recipe(), root, Settings(limit=10)).version)
    versions.add(make_plan(recipe(), root, Settings(shard_size=1 << 20)).version)
    versions.add(make_plan(recipe(), root, Settings(on_error="skip")).version)
    versions.add(make_plan(recipe(), root, Settings(secret=b"a secret of some length")).version)
    (root / "images/0003.png").write_bytes(b"longer than before" * 1000)
    versions.add(make_plan(recipe(), root).version)
    assert len(versions) == 7


def test_shards_hold_one_split_and_keep_to_their_size(root: Path) -> None:
    plan = make_plan(recipe(), root, Settings(shard_size=20_000))
    assert len(plan.shards) > 5
    for shard in plan.shards:
        assert {sample.split for sample in shard.samples} == {shard.split}
        assert shard.size <= 20_000
        assert shard.name.startswith(shard.split)
    assert len({sample.key for shard in plan.shards for sample in shard.samples}) == 60


def test_samples_of_a_subject_share_a_split_and_a_pseudonym(root: Path) -> None:
    plan = make_plan(recipe(), root)
    samples = {sample.key: sample for shard in plan.shards for sample in shard.samples}
    assert samples["0000"].subject == samples["0001"].subject != samples["0002"].subject
    assert all(samples[f"{n:04}"].split == samples[f"{n + 1:04}"].split for n in range(0, 60, 2))
    assert not any("P" in str(sample.subject) for sample in samples.values())
    assert {shard.split for shard in plan.shards} == {"train", "valid", "test"}


def test_a_secret_changes_every_pseudonym_and_is_not_written_down(root: Path) -> None:
    plan, keyed = make_plan(recipe(), root), make_plan(recipe(), root, Settings(secret=b"0123456789abcdef"))
    plain = {sample.subject for shard in plan.shards for sample in shard.samples}
    assert plain.isdisjoint(sample.subject for shard in keyed.shards for sample in shard.samples)
    assert "0123456789abcdef" not in str(keyed.parameters)


def test_limit_takes_the_first_samples(root: Path) -> None:
    plan = make_plan(recipe(), root, Settings(limit=7))
    assert sorted(sample.key for shard in plan.shards for sample in shard.samples) == [f"{n:04}" for n in range(7)]


def test_labels_and_metadata(root: Path) -> None:
    samples = {sample.key: sample for shard in make_plan(recipe(), root).shards for sample in shard.samples}
    assert [samples[f"{n:04}"].labels["finding"] for n in (0, 1, 9)] == [0, 1, None]
    assert samples["0001"].meta == {"age": 21, "sex": "F"}


def test_missing_raw_folder_and_files(root: Path, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no such folder of raw data"):
        make_plan(recipe(), tmp_path / "nowhere")
    (root / "images/0007.png").unlink()
    with pytest.raises(
        SourceError, match=r"raw file missing: images/0007\.png \(row 8 of samples\.csv\).*dataset tiny"
    ):
        make_plan(recipe(), root)
    shutil.rmtree(root / "images")
    with pytest.raises(SourceError, match="60 problems, such as: raw file missing"):
        make_plan(recipe(), root)
    assert len(inspect(recipe(), root)) == 60
    (root / "samples.csv").unlink()
    with pytest.raises(SourceError, match=r"raw file missing: samples\.csv"):
        make_plan(recipe(), root)


def test_an_optional_part_may_be_missing(root: Path) -> None:
    (root / "images/0007.png").unlink()
    plan = make_plan(recipe(('file = "images/{image}.png"', 'file = "images/{image}.png"\noptional = true')), root)
    samples = {sample.key: sample for shard in plan.shards for sample in shard.samples}
    assert set(samples["0007"].files) == {"covariates"}
    assert set(samples["0008"].files) == {"image", "covariates"}


def test_skip_counts_by_reason_and_names_nobody(root: Path) -> None:
    (root / "images/0007.png").unlink()
    write_table(root, [row(n) | ({"finding": "5"} if n == 3 else {}) for n in range(60)])
    plan = make_plan(recipe(), root, Settings(on_error="skip"))
    assert plan.skipped == {"missing file": 1, "label outside the classes": 1}
    assert plan.samples == 58


def test_label_outside_the_classes(root: Path) -> None:
    write_table(root, [row(n) | ({"finding": "5"} if n == 3 else {}) for n in range(60)])
    with pytest.raises(
        SourceError, match=r"label '5' in field 'finding' is none of: 0, 1 \(row 4 of samples\.csv\).*0003"
    ):
        make_plan(recipe(), root)


def test_duplicate_key_names_both_rows_whatever_the_policy(root: Path) -> None:
    write_table(root, [*(row(n) for n in range(60)), row(5)])
    for settings in (Settings(), Settings(on_error="skip")):
        with pytest.raises(SourceError, match=r"key 0005 is there twice: row 6 of samples\.csv and row 61 of samples"):
            make_plan(recipe(), root, settings)


COLUMN_SPLIT = (
    'rule = "subject-hash"\nfractions = { train = 0.6, valid = 0.2, test = 0.2 }',
    'rule = "column"\nfrom = "fold"\nmap = { "1" = "train", "2" = "test" }',
)


def test_subject_in_two_splits_names_the_pseudonym_only(root: Path) -> None:
    write_table(root, [row(n) | {"fold": "2" if n in (3, 20, 21) else "1"} for n in range(60)])
    with pytest.raises(SourceError, match=r"subject [0-9a-f]{16} is in the splits train and test") as caught:
        make_plan(recipe(COLUMN_SPLIT), root)
    assert "P1" not in str(caught.value)


def test_a_split_word_that_is_not_listed(root: Path) -> None:
    write_table(root, [row(n) | {"fold": "3"} for n in range(60)])
    with pytest.raises(SourceError, match="split '3' in field 'fold' is none of: 1, 2"):
        make_plan(recipe(COLUMN_SPLIT), root)


def test_nothing_left_is_an_error(root: Path) -> None:
    only = ('table = "samples.csv"', 'table = "samples.csv"\nwhere = { sex = ["X"] }')
    with pytest.raises(SourceError, match="no sample in"):
        make_plan(recipe(only), root)


def test_a_field_that_no_row_has(root: Path) -> None:
    with pytest.raises(
        SourceError, match="there is no field 'outcome'; there is: image, patient, age, sex, finding, row"
    ):
        make_plan(recipe(('from = "finding"', 'from = "outcome"')), root)


def test_links_and_paths_out_of_the_root(root: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(b"not for packing")
    (root / "images/0007.png").unlink()
    (root / "images/0007.png").symlink_to(tmp_path / "secret.png")
    with pytest.raises(SourceError, match=r"lies outside the raw folder: images/0007\.png"):
        make_plan(recipe(), root)
    with pytest.raises(SourceError, match="lies outside the raw folder"):
        make_plan(recipe(("images/{image}.png", "../secret.png")), root)


def test_a_ragged_row(root: Path) -> None:
    with (root / "samples.csv").open("a") as table:
        table.write("0060,P30\n")
    with pytest.raises(SourceError, match=r"row 61 of samples\.csv has 2 cells, the header 5"):
        make_plan(recipe(), root)


@pytest.mark.parametrize("name", ["samples.tsv", "samples.csv.gz", "samples.tsv.gz"])
def test_tables_of_other_kinds(root: Path, name: str) -> None:
    text = (root / "samples.csv").read_text()
    data = (text.replace(",", "\t") if "tsv" in name else text).encode()
    (root / name).write_bytes(gzip.compress(data) if name.endswith("gz") else data)
    assert make_plan(recipe(("samples.csv", name)), root).samples == 60


def test_a_table_that_cannot_be_read(root: Path) -> None:
    whole = gzip.compress((root / "samples.csv").read_bytes())
    (root / "samples.csv.gz").write_bytes(whole[:-20])
    with pytest.raises(SourceError, match=r"table samples\.csv\.gz cannot be read"):
        make_plan(recipe(("samples.csv", "samples.csv.gz")), root)
    (root / "samples.csv").write_bytes(b"image,patient,age,sex,finding\n\xff,P,1,F,0\n")
    with pytest.raises(SourceError, match=r"table samples\.csv cannot be read"):
        make_plan(recipe(), root)


def test_files_by_glob_with_named_groups(root: Path) -> None:
    files = (
        'table = "samples.csv"',
        'files = ["images/000?.png"]\npattern = "(?P<image>(?P<patient>[0-9]{3})(?P<finding>[0-9]))[.]png"',
    )
    changes = [files, ('columns = ["age", "sex"]', 'columns = ["finding"]'), (', codes = { sex = ["F", "M"] }', "")]
    drop = [
        ('age = { from = "age", type = "integer" }\nsex = { from = "sex", type = "string" }\n', ""),
        ('"1" = "present"', '"1" = "present", "2" = "absent"'),
    ]
    plan = make_plan(recipe(*changes, *drop), root, Settings(on_error="skip"))
    assert plan.samples == 3
    assert plan.skipped == {"label outside the classes": 7}
