"""Recipes of photographs: what holds between them, and what they refuse."""

import csv
from pathlib import Path

import pytest

from raw_trees.photos import picture
from raw_trees.photos_eyes import messidor_2
from raw_trees.photos_skin import ham10000, isic_2019
from raw_trees.photos_words import medpix, vital
from ropeway_shardgen.plan import Settings, inspect, make_plan
from ropeway_shardgen.planned import PlannedSample
from ropeway_shardgen.recipe import load
from ropeway_shardgen.vocabulary import vocabulary


def planned(recipe: str, root: Path) -> dict[str, PlannedSample]:
    plan = make_plan(load(recipe), root)
    return {sample.key: sample for shard in plan.shards for sample in shard.samples}


def problems(recipe: str, root: Path) -> str:
    return "\n".join(inspect(load(recipe), root))


def changed(file: Path, old: str, new: str) -> None:
    text = file.read_text("utf-8")
    assert old in text
    file.write_text(text.replace(old, new, 1), "utf-8")


def test_a_lesion_is_the_same_in_ham10000_and_isic_2019(tmp_path: Path) -> None:
    for name, tree in (("ham10000", ham10000), ("isic-2019", isic_2019)):
        (tmp_path / name).mkdir()
        tree(tmp_path / name)
    one = planned("ham10000", tmp_path / "ham10000")["ISIC_0027419"]
    other = planned("isic-2019", tmp_path / "isic-2019")["ISIC_0000000"]
    assert one.subject is not None
    assert (one.subject, one.split) == (other.subject, other.split)


def test_five_grades_and_four_agree() -> None:
    """The international scale's mild and moderate are the modified Davis scale's simple retinopathy."""
    grades, davis = vocabulary("diabetic-retinopathy"), vocabulary("diabetic-retinopathy-davis")
    merged = dict(zip(grades["classes"], (0, 1, 1, 2, 3), strict=True))
    for code, grade in grades["map"].items():
        assert davis["map"][code] == davis["classes"][merged[grade]]
    assert set(davis["map"]) - set(grades["map"]) == {"ndr", "sdr", "ppdr", "pdr"}


def test_a_code_that_no_vocabulary_knows(tmp_path: Path) -> None:
    ham10000(tmp_path)
    changed(tmp_path / "HAM10000_metadata", ",mel,", ",melanoma?,")
    assert "label 'melanoma?' in field 'dx' is none of" in problems("ham10000", tmp_path)
    assert "row 4 of HAM10000_metadata" in problems("ham10000", tmp_path)


def test_two_diagnoses_of_one_lesion(tmp_path: Path) -> None:
    isic_2019(tmp_path)
    changed(tmp_path / "ISIC_2019_Training_GroundTruth.csv", "ISIC_0000003,0.0,1.0", "ISIC_0000003,1.0,1.0")
    assert "field 'diagnosis': '1.0 1.0 0.0" in problems("isic-2019", tmp_path)


def test_an_eye_without_its_examination(tmp_path: Path) -> None:
    messidor_2(tmp_path)
    changed(tmp_path / "messidor-2.csv", "IM000057.JPG;IM000056.JPG\n", "")
    assert "field 'examination' is empty" in problems("messidor-2", tmp_path)


def test_a_case_on_both_sides(tmp_path: Path) -> None:
    medpix(tmp_path)
    train = (tmp_path / "splitted_dataset/descriptions_train.jsonl").read_text().splitlines()
    with (tmp_path / "splitted_dataset/descriptions_test.jsonl").open("a") as file:
        file.write(train[0].replace("synpic45737", "synpic1") + "\n")
    picture(tmp_path / "images/MPX1106_synpic1.png")
    assert "is in the splits train and test" in problems("medpix", tmp_path)


def test_a_table_that_lacks_a_column(tmp_path: Path) -> None:
    ham10000(tmp_path)
    with (tmp_path / "HAM10000_metadata").open(newline="") as file:
        rows = list(csv.DictReader(file))
    with (tmp_path / "HAM10000_metadata").open("w", newline="") as file:
        writer = csv.DictWriter(file, [name for name in rows[0] if name != "lesion_id"], extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    assert "there is no field 'lesion_id'" in problems("ham10000", tmp_path)


def test_conversations_are_not_read_from_a_file_cut_short(tmp_path: Path) -> None:
    vital(tmp_path)
    file = tmp_path / "BioMed-VITAL-instructions-210K.json"
    file.write_bytes(file.read_bytes()[:-20])
    assert "BioMed-VITAL-instructions-210K.json cannot be read" in problems("vital", tmp_path)


@pytest.mark.parametrize("recipe", ["ham10000", "aptos-2019", "lc25000"])
def test_an_empty_folder_is_told_what_is_missing(tmp_path: Path, recipe: str) -> None:
    assert "missing" in problems(recipe, tmp_path)


def test_limits_do_not_change_who_is_where(tmp_path: Path) -> None:
    isic_2019(tmp_path)
    few = make_plan(load("isic-2019"), tmp_path, Settings(limit=4))
    whole = planned("isic-2019", tmp_path)
    for sample in (sample for shard in few.shards for sample in shard.samples):
        assert (sample.subject, sample.split) == (whole[sample.key].subject, whole[sample.key].split)
