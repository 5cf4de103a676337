"""Raw trees of CT: the datasets of CLIMB."""

import json
from pathlib import Path

import numpy as np

from raw_trees import Expected, pseudonym, raw_tree
from raw_volumes import Array, ct_slice, hounsfield, metaimage, nifti, picture, table


@raw_tree("lndb")
def lndb(root: Path) -> Expected:
    """Four scans of 30 slices: with two readers, with one, judged without a finding, and of the hidden test set."""
    scans = {number: hounsfield(30, 4, 5, seed=number) for number in (1, 2, 3, 9)}
    for number, voxels in scans.items():
        path = root / f"data/LNDb-{number:04}.mhd"
        metaimage(path, voxels, spacing=(0.6, 0.6, 1.0), origin=(-158.2, -309.2, -297.5))
    masks = {(1, 1): np.zeros((30, 4, 5), np.uint8), (1, 2): np.zeros((30, 4, 5), np.uint8)}
    masks[1, 1][1:4, 1, 2] = 1
    for (number, reader), mask in masks.items():
        metaimage(root / f"masks/LNDb-{number:04}_rad{reader}.mhd", mask, spacing=(0.6, 0.6, 1.0))
    table(root / "trainCTs.csv", [{"LNDbID": 1, "RadN": 2}, {"LNDbID": 2, "RadN": 1}, {"LNDbID": 3, "RadN": 1}])
    head = ("LNDbID", "RadID", "FindingID", "x", "y", "z", "Nodule", "Volume", "Text")
    findings = [
        (1, 1, 1, -157, -308.6, -295.5, 1, 65.4, 5),  # 5 mm across around slice 2: in the first slab only
        (1, 2, 1, -157, -308.6, -269.5, 1, 4.2, 5),  # 2 mm around slice 28: in the last slab only
        (1, 2, 2, -157, -308.6, -295.5, 0, 4.2, 0),  # no nodule
        (2, 1, 1, -157, -308.6, -282.5, 1, 113.1, 3),  # 6 mm around slice 15: in both
    ]
    table(root / "trainNodules.csv", [dict(zip(head, row, strict=True)) for row in findings])
    small, large = "nodule <3 mm", "nodule >=3 mm"
    return Expected(
        splits={"train": 6},
        subjects=3,
        labels={
            "LNDb-0001/000": {"nodule-size": [large], "lung-nodule": "has nodule"},
            "LNDb-0001/001": {"nodule-size": [small], "lung-nodule": "no nodule"},
            "LNDb-0002/000": {"nodule-size": [large], "lung-nodule": "has nodule"},
            "LNDb-0002/001": {"nodule-size": [large], "lung-nodule": "has nodule"},
            "LNDb-0003/000": {"nodule-size": [], "lung-nodule": "no nodule"},
        },
        parts={
            "LNDb-0001/000": {"ct": scans[1][:24], "mask_1": masks[1, 1][:24], "mask_2": masks[1, 2][:24]},
            "LNDb-0001/001": {"ct": scans[1][6:], "mask_1": masks[1, 1][6:]},
            "LNDb-0002/001": {"ct": scans[2][6:], "mask_1": None},
        },
        meta={
            "LNDb-0001/001": {"first_slice": 6, "depth": 30, "readers": 2, "orientation": "SPL", "spacing_z": 1.0},
            "LNDb-0003/000": {"findings": None},
        },
    )


@raw_tree("inspect")
def inspect(root: Path) -> Expected:
    """Studies of three patients, one of them twice in the table of splits; one study has no type, one no volume."""
    head = ("impression_id", "pe_positive_nlp", "pe_acute", "pe_subsegmentalonly")
    outcomes = [f"{months}_month_{what}" for what in ("mortality", "readmission") for months in (1, 6, 12)]
    facts = [
        (11, "TRUE", 1, 1, "P1", "train"),
        (12, "FALSE", 0, 0, "P1", "train"),
        (13, "TRUE", 0, 0, "P2", "valid"),
        (14, "TRUE", "", "", "P3", "test"),
        (15, "TRUE", 1, 0, "P3", "test"),
    ]
    ends = dict.fromkeys([*outcomes, "12_month_PH"], "FALSE") | {"6_month_mortality": "TRUE", "12_month_PH": "CENSORED"}
    after = {12: {"12_month_mortality": "TRUE", "12_month_readmission": "TRUE", "12_month_PH": "TRUE"},
             13: {"1_month_readmission": "TRUE", "6_month_readmission": "CENSORED"}}  # fmt: skip
    ended = [dict(zip(head, fact[:4], strict=True)) | ends | after.get(fact[0], {}) for fact in facts]
    table(root / "labels_20250611.tsv", ended, "\t")
    mapped = [{"impression_id": f[0], "image_id": f"PE{f[0]:x}", "person_id": f[4]} for f in facts]
    table(root / "study_mapping_20250611.tsv", mapped, "\t")
    splits = [{"impression_id": f[0], "split": f[5]} for f in (*facts, facts[0])]
    table(root / "splits_20250611.tsv", splits, "\t")
    reports = [{"impression_id": f[0], "impressions": f'Befund "{f[0]}":\nkein Ödem'} for f in facts]
    table(root / "impressions_20250611.tsv", reports, "\t")
    affine = np.array([[-0.7, 0, 0, 90], [0, 0.7, 0, -126], [0, 0, 2.5, -72], [0, 0, 0, 1]])
    volumes = {fact[0]: hounsfield(5, 4, 3, seed=fact[0]) for fact in facts[:4]}
    for number, voxels in volumes.items():
        nifti(root / f"CTPA/PE{number:x}.nii.gz", voxels, affine)
    key = {fact[0]: pseudonym("inspect", "study", str(fact[0])) for fact in facts}
    kind = "pulmonary-embolism-type"
    return Expected(
        splits={"train": 2, "valid": 1, "test": 1},
        subjects=3,
        labels={
            key[11]: {"pulmonary-embolism": "PE", kind: "Acute Subsegmental-only PE", "mortality-6-months": "died"},
            key[12]: {
                "pulmonary-embolism": "No PE",
                kind: "No PE",
                "mortality-1-month": "survived",
                "mortality-12-months": "died",
                "readmission-1-month": "not readmitted",
                "readmission-12-months": "readmitted",
                "pulmonary-hypertension-12-months": "yes",
            },
            key[13]: {
                "pulmonary-embolism": "PE",
                kind: "Chronic PE",
                "mortality-12-months": "survived",
                "readmission-1-month": "readmitted",
                "readmission-6-months": None,
                "readmission-12-months": "not readmitted",
                "pulmonary-hypertension-12-months": None,
            },
            key[14]: {"pulmonary-embolism": "PE", kind: None},
        },
        parts={
            key[11]: {"ct": volumes[11].T, "impression": 'Befund "11":\nkein Ödem'},
            key[14]: {"ct": volumes[14].T},
        },
        meta={key[11]: {"orientation": "SAL", "codes": "1/1/1", "slope": 1.0}},
        skipped={"missing file": 1},
    )


@raw_tree("kits23")
def kits23(root: Path) -> Expected:
    """Four cases: malignant, benign, not known, and one without a segmentation. Slices follow each other along x."""
    facts = [("case_00000", True, 49, "male"), ("case_00001", False, 95, "female"),
             ("case_00400", None, 62, "transgender_male_to_female"), ("case_00588", True, 33, "female")]  # fmt: skip
    cases = [
        {"case_id": case, "malignant": bad, "age_at_nephrectomy": age, "gender": sex, "bmi": 28.25,
         "vital_status": "dead",
         "comorbidities": {"copd": False}, "last_preop_egfr": {"days_before_nephrectomy": 1, "value": None}}
        for case, bad, age, sex in facts
    ]  # fmt: skip
    (root / "dataset").mkdir()
    (root / "dataset/kits23.json").write_text(json.dumps(cases))
    volumes = {fact[0]: hounsfield(6, 4, 5, seed=place).astype(np.float32) for place, fact in enumerate(facts)}
    segmentation = np.arange(120, dtype=np.uint8).reshape(6, 4, 5) % 4
    for case, voxels in volumes.items():
        nifti(root / f"dataset/{case}/imaging.nii.gz", voxels)
        if case != "case_00588":
            nifti(root / f"dataset/{case}/segmentation.nii.gz", segmentation)
    return Expected(
        splits={"train": 2, "test": 2},
        subjects=4,
        labels={
            "case_00000": {"kidney-tumour-malignancy": "Malignant"},
            "case_00001": {"kidney-tumour-malignancy": "Benign"},
            "case_00400": {"kidney-tumour-malignancy": None},
        },
        parts={
            "case_00000": {"ct": volumes["case_00000"].astype("<i2"), "segmentation": segmentation},
            "case_00588": {"ct": volumes["case_00588"].astype("<i2"), "segmentation": None},
        },
        meta={
            "case_00001": {"age": 90, "sex": "F", "bmi": 28.25},
            "case_00400": {"age": 62, "sex": None},
        },
    )


@raw_tree("ct-hemorrhage")
def ct_hemorrhage(root: Path) -> Expected:
    """Slices of three patients; one lacks its bone window, and one bleeds and has a mask."""
    kinds = ("Intraventricular", "Intraparenchymal", "Subarachnoid", "Epidural", "Subdural")
    rows: list[dict[str, object]] = []
    pictures: dict[str, bytes] = {}
    for patient, number, bleeding in [(49, 1, ()), (49, 2, ("Epidural", "Subdural")), (50, 1, ()), (130, 10, ())]:
        found = {kind: int(kind in bleeding) for kind in kinds}
        known = {"No_Hemorrhage": int(not bleeding), "Fracture_Yes_No": int(patient == 50)}
        rows.append({"PatientNumber": patient, "SliceNumber": number, **found, **known})
        for window in ("brain", "bone"):
            path = f"Patients_CT/{patient:03}/{window}/{number}.jpg"
            if path != "Patients_CT/050/bone/1.jpg":
                pictures[path] = picture(root / path, 12, 10, seed=len(pictures))
    mask = picture(root / "Patients_CT/049/brain/2_HGE_Seg.jpg", 12, 10)
    table(root / "hemorrhage_diagnosis.csv", rows)
    who = {number: pseudonym("ct-hemorrhage", "subject", str(number)) for number in (49, 50, 130)}
    return Expected(
        splits={"train": 3, "test": 1},
        subjects=3,
        labels={
            f"{who[49]}/001": {"hemorrhage": "No Hemorrhage", "hemorrhage-type": [], "skull-fracture": "no fracture"},
            f"{who[49]}/002": {"hemorrhage": "Has Hemorrhage", "hemorrhage-type": ["Epidural", "Subdural"]},
            f"{who[50]}/001": {"skull-fracture": "fracture"},
        },
        parts={
            f"{who[49]}/002": {
                "brain": pictures["Patients_CT/049/brain/2.jpg"],
                "bone": pictures["Patients_CT/049/bone/2.jpg"],
                "mask": mask,
            },
            f"{who[50]}/001": {"brain": pictures["Patients_CT/050/brain/1.jpg"], "bone": None, "mask": None},
        },
        meta={f"{who[130]}/010": {"slice": 10}},
    )


_EXAM = ("negative_exam_for_pe", "qa_motion", "qa_contrast", "flow_artifact", "rv_lv_ratio_gte_1", "rv_lv_ratio_lt_1",
         "leftsided_pe", "chronic_pe", "true_filling_defect_not_pe", "rightsided_pe", "acute_and_chronic_pe",
         "central_pe", "indeterminate")  # fmt: skip


def _rspect(root: Path) -> tuple[dict[str, Array], list[dict[str, object]]]:
    """Three studies of three slices: acute, acute and chronic, and negative; the first slice shows nothing."""
    said = {"1.2.1": ("leftsided_pe", "rv_lv_ratio_lt_1"), "1.2.2": ("acute_and_chronic_pe", "central_pe", "qa_motion"),
            "1.2.3": ("negative_exam_for_pe",)}  # fmt: skip
    rows: list[dict[str, object]] = []
    slices: dict[str, Array] = {}
    for study, flags in said.items():
        series = f"{study}.5"
        for place in range(3):
            name = f"{series}.{9 - place}"
            slices[name] = hounsfield(4, 5, seed=len(slices))
            path = root / f"train/{study}/{series}/{name}.dcm"
            ct_slice(path, slices[name], z=2.0 * place, study=study, series=series, instance=name)
            seen = int(place > 0 and study != "1.2.3")
            names = {"StudyInstanceUID": study, "SeriesInstanceUID": series, "SOPInstanceUID": name}
            rows.append({**names, "pe_present_on_image": seen, **{flag: int(flag in flags) for flag in _EXAM}})
    table(root / "train.csv", rows)
    return slices, rows


@raw_tree("rspect")
def rspect(root: Path) -> Expected:
    slices, _ = _rspect(root)
    (root / "train/1.2.3/1.2.3.5/1.2.3.5.9.dcm").unlink()
    key = {name: pseudonym("rspect", "instance", name) for name in slices}
    kind, exam = "pulmonary-embolism-type", "pulmonary-embolism-exam"
    return Expected(
        splits={"train": 8},
        subjects=3,
        labels={
            key["1.2.1.5.9"]: {"pulmonary-embolism": "No PE", kind: "No PE", exam: ["left-sided", "RV/LV ratio < 1"]},
            key["1.2.1.5.8"]: {"pulmonary-embolism": "PE", kind: "Acute PE"},
            key["1.2.2.5.8"]: {"pulmonary-embolism": "PE", kind: None, exam: ["central", "acute and chronic"]},
            key["1.2.3.5.8"]: {exam: ["negative"]},
        },
        parts={key[name]: {"slice": slices[name] - np.int16(1024)} for name in ("1.2.1.5.9", "1.2.2.5.7")},
        meta={
            key["1.2.1.5.8"]: {"position": 2.0, "intercept": -1024.0, "qa_motion": False},
            key["1.2.2.5.7"]: {"position": 4.0, "qa_motion": True, "codes": "1/0/1"},
        },
        skipped={"missing file": 1},
    )
