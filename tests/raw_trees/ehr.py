"""Hospital stays: tables, ECGs and chest X-rays that belong together by time."""

import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mimic_tree import ITEMS, Tree, at, write_ecg, write_image
from raw_trees import Content, Expected, pseudonym, raw_tree
from ropeway_shardgen.recipe import BUILT_IN

ANNA, BERT, CARL, DORA, EMIL, FAYE = range(10_000_001, 10_000_007)
GUST = 10_000_013  # dealt to test by hash; Bert to train
FEATURES: dict[str, Any] = tomllib.loads((BUILT_IN / "mimic-iv.toml").read_text("utf-8"))["source"]["options"]["stays"][
    "features"
]
NAMES = list(FEATURES)
Cells = dict[tuple[int, str], float | np.float32]
CELSIUS = np.float32((98.6 - 32) / 1.8)


@raw_tree("mimic-iv")
def mimic_iv(root: Path) -> Expected:
    """Seven patients: two with a stay that is too short, one with two stays, three whom MIMIC-CXR has.

    Awkward: events at and after the prediction time, results that come late, laboratory values without an admission,
    implausible ones, a death after discharge, a death that the table contradicts, an age above 89, a listed ECG
    without a file, an X-ray of the next stay, no codes at all.
    """
    tree = Tree()
    ecg = _anna(tree)
    _others(tree)
    view = tree.image(CARL, 50000003, "c-front", 20, view="PA", split="validate")
    tree.image(CARL, 50000003, "c-side", 20.5, view="LATERAL", split="validate")
    tree.image(CARL, 50000002, "c-old", 2, view="PA", split="validate")
    tree.image(DORA, 50000004, "d-late", 48, view="AP", split="test")
    first = tree.image(ANNA, 50000001, "a-first", 6)
    tree.image(ANNA, 50000005, "a-next", 1049)
    tree.ecg(DORA, 40000004, 3)
    tree.write(root, ITEMS | {item: f"item {item}" for feature in FEATURES.values() for item in feature["items"]})
    signal = write_ecg(root / "mimic-iv-ecg/1.0" / ecg, 1)
    images = {path: write_image(root / "mimic-cxr-jpg/2.1.0" / path, seed) for seed, path in enumerate((first, view))}
    anna, again, bert, carl, dora, gust = (
        pseudonym("mimic", "stay", str(stay)) for stay in (20000001, 20000002, 20000003, 20000004, 20000005, 20000008)
    )
    parts: dict[str, dict[str, Content | None]] = {
        anna: _anna_parts() | {"ecg": signal, "cxr": images[first]},
        again: {"ehr": _grid({}), "events": np.empty((0, 3)), "ecg": None, "cxr": None},
        bert: {"ehr": _grid({(2, "creatinine"): 2.5})},
        carl: {"cxr": images[view]},
        dora: {"ecg": None, "cxr": None},
    }
    return Expected(
        splits={"train": 3, "valid": 1, "test": 2},
        subjects=5,
        labels={
            anna: {"mortality-48h": "survived", "length-of-stay": 100 / 24,
                   "icd-diagnosis": ["circulatory", "factors"]},
            again: {"mortality-48h": "died", "length-of-stay": 2.5, "icd-diagnosis": ["infections", "special"]},
            bert: {"mortality-48h": "survived", "icd-diagnosis": None},
            dora: {"mortality-48h": None},
        },
        parts=parts,
        meta={
            anna: {"age": 60, "sex": "F", "icd_codes": "10:I50.9;9:V4581", "events": 5, "implausible": 1,
                   "ecg_hours": 5.0, "cxr_hours": 6.0, "view": "AP"},
            carl: {"view": "PA", "cxr_hours": 20.0},
            gust: {"age": 90, "sex": "M"},
        },
    )  # fmt: skip


def _anna(tree: Tree) -> str:
    """Two stays. The second begins 1000 hours after the first and ends in death. Returns the path of her ECG."""
    tree.patient(ANNA)
    tree.admission(ANNA, 20000001, 100)
    tree.admission(ANNA, 20000002, 60, start=1000, died=60)
    tree.codes(ANNA, 20000001, "10:I50.9", "9:V4581")
    tree.codes(ANNA, 20000002, "9:0389", "10:U07.1")
    tree.lab(ANNA, 20000001, 1.2, 1.5)
    tree.lab(ANNA, 20000001, 1.8, 1.25)
    tree.lab(ANNA, 20000001, 47.5, 9.9, stored=48)  # on record too late
    tree.lab(ANNA, 20000001, 48, 8.8)
    tree.lab(ANNA, 20000002, 30, 7.7)  # of another stay, says the table
    tree.lab(ANNA, 20000001, 3, "")  # a result in words
    tree.chart(ANNA, 20000001, 0, 88)
    tree.chart(ANNA, 20000001, 47.99, 3000)  # an error of entry
    tree.chart(ANNA, 20000001, 10, 98.6, item=223761, unit="°F")
    tree.ecg(ANNA, 40000009, 1049)
    tree.ecg(ANNA, 40000002, 2)
    return tree.ecg(ANNA, 40000001, 5)


def _anna_parts() -> dict[str, Content | None]:
    cells: Cells = {(0, "heart_rate"): 88.0, (1, "creatinine"): 1.25, (10, "temperature"): CELSIUS}
    events = [(0, 220045, 88), (4320, 50912, 1.5), (6480, 50912, 1.25), (36000, 223761, 98.6), (172764, 220045, 3000)]
    text = (
        "Sex: F\nAge: 60\nAdmission: EW EMER.\nAdmitted from: EMERGENCY ROOM\n"
        "item 50912 (Blood): 1.25 mg/dL\nitem 220045: 3000 bpm\nitem 223761: 98.6 °F\n"
    )
    grid = _grid(cells)
    return {
        "ehr": grid,
        "observed": (~np.isnan(grid)).astype(np.uint8),
        "events": np.array(events, np.float64),
        "text": text,
    }


def _others(tree: Tree) -> None:
    tree.patient(BERT, sex="M", age=44)
    tree.admission(BERT, 20000003, 72)
    tree.tables["hosp/patients"][-1]["dod"] = at(90)[:10]  # after discharge: not a death in hospital
    tree.lab(BERT, None, 2.1, 2.5)
    tree.lab(BERT, None, -3, 3.5)
    tree.patient(CARL)
    tree.admission(CARL, 20000004, 50)
    tree.patient(DORA)
    tree.admission(DORA, 20000005, 80, died=79)
    tree.tables["hosp/admissions"][-1]["hospital_expire_flag"] = 0
    tree.patient(EMIL)
    tree.admission(EMIL, 20000006, 47.9)
    tree.patient(FAYE)
    tree.admission(FAYE, 20000007, 60, died=48)
    tree.patient(GUST, sex="M", age=91)
    tree.admission(GUST, 20000008, 48)


def _grid(cells: Cells) -> npt.NDArray[np.float32]:
    """Hours and features, empty but for these."""
    grid = np.full((48, len(NAMES)), np.nan, np.float32)
    for (hour, name), value in cells.items():
        grid[hour, NAMES.index(name)] = value
    return grid
