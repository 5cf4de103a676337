"""Chest radiographs: MIMIC-CXR, CheXpert, VinDr-CXR, COVID-19 CXR and CoronaHack."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from raw_trees import Expected, pseudonym, raw_tree
from raw_trees.radiographs import picture, radiograph, shades, table

FINDINGS = (
    "No Finding", "Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Opacity", "Lung Lesion", "Edema",
    "Consolidation", "Pneumonia", "Atelectasis", "Pneumothorax", "Pleural Effusion", "Pleural Other", "Fracture",
    "Support Devices",
)  # fmt: skip
VINDR = (
    "Aortic enlargement", "Atelectasis", "Calcification", "Cardiomegaly", "Clavicle fracture", "Consolidation",
    "Edema", "Emphysema", "Enlarged PA", "ILD", "Infiltration", "Lung Opacity", "Lung cavity", "Lung cyst",
    "Mediastinal shift", "Nodule/Mass", "Pleural effusion", "Pleural thickening", "Pneumothorax",
    "Pulmonary fibrosis", "Rib fracture", "Other lesion", "COPD", "Lung tumor", "Pneumonia", "Tuberculosis",
    "Other diseases", "No finding",
)  # fmt: skip


def said(positive: Iterable[str], negative: Iterable[str]) -> dict[str, list[str]]:
    """The label of a report that says so much and no more."""
    known = {*positive, *negative}
    return {
        "positive": [name for name in FINDINGS if name in positive],
        "unknown": [name for name in FINDINGS if name not in known],
    }


def cells(words: Mapping[str, str]) -> list[str]:
    """CheXpert's 14 columns: the words given, the rest blank."""
    return [words.get(name, "") for name in FINDINGS]


@raw_tree("mimic-cxr")
def mimic_cxr(root: Path) -> Expected:
    images = [
        # image, study, subject, split: the first subject has two studies, the first study two images
        ("02aa804e-bde0afdd", "50414267", "10000032", "train"),
        ("174413ec-4ec4c1f7", "50414267", "10000032", "train"),
        ("2a2277a9-b0ded155", "53189527", "10000032", "train"),
        ("68b5c4b1-227d0485", "50000014", "11000764", "validate"),
        ("0a0c0f8e-aaaaaaaa", "59999999", "19999442", "test"),
    ]
    table(root / "mimic-cxr-2.0.0-split.csv.gz", ("dicom_id", "study_id", "subject_id", "split"), images)
    alphabetical = sorted(FINDINGS)
    labels: dict[tuple[str, str], dict[str, str]] = {
        ("10000032", "50414267"): {"Edema": "1.0", "Pneumonia": "-1.0", "Pneumothorax": "0.0"},
        ("10000032", "53189527"): {"No Finding": "1.0"},
        ("19999442", "59999999"): {},  # a report that mentions nothing; 50000014 has no report
    }
    table(
        root / "mimic-cxr-2.0.0-chexpert.csv.gz",
        ("subject_id", "study_id", *alphabetical),
        [(*ids, *(words.get(name, "") for name in alphabetical)) for ids, words in labels.items()],
    )
    table(
        root / "mimic-cxr-2.0.0-metadata.csv.gz",
        ("dicom_id", "subject_id", "study_id", "PerformedProcedureStepDescription", "ViewPosition", "Rows", "Columns",
         "StudyDate", "StudyTime"),
        [(image, subject, study, "CHEST (PA AND LAT)", "PA" if number else "", 3056, 2544, 21800506, 213014.531)
         for number, (image, study, subject, _) in enumerate(images)],
    )  # fmt: skip
    parts = {}
    for number, (image, study, subject, _) in enumerate(images):
        folder = root / f"files/p{subject[:2]}/p{subject}/s{study}"
        parts[image] = {"image": picture(folder / f"{image}.jpg", number)}
    report = " FINAL REPORT\n EXAMINATION:  CHEST (PA AND LAT)\n\n No acute process. ±\n"
    (root / "files/p10/p10000032/s50414267.txt").write_text(report, "utf-8", newline="")
    first, second = images[0][0], images[1][0]
    uncertain = said(["Pneumonia"], ["Edema", "Pneumothorax"])
    findings = {"chest-findings": said(["Edema"], ["Pneumothorax"]), "chest-findings-uncertain": uncertain}
    return Expected(
        splits={"train": 3, "valid": 1, "test": 1},
        subjects=3,
        labels={
            first: findings,
            second: findings,
            images[2][0]: {"chest-findings": said(["No Finding"], [])},
            images[3][0]: {"chest-findings": None, "chest-findings-uncertain": None},
            images[4][0]: {"chest-findings": None},
        },
        parts={**parts, first: {**parts[first], "report": report}, images[3][0]: {"report": None}},
        meta={
            first: {"view": None, "rows": 3056, "study": pseudonym("mimic", "study", "50414267")},
            second: {"view": "PA", "procedure": "CHEST (PA AND LAT)"},
        },
    )


@raw_tree("chexpert")
def chexpert(root: Path) -> Expected:
    release = "CheXpert-v1.0-small"
    header = ("Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", *FINDINGS)
    every = dict.fromkeys(FINDINGS, "0.0")
    train = [
        ("patient00001/study1/view1_frontal", "Female", 68, "Frontal", "AP",
         {"No Finding": "1.0", "Support Devices": "1.0", "Pneumonia": "0.0"}),
        ("patient00002/study2/view1_frontal", "Male", 94, "Frontal", "PA", {"Edema": "-1.0", "Fracture": "1.0"}),
        ("patient00002/study2/view2_lateral", "Unknown", 94, "Lateral", "", {"Edema": "-1.0", "Fracture": "1.0"}),
    ]  # fmt: skip
    valid = [
        ("patient64541/study1/view1_frontal", "Male", 0, "Frontal", "AP", {**every, "Cardiomegaly": "1.0"}),
    ]
    keys, parts = {}, {}
    for name, rows in (("train", train), ("valid", valid)):
        table(
            root / release / f"{name}.csv",
            header,
            [(f"{release}/{name}/{view}.jpg", *rest, *cells(words)) for view, *rest, words in rows],
        )
        for number, (view, *_) in enumerate(rows):
            patient, _, inner = view.partition("/")
            keys[view] = f"{name}/{pseudonym('chexpert', 'subject', patient)}/{inner}"
            parts[keys[view]] = {"image": picture(root / release / name / f"{view}.jpg", number)}
    first, second, third, last = keys.values()
    return Expected(
        splits={"train": 3, "test": 1},
        subjects=3,
        labels={
            first: {"chest-findings": said(["No Finding", "Support Devices"], ["Pneumonia"])},
            second: {
                "chest-findings": said(["Fracture"], []),
                "chest-findings-uncertain": said(["Edema"], ["Fracture"]),
            },
            last: {"chest-findings": ["Cardiomegaly"]},
        },
        parts=parts,
        meta={
            first: {"age": 68, "sex": "F", "view": "AP", "direction": "frontal"},
            third: {"age": 90, "sex": None, "view": None, "direction": "lateral"},
            last: {"age": 0, "study": pseudonym("chexpert", "study", "patient64541/study1")},
        },
    )


@raw_tree("vindr-cxr")
def vindr_cxr(root: Path) -> Expected:
    def row(*found: str) -> list[int]:
        return [int(name in found) for name in VINDR]

    first, second, third = (f"{letter * 32}" for letter in "0af")
    table(
        root / "annotations/image_labels_train.csv",
        ("image_id", "rad_id", *VINDR),
        [
            (first, "R9", *row("Cardiomegaly", "Lung cyst", "Other diseases")),
            (second, "R8", *row("No finding")),
            (first, "R10", *row("Cardiomegaly", "Rib fracture", "Other diseases")),
            (second, "R10", *row("Tuberculosis")),
            (first, "R17", *row("Lung cyst", "Nodule/Mass", "Calcification")),
            (second, "R9", *row("No finding")),
        ],
    )
    table(
        root / "annotations/image_labels_test.csv",
        ("image_id", *("Other disease" if name == "Other diseases" else name for name in VINDR)),
        [(third, *row("Mediastinal shift", "Infiltration", "Other diseases", "Pneumonia"))],
    )
    pixels = shades(1, most=4095).astype(np.uint16)
    ages: dict[str, Any] = {
        "PatientAge": "058Y",
        "PatientSex": "F",
        "WindowCenter": [2048, 1000],
        "WindowWidth": [4096, 500],
    }
    parts = {
        first: {"image": radiograph(root / f"train/{first}.dicom", pixels, bits=12, inverted=True, **ages)},
        second: {"image": radiograph(root / f"train/{second}.dicom", pixels // 2, bits=14, rle=True)},
        third: {"image": radiograph(root / f"test/{third}.dicom", shades(3).astype(np.uint8), bits=8)},
    }

    def findings(*positive: str) -> dict[str, list[str]]:
        return said(positive, FINDINGS[:-1])

    return Expected(
        splits={"train": 2, "test": 1},
        subjects=3,
        labels={
            first: {
                "chest-findings": findings("Cardiomegaly", "Lung Lesion"),
                "chest-diagnosis": ["Other diseases"],
                "vindr-findings": ["Cardiomegaly", "Lung cyst"],
            },
            second: {"chest-findings": findings("No Finding"), "chest-diagnosis": ["No finding"], "vindr-findings": []},
            third: {
                "chest-findings": findings("Enlarged Cardiomediastinum", "Lung Opacity", "Pneumonia"),
                "chest-diagnosis": ["Pneumonia", "Other diseases"],
            },
        },
        parts=parts,
        meta={
            first: {"age": 58, "sex": "F", "photometric": "MONOCHROME1", "bits": 12, "window_center": 2048.0},
            second: {"age": None, "sex": None, "photometric": "MONOCHROME2", "bits": 14},
        },
    )


@raw_tree("covid19-cxr")
def covid19_cxr(root: Path) -> Expected:
    files = [
        ("TrainData/Normal/IM-0115-0001.jpeg", "L"),
        ("TrainData/BacterialPneumonia/person1_bacteria_1.JPEG", "RGB"),
        ("TrainData/ViralPneumonia/person3_virus_15.jpg", "L"),
        ("TrainData/COVID-19/more/1-s2.0-S0929664620300449-gr2_lrg-a.png", "P"),
        ("TrainData/COVID-19/größe 1.png", "RGBA"),
        ("ValData/Normal/NORMAL2-IM-0001-0001.jpeg", "L"),
        ("ValData/BacterialPneumonia/person78_bacteria_378.jpeg", "L"),
        ("ValData/ViralPneumonia/person1_virus_6.jpeg", "CMYK"),
        ("ValData/COVID-19/copy.jpg", "L"),
    ]
    content = {name: picture(root / name, number, mode) for number, (name, mode) in enumerate(files)}
    (root / "ValData/COVID-19/copy.jpg").write_bytes(content["TrainData/ViralPneumonia/person3_virus_15.jpg"])
    return Expected(
        splits={"train": 5, "test": 4},
        subjects=8,
        labels={
            "TrainData/Normal/IM-0115-0001%2Ejpeg": {"pneumonia-cause": "normal"},
            "TrainData/COVID-19/gr%C3%B6%C3%9Fe%201%2Epng": {"pneumonia-cause": "COVID-19"},
            "ValData/ViralPneumonia/person1_virus_6%2Ejpeg": {"pneumonia-cause": "viral pneumonia"},
        },
        parts={
            "TrainData/COVID-19/more/1-s2%2E0-S0929664620300449-gr2_lrg-a%2Epng": {"image": content[files[3][0]]},
            "TrainData/COVID-19/gr%C3%B6%C3%9Fe%201%2Epng": {"image": content[files[4][0]]},
            "ValData/ViralPneumonia/person1_virus_6%2Ejpeg": {"image": content[files[7][0]]},
        },
        meta={"TrainData/COVID-19/gr%C3%B6%C3%9Fe%201%2Epng": {"mode": "RGBA", "rows": 6, "columns": 5}},
    )


@raw_tree("coronahack")
def coronahack(root: Path) -> Expected:
    rows = [
        ("IM-0128-0001.jpeg", "Normal", "TRAIN", "", ""),
        ("person12_bacteria_46.jpeg", "Pnemonia", "TRAIN", "", "bacteria"),
        ("person12_bacteria_47.jpeg", "Pnemonia", "TRAIN", "Streptococcus", "bacteria"),
        ("person12_virus_213.jpeg", "Pnemonia", "TRAIN", "", "Virus"),
        ("1-s2.0-S1684118220300682-main.pdf-002-a1.png", "Pnemonia", "TRAIN", "COVID-19", "Virus"),
        ("acute-respiratory-distress-syndrome-ards.jpg", "Pnemonia", "TRAIN", "ARDS", "Stress-Smoking"),
        ("gone.jpg", "Pnemonia", "TRAIN", "SARS", "Virus"),
        ("person78_bacteria_378.jpeg", "Pnemonia", "TEST", "", "bacteria"),
    ]
    table(
        root / "Chest_xray_Corona_Metadata.csv",
        ("", "X_ray_image_name", "Label", "Dataset_type", "Label_2_Virus_category", "Label_1_Virus_category"),
        [(number, *row) for number, row in enumerate(rows)],
    )
    folder = root / "Coronahack-Chest-XRay-Dataset/Coronahack-Chest-XRay-Dataset"
    content = {
        name: picture(folder / place.lower() / name, number)
        for number, (name, _, place, *_) in enumerate(rows)
        if name != "gone.jpg"
    }

    def label(kind: str | None, cause: str | None) -> dict[str, Any]:
        return {"pneumonia-type": kind, "pneumonia-cause": cause}

    covid = "train/1-s2%2E0-S1684118220300682-main%2Epdf-002-a1%2Epng"
    return Expected(
        splits={"train": 6, "test": 1},
        subjects=6,
        labels={
            "train/IM-0128-0001%2Ejpeg": label("normal", "normal"),
            "train/person12_bacteria_47%2Ejpeg": label("bacterial pneumonia", "bacterial pneumonia"),
            "train/person12_virus_213%2Ejpeg": label("viral pneumonia", "viral pneumonia"),
            covid: label("viral pneumonia", "COVID-19"),
            "train/acute-respiratory-distress-syndrome-ards%2Ejpg": label(None, None),
        },
        parts={covid: {"image": content[rows[4][0]]}},
        meta={covid: {"codes": "Pnemonia/Virus/COVID-19"}},
        skipped={"missing file": 1},
    )
