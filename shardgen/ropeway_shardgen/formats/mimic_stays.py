"""The stays of MIMIC-IV that a prediction is made for, and all that is known of each: one row per stay.

A stay has a time zero (admission to the hospital or to intensive care) and a prediction time, the end of the window.
What was recorded at or after the prediction time is no input. It appears in labels only: in-hospital death, length of
stay and diagnosis codes. Stays that end by then, and patients who die by then, are left out: there is nothing to
predict (the cohort of Harutyunyan et al., Scientific Data 6:96, 2019, for a window of 48 h in intensive care).
"""

import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import duckdb
import msgspec

from ropeway.index import Value
from ropeway_shardgen.formats.icd import chapter
from ropeway_shardgen.formats.mimic_tables import database, table

_BATCH = 4096
_COLUMNS = {
    "patients": {
        "subject_id": "BIGINT", "gender": "VARCHAR", "anchor_age": "INTEGER", "anchor_year": "INTEGER",
        "anchor_year_group": "VARCHAR",
    },
    "admissions": {
        "subject_id": "BIGINT", "hadm_id": "BIGINT", "admittime": "TIMESTAMP", "dischtime": "TIMESTAMP",
        "deathtime": "TIMESTAMP", "admission_type": "VARCHAR", "admission_location": "VARCHAR",
        "insurance": "VARCHAR", "race": "VARCHAR", "hospital_expire_flag": "INTEGER",
    },
    "diagnoses_icd": {"hadm_id": "BIGINT", "seq_num": "INTEGER", "icd_code": "VARCHAR", "icd_version": "VARCHAR"},
    "icustays": {"hadm_id": "BIGINT", "stay_id": "BIGINT", "intime": "TIMESTAMP", "outtime": "TIMESTAMP"},
    "record_list": {"subject_id": "BIGINT", "study_id": "BIGINT", "ecg_time": "TIMESTAMP", "path": "VARCHAR"},
    "metadata": {
        "subject_id": "BIGINT", "study_id": "BIGINT", "dicom_id": "VARCHAR", "ViewPosition": "VARCHAR",
        "StudyDate": "VARCHAR", "StudyTime": "VARCHAR",
    },
    "split": {"subject_id": "BIGINT", "split": "VARCHAR"},
}  # fmt: skip
_FIELDS = (
    "row", "subject_id", "hadm_id", "stay_id", "sex", "age", "admission_type", "admission_location", "insurance",
    "race", "period", "died", "length_of_stay", "icd_codes", "ecg", "ecg_hours", "cxr", "cxr_hours", "cxr_view",
    "cxr_split",
)  # fmt: skip


class Feature(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One variable of the grid: the items that measure it, in one unit."""

    items: Annotated[tuple[int, ...], msgspec.Meta(min_length=1)]
    """`itemid` of d_labitems or d_items."""
    units: str = ""
    plausible: tuple[float, float]
    """Values outside, after conversion, are taken for errors of entry; both ends are inside."""
    convert: tuple[tuple[int, float, float], ...] = ()
    """Items recorded in another unit, with factor and offset: value · factor + offset is in `units`."""

    def __post_init__(self) -> None:
        """Refuse a conversion of an item that is not the feature's.

        Raises:
            ValueError: there is one.
        """
        strange = [item for item, _, _ in self.convert if item not in self.items]
        if strange:
            raise ValueError(f"convert: item {strange[0]} is not one of the feature's items")


class Stays(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which stays, and what of them is known when the prediction is made."""

    unit: Literal["hospital", "icu"]
    """A hospital stay, from its admission; or a stay in intensive care, from the entry there."""
    window: tuple[float, float]
    """Hours since time zero, half-open; its end is the prediction time."""
    bin_hours: Annotated[float, msgspec.Meta(gt=0)] = 1.0
    ecg: str = ""
    """Folder of MIMIC-IV-ECG, relative to the one that holds `hosp` and `icu`; left out, there are none."""
    cxr: str = ""
    """Folder of MIMIC-CXR-JPG, likewise."""
    features: Mapping[str, Feature]

    def __post_init__(self) -> None:
        """Refuse a window that is not one.

        Raises:
            ValueError: it ends before it starts, or is not made of whole bins; or an item measures two features.
        """
        start, end = self.window
        if end <= max(start, 0) or not ((end - start) / self.bin_hours).is_integer():
            raise ValueError(f"the window {start}-{end} h must end after time zero and be made of whole bins")
        items = [item for feature in self.features.values() for item in feature.items]
        if not items or len(set(items)) != len(items):
            raise ValueError("there must be features, and each item in one of them")


def tables(folder: Path, stays: Stays) -> dict[str, Path]:
    """The tables that stays are made from, by name; `folder` holds `hosp` and `icu`."""
    found = {name: folder / f"hosp/{name}.csv.gz" for name in ("patients", "admissions", "diagnoses_icd")}
    if stays.unit == "icu":
        found["icustays"] = folder / "icu/icustays.csv.gz"
    if stays.ecg:
        found["record_list"] = _beside(folder, stays.ecg) / "record_list.csv"
    if stays.cxr:
        for name in ("metadata", "split"):
            found[name] = _beside(folder, stays.cxr) / f"mimic-cxr-2.0.0-{name}.csv.gz"
    return found


def list_stays(folder: Path, stays: Stays) -> Iterator[dict[str, Value]]:
    """One row of fields per stay, in the order of its identifier.

    `row` (from 0); `subject_id`, `hadm_id`, `stay_id` (the admission's, for a hospital stay); `sex`, `age` (years at
    admission, 90 for more than 89), `admission_type`, `admission_location`, `insurance`, `race`, `period`
    (anchor_year_group); `died` (yes or no, in the hospital; empty where the table contradicts itself),
    `length_of_stay` (days), `icd_codes` (`version:code`, by priority, joined by `;`), `icd_chapters` (joined by `;`;
    a code of no chapter stands for itself); `ecg`, `cxr` (path of the last record and image in the window),
    `ecg_hours`, `cxr_hours` (since time zero), `cxr_view`; `cxr_split` (the subject's split in MIMIC-CXR).

    Raises:
        ValueError: a table cannot be read or lacks a column.
    """
    with tempfile.TemporaryDirectory(prefix="ropeway-") as spill, database(Path(spill)) as connection:
        create(connection, folder, stays)
        _add_studies(connection, tables(folder, stays))
        found = connection.execute(_LISTED.format(columns=", ".join(_FIELDS)))
        while rows := found.fetchmany(_BATCH):
            for row in rows:
                fields: dict[str, Value] = dict(zip(_FIELDS, row, strict=True))
                yield {**fields, "icd_chapters": _chapters(fields["icd_codes"])}


def create(connection: duckdb.DuckDBPyConnection, folder: Path, stays: Stays) -> None:
    """Make the relation `stays`: row, subject_id, hadm_id, stay_id, zero (time), since and until (the window), …"""
    paths = tables(folder, stays)
    sources = {name: table(paths[name], _COLUMNS[name]) for name in ("admissions", "patients", "diagnoses_icd")}
    stay = {"id": "hadm_id", "zero": "admittime", "stop": "dischtime", "icu": ""}
    if stays.unit == "icu":
        icustays = table(paths["icustays"], _COLUMNS["icustays"])
        icu = f"JOIN (SELECT hadm_id, stay_id AS icu_id, intime, outtime FROM {icustays}) USING (hadm_id)"
        stay = {"id": "icu_id", "zero": "intime", "stop": "outtime", "icu": icu}
    since, until = (round(hours * 3600) for hours in stays.window)
    connection.execute(_STAYS.format(**sources, **stay, since=since, until=until))


_STAYS = """
CREATE TEMP TABLE stays AS
WITH codes AS (
    SELECT hadm_id, string_agg(trim(icd_version) || ':' || trim(icd_code), ';' ORDER BY seq_num) AS icd_codes
    FROM {diagnoses_icd} WHERE icd_code IS NOT NULL GROUP BY hadm_id
), timed AS (
    SELECT *, {id} AS stay_id, {zero} AS zero, {stop} AS stop,
        {zero} + to_seconds({since}) AS since, {zero} + to_seconds({until}) AS until
    FROM {admissions} {icu}
)
SELECT CAST(row_number() OVER (ORDER BY timed.stay_id) - 1 AS BIGINT) AS row,
    subject_id, hadm_id, timed.stay_id, zero, since, until,
    CASE WHEN known THEN gender ELSE error('a subject of admissions.csv.gz is not in patients.csv.gz') END AS sex,
    CASE WHEN anchor_age >= 90 OR anchor_age + year(admittime) - anchor_year >= 90 THEN 90
         ELSE anchor_age + year(admittime) - anchor_year END AS age,
    admission_type, admission_location, insurance, race, anchor_year_group AS period,
    CASE WHEN deathtime IS NOT NULL AND hospital_expire_flag = 0 THEN NULL
         WHEN deathtime IS NOT NULL OR hospital_expire_flag = 1 THEN 'yes' ELSE 'no' END AS died,
    epoch(stop - zero) / 86400.0 AS length_of_stay,
    icd_codes
FROM timed LEFT JOIN (SELECT *, true AS known FROM {patients}) USING (subject_id) LEFT JOIN codes USING (hadm_id)
WHERE stop >= until AND (deathtime IS NULL OR deathtime > until)
"""


def _add_studies(connection: duckdb.DuckDBPyConnection, paths: Mapping[str, Path]) -> None:
    sources = {
        name: table(paths[name], _COLUMNS[name]) for name in ("record_list", "metadata", "split") if name in paths
    }
    connection.execute(_ECGS.format(**sources) if "record_list" in paths else _NO_ECGS)
    connection.execute(_IMAGES.format(**sources) if "metadata" in paths else _NO_IMAGES)


_NO_ECGS = "CREATE TEMP TABLE ecgs (row BIGINT, ecg VARCHAR, ecg_hours DOUBLE)"

_ECGS = """
CREATE TEMP TABLE ecgs AS
SELECT row, path AS ecg, epoch(ecg_time - zero) / 3600.0 AS ecg_hours
FROM stays JOIN {record_list} USING (subject_id)
WHERE ecg_time >= since AND ecg_time < until
QUALIFY row_number() OVER (PARTITION BY row ORDER BY ecg_time DESC, study_id DESC) = 1
"""

_IMAGES = """
CREATE TEMP TABLE images AS
WITH taken AS (
    SELECT *, strptime(StudyDate || lpad(split_part(StudyTime, '.', 1), 6, '0'), '%Y%m%d%H%M%S') AS time,
        CASE ViewPosition WHEN 'PA' THEN 0 WHEN 'AP' THEN 1 ELSE 2 END AS rank
    FROM {metadata}
), seen AS (
    SELECT *, max(time) OVER (PARTITION BY row, study_id) AS study_time FROM stays JOIN taken USING (subject_id)
    WHERE time >= since AND time < until
)
SELECT row, epoch(time - zero) / 3600.0 AS cxr_hours, ViewPosition AS cxr_view,
    format('files/p{{}}/p{{}}/s{{}}/{{}}.jpg', left(subject_id::VARCHAR, 2), subject_id, study_id, dicom_id) AS cxr
FROM seen
QUALIFY row_number() OVER (
    PARTITION BY row ORDER BY study_time DESC, study_id DESC, rank, time DESC, dicom_id
) = 1;
CREATE TEMP TABLE splits AS SELECT subject_id, string_agg(DISTINCT split, '+' ORDER BY split) AS cxr_split
FROM {split} GROUP BY subject_id
"""
"""Of the last study in the window: a frontal image, if there is one. A subject in two splits would have both words."""


_NO_IMAGES = """
CREATE TEMP TABLE images (row BIGINT, cxr_hours DOUBLE, cxr_view VARCHAR, cxr VARCHAR);
CREATE TEMP TABLE splits (subject_id BIGINT, cxr_split VARCHAR)
"""

_LISTED = """
SELECT {columns} FROM stays LEFT JOIN ecgs USING (row) LEFT JOIN images USING (row) LEFT JOIN splits USING (subject_id)
ORDER BY row
"""


def _chapters(codes: Any) -> str | None:
    if codes is None:
        return None
    return ";".join(sorted({_chapter(code) for code in codes.split(";")}))


def _chapter(code: str) -> str:
    version, _, plain = code.partition(":")
    try:
        return chapter(plain, version)
    except ValueError:
        return code


def _beside(folder: Path, relative: str) -> Path:
    return Path(os.path.normpath(folder / relative))
