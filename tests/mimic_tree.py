"""A made-up MIMIC-IV: its tables, ECG records and chest X-rays in the layout of PhysioNet, a few rows each."""

import csv
import gzip
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
from PIL import Image

Cell = str | int | float | None
Table = list[dict[str, Cell]]

HEADERS = {
    "hosp/patients": "subject_id gender anchor_age anchor_year anchor_year_group dod",
    "hosp/admissions": "subject_id hadm_id admittime dischtime deathtime admission_type admit_provider_id"
    " admission_location discharge_location insurance language marital_status race edregtime edouttime"
    " hospital_expire_flag",
    "hosp/diagnoses_icd": "subject_id hadm_id seq_num icd_code icd_version",
    "hosp/d_labitems": "itemid label fluid category",
    "hosp/labevents": "labevent_id subject_id hadm_id specimen_id itemid order_provider_id charttime storetime value"
    " valuenum valueuom ref_range_lower ref_range_upper flag priority comments",
    "icu/icustays": "subject_id hadm_id stay_id first_careunit last_careunit intime outtime los",
    "icu/d_items": "itemid label abbreviation linksto category unitname param_type lownormalvalue highnormalvalue",
    "icu/chartevents": "subject_id hadm_id stay_id caregiver_id charttime storetime itemid value valuenum valueuom"
    " warning",
    "record_list": "subject_id study_id file_name ecg_time path",
    "metadata": "dicom_id subject_id study_id PerformedProcedureStepDescription ViewPosition Rows Columns StudyDate"
    " StudyTime ProcedureCodeSequence_CodeMeaning ViewCodeSequence_CodeMeaning"
    " PatientOrientationCodeSequence_CodeMeaning",
    "split": "dicom_id study_id subject_id split",
}
PLACES = {
    "record_list": "mimic-iv-ecg/1.0/record_list.csv",
    "metadata": "mimic-cxr-jpg/2.1.0/mimic-cxr-2.0.0-metadata.csv.gz",
    "split": "mimic-cxr-jpg/2.1.0/mimic-cxr-2.0.0-split.csv.gz",
}
HOSPITAL = "mimiciv/3.1"
EPOCH = datetime(2150, 3, 1, 8)
ITEMS = {50912: "Creatinine", 50931: "Glucose", 220045: "Heart Rate", 223761: "Temperature Fahrenheit"}


def at(hours: float, zero: datetime = EPOCH) -> str:
    """A time as MIMIC writes it."""
    return (zero + timedelta(hours=hours)).strftime("%Y-%m-%d %H:%M:%S")


@dataclass
class Tree:
    """The rows of every table. What is not said of a row is empty."""

    tables: dict[str, Table] = field(default_factory=lambda: {name: [] for name in HEADERS})

    def copy(self) -> "Tree":
        """Another tree with the same rows."""
        return Tree({name: list(rows) for name, rows in self.tables.items()})

    def add(self, table: str, **cells: Cell) -> None:
        """One more row."""
        assert cells.keys() <= set(HEADERS[table].split()), table
        self.tables[table].append(cells)

    def patient(self, subject: int, *, sex: str = "F", age: int = 60) -> None:
        self.add("hosp/patients", subject_id=subject, gender=sex, anchor_age=age, anchor_year=2150,
                 anchor_year_group="2014 - 2016")  # fmt: skip

    def admission(self, subject: int, hadm: int, hours: float, *, start: float = 0, died: float | None = None) -> None:
        self.add("hosp/admissions", subject_id=subject, hadm_id=hadm, admittime=at(start), dischtime=at(start + hours),
                 deathtime=None if died is None else at(start + died), admission_type="EW EMER.",
                 admission_location="EMERGENCY ROOM", discharge_location="HOME", insurance="Medicare", race="WHITE",
                 hospital_expire_flag=int(died is not None))  # fmt: skip

    def icu(self, subject: int, hadm: int, start: float, hours: float) -> None:
        self.add("icu/icustays", subject_id=subject, hadm_id=hadm, stay_id=hadm + 10_000_000, intime=at(start),
                 outtime=at(start + hours), los=hours / 24)  # fmt: skip

    def codes(self, subject: int, hadm: int, *codes: str) -> None:
        for number, code in enumerate(codes, 1):
            version, _, plain = code.partition(":")
            self.add("hosp/diagnoses_icd", subject_id=subject, hadm_id=hadm, seq_num=number, icd_code=plain,
                     icd_version=version)  # fmt: skip

    def lab(self, subject: int, hadm: int | None, hour: float, value: Cell, *, stored: float | None = None,
            item: int = 50912, unit: str = "mg/dL") -> None:  # fmt: skip
        """A laboratory event; `stored` is when it was on record, an hour later unless told."""
        self.add("hosp/labevents", subject_id=subject, hadm_id=hadm, itemid=item, charttime=at(hour), valuenum=value,
                 storetime=at(hour + 1 if stored is None else stored), valueuom=unit,
                 comments='hemolyzed, "slightly"\nsecond line')  # fmt: skip

    def chart(self, subject: int, hadm: int, hour: float, value: Cell, *, stored: float | None = None,
              item: int = 220045, unit: str = "bpm") -> None:  # fmt: skip
        self.add("icu/chartevents", subject_id=subject, hadm_id=hadm, stay_id=hadm + 10_000_000, charttime=at(hour),
                 storetime=at(hour if stored is None else stored), itemid=item, valuenum=value,
                 valueuom=unit, warning=0)  # fmt: skip

    def ecg(self, subject: int, study: int, hour: float) -> str:
        """A record; its path without extension."""
        path = f"files/p{str(subject)[:4]}/p{subject}/s{study}/{study}"
        self.add("record_list", subject_id=subject, study_id=study, file_name=study, ecg_time=at(hour), path=path)
        return path

    def image(self, subject: int, study: int, name: str, hour: float, *, view: str = "AP", split: str = "train") -> str:
        """A chest X-ray; its path."""
        time = EPOCH + timedelta(hours=hour)
        self.add("metadata", dicom_id=name, subject_id=subject, study_id=study, ViewPosition=view,
                 StudyDate=time.strftime("%Y%m%d"), StudyTime=f"{int(time.strftime('%H%M%S'))}.5")  # fmt: skip
        self.add("split", dicom_id=name, study_id=study, subject_id=subject, split=split)
        return f"files/p{str(subject)[:2]}/p{subject}/s{study}/{name}.jpg"

    def write(self, root: Path, items: Mapping[int, str] = ITEMS) -> Path:
        """All tables under a root; the path of the admissions."""
        for item, label in items.items():
            if item < 200_000:
                self.add("hosp/d_labitems", itemid=item, label=label, fluid="Blood", category="Chemistry")
            else:
                self.add("icu/d_items", itemid=item, label=label)
        for name, rows in self.tables.items():
            place = root / PLACES.get(name, f"{HOSPITAL}/{name}.csv.gz")
            write_table(place, HEADERS[name].split(), rows)
        return root / HOSPITAL / "hosp/admissions.csv.gz"


def write_table(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Cell]]) -> None:
    """A table as CSV, gzipped where its name says so."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns)
    writer.writeheader()
    writer.writerows(rows)
    content = text.getvalue().encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(content, mtime=0, compresslevel=1) if path.suffix == ".gz" else content)


def write_ecg(path: Path, seed: int) -> np.ndarray[tuple[int, ...], np.dtype[np.int16]]:
    """A WFDB record of 12 leads × 50 samples at 500 Hz (`path` without extension), in MIMIC-IV-ECG's order of leads.

    Returns its stored integers [lead, time] in the usual order, where aVL comes before aVF.
    """
    leads = ["I", "II", "III", "aVR", "aVF", "aVL", "V1", "V2", "V3", "V4", "V5", "V6"]
    signal = np.random.default_rng(seed).integers(-500, 500, (50, len(leads)), np.int16)
    lines = [f"{path.name} {len(leads)} 500 {len(signal)} 08:00:00 01/03/2150"]
    for lead, column in zip(leads, signal.T, strict=True):
        total = int(column.astype(np.int64).sum()) % 65536
        checksum = total - 65536 if total >= 32768 else total
        lines.append(f"{path.name}.dat 16 200.0(0)/mV 16 0 {column[0]} {checksum} 0 {lead}")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_suffix(".hea").write_text("\n".join(lines) + "\n")
    path.with_suffix(".dat").write_bytes(signal.astype("<i2").tobytes())
    return signal.T[[0, 1, 2, 3, 5, 4, *range(6, 12)]]


def write_image(path: Path, seed: int) -> bytes:
    """A small grey JPEG; its bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (20, 16), np.uint8)
    Image.fromarray(pixels).save(path, quality=90)
    return path.read_bytes()
