"""MIMIC-IV: which stays there are, their outcomes, codes, ECGs and images."""

from pathlib import Path

import pytest

from mimic_reading import HADM, SUBJECT, grid, listed, one_stay
from mimic_tree import HOSPITAL, Tree, at, write_table
from ropeway_shardgen.formats.icd import chapter
from ropeway_shardgen.formats.mimic_tables import database, table


def test_stays_that_end_by_the_prediction_time_are_left_out(tmp_path: Path) -> None:
    tree = Tree()
    tree.patient(SUBJECT)
    ends = [(48.0, None), (47.9, None), (60, 48.0), (60, 48.1), (60, 20.0), (-5, None)]
    for number, (hours, died) in enumerate(ends):
        tree.admission(SUBJECT, HADM + number, hours, start=1000 * number, died=died)
    found = listed(tree.write(tmp_path))
    assert [fields["hadm_id"] - HADM for fields in found] == [0, 3]
    assert [fields["died"] for fields in found] == ["no", "yes"]
    assert [fields["row"] for fields in found] == [0, 1]


def test_death_is_that_of_the_stay(tmp_path: Path) -> None:
    tree = one_stay()
    tree.tables["hosp/patients"][0]["dod"] = at(200)[:10]
    tree.admission(SUBJECT, HADM + 1, 100, start=500, died=100)
    tree.admission(SUBJECT, HADM + 2, 100, start=900, died=100)
    tree.tables["hosp/admissions"][-1]["hospital_expire_flag"] = 0
    tree.admission(SUBJECT, HADM + 3, 100, start=1900)
    tree.tables["hosp/admissions"][-1]["hospital_expire_flag"] = 1
    assert [fields["died"] for fields in listed(tree.write(tmp_path))] == ["no", "yes", None, "yes"]


def test_an_admission_of_nobody_is_no_stay_to_pass_over(tmp_path: Path) -> None:
    tree = one_stay()
    tree.admission(SUBJECT + 1, HADM + 1, 60)
    with pytest.raises(ValueError, match=r"a subject of admissions.csv.gz is not in patients.csv.gz"):
        listed(tree.write(tmp_path))


@pytest.mark.parametrize(("anchor", "years", "age"), [(60, 0, 60), (60, 2, 62), (88, 3, 90), (91, 0, 90), (91, 5, 90)])
def test_age_at_admission(anchor: int, years: int, age: int, tmp_path: Path) -> None:
    tree = Tree()
    tree.patient(SUBJECT, age=anchor)
    tree.admission(SUBJECT, HADM, 60, start=years * 366 * 24)
    assert listed(tree.write(tmp_path))[0]["age"] == age


def test_stays_in_intensive_care_begin_there(tmp_path: Path) -> None:
    tree = one_stay(200)
    tree.icu(SUBJECT, HADM, 30, 72)
    tree.patient(SUBJECT + 1)
    tree.admission(SUBJECT + 1, HADM + 1, 200)
    tree.icu(SUBJECT + 1, HADM + 1, 10, 20)
    tree.chart(SUBJECT, HADM, 29.9, 70)
    tree.chart(SUBJECT, HADM, 31.5, 80)
    tree.ecg(SUBJECT, 40_000_001, 29)
    admissions = tree.write(tmp_path)
    (fields,) = listed(admissions, unit="icu")
    assert (fields["stay_id"], fields["length_of_stay"], fields["ecg"]) == (HADM + 10_000_000, 3.0, None)
    assert grid(admissions, fields) == {(1, "heart_rate"): 80.0}


def test_the_last_study_in_the_window_and_its_frontal_image(tmp_path: Path) -> None:
    tree = one_stay()
    tree.ecg(SUBJECT, 40_000_001, 1)
    last = tree.ecg(SUBJECT, 40_000_003, 2)
    tree.ecg(SUBJECT, 40_000_002, -1)
    tree.image(SUBJECT, 50_000_001, "old", 1, view="PA")
    tree.image(SUBJECT, 50_000_002, "side", 3.1, view="LATERAL")
    front = tree.image(SUBJECT, 50_000_002, "front", 3, view="AP")
    tree.patient(SUBJECT + 1)
    tree.admission(SUBJECT + 1, HADM + 1, 60)
    tree.ecg(SUBJECT + 1, 40_000_009, -1)
    tree.image(SUBJECT + 1, 50_000_009, "before", -1)
    fields, other = listed(tree.write(tmp_path))
    assert (other["ecg"], other["cxr"], other["cxr_split"]) == (None, None, "train")
    assert (fields["ecg"], fields["ecg_hours"], fields["cxr"], fields["cxr_view"]) == (last, 2.0, front, "AP")
    without, _ = listed(tmp_path / HOSPITAL / "hosp/admissions.csv.gz", ecg="", cxr="")
    assert (without["ecg"], without["cxr"], without["cxr_split"]) == (None, None, None)


# codes

CODES = [
    ("0010", "9", "infections"), ("1390", "9", "infections"), ("1400", "9", "neoplasms"), ("3599", "9", "nervous"),
    ("36000", "9", "eye"), ("380", "9", "ear"), ("V4581", "9", "factors"), ("E8889", "9", "external"),
    ("99999", "9", "injury"), ("A00.0", "10", "infections"), ("D49", "10", "neoplasms"), ("C7A010", "10", "neoplasms"),
    ("D500", "10", "blood"), ("H5989", "10", "eye"), ("H60", "10", "ear"), ("I509", "10", "circulatory"),
    ("O9A111", "10", "pregnancy"), ("S0001XA", "10", "injury"), ("U07.1", "10", "special"), ("V00", "10", "external"),
    ("Y99.9", "10", "external"), ("z992", "10", "factors"), ("M1A0", "10", "musculoskeletal"),
]  # fmt: skip


@pytest.mark.parametrize(("code", "version", "name"), CODES)
def test_chapters(code: str, version: str, name: str) -> None:
    assert chapter(code, version) == name


@pytest.mark.parametrize(("code", "version"), [("NoDx", "9"), ("", "9"), ("000", "9"), ("I50", "11"), ("9", "10")])
def test_no_chapter(code: str, version: str) -> None:
    with pytest.raises(ValueError, match=f"not an ICD-{version} diagnosis code"):
        chapter(code, version)


def test_a_code_of_no_chapter_stands_for_itself(tmp_path: Path) -> None:
    tree = one_stay()
    tree.codes(SUBJECT, HADM, "10:I10 ", "9:NoDx", "10:I50.9")
    (fields,) = listed(tree.write(tmp_path))
    assert (fields["icd_codes"], fields["icd_chapters"]) == ("10:I10;9:NoDx;10:I50.9", "9:NoDx;circulatory")


# tables


def test_file_names_are_no_patterns(tmp_path: Path) -> None:
    path = tmp_path / "it's [1]*" / "t.csv.gz"
    write_table(path, ["a", "b"], [{"a": 1, "b": 'x"y,\n'}])
    with database(tmp_path / "spill") as connection:
        assert connection.execute(f"SELECT * FROM {table(path, {'b': 'VARCHAR', 'a': 'BIGINT'})}").fetchall() == [
            ('x"y,\n', 1)
        ]
