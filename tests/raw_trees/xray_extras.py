"""Chest radiographs that CLIMB can read beyond its 45 datasets: BrixIA and NIH ChestX-ray8."""

from pathlib import Path

import numpy as np

from raw_trees import Expected, pseudonym, raw_tree
from raw_trees.radiographs import picture, radiograph, shades, table
from raw_trees.xray import FINDINGS, said


@raw_tree("brixia")
def brixia(root: Path) -> Expected:
    rows = [
        # file, subject, zones (as a number), their sum, sex, age, in the consensus set
        ("5431.dcm", "77", 101001, 3, "M", 65, 0),
        ("5432.dcm", "77", 0, 0, "M", 65, 0),
        ("5433.dcm", "78", 333331, 16, "F", 95, 1),
        ("5434.dcm", "78", 222220, 10, "F", 95, 0),  # of a patient in the consensus set: not for training
    ]
    table(
        root / "metadata_global_v2.csv",
        ("Filename", "Subject", "BrixiaScore", "BrixiaScoreGlobal", "Sex", "AgeAtStudyDateFiveYear", "Modality",
         "Manufacturer", "PhotometricInterpretation", "StudyDate", "ConsensusTestset"),
        [(*row[:6], "CR", "Agfa", "MONOCHROME1", 20200304, row[6]) for row in rows],
        delimiter=";",
    )  # fmt: skip
    pixels = {
        row[0]: radiograph(
            root / "dicom_clean" / row[0], shades(number, most=4095).astype(np.uint16), bits=12, inverted=number < 2
        )
        for number, row in enumerate(rows)
    }
    return Expected(
        splits={"train": 2, "test": 2},
        subjects=2,
        labels={
            "5431": {"brixia-score": 3.0, "covid-severity": "1"},
            "5432": {"brixia-score": 0.0, "covid-severity": "0"},
            "5433": {"brixia-score": 16.0, "covid-severity": "3"},
            "5434": {"brixia-score": 10.0, "covid-severity": "2"},
        },
        parts={name.removesuffix(".dcm"): {"image": values} for name, values in pixels.items()},
        meta={
            "5431": {"codes": "101001", "consensus": False, "photometric": "MONOCHROME1", "age": 65},
            "5432": {"codes": "000000"},
            "5433": {"consensus": True, "age": 90},
        },
    )


@raw_tree("nih-chestxray8")
def nih_chestxray8(root: Path) -> Expected:
    rows = [
        ("00000001_000.png", "Cardiomegaly|Emphysema", 0, 1, "058Y", "M", "PA"),
        ("00000001_001.png", "Infiltration|Mass|Pleural_Thickening", 1, 1, "58", "M", "AP"),
        ("00000002_000.png", "No Finding", 0, 2, "411", "F", "PA"),
        ("00000003_007.png", "Hernia", 7, 3, "94", "F", "PA"),
    ]
    table(
        root / "Data_Entry_2017.csv",
        ("Image Index", "Finding Labels", "Follow-up #", "Patient ID", "Patient Age", "Patient Gender",
         "View Position", "OriginalImage[Width", "Height]", "OriginalImagePixelSpacing[x", "y]", ""),
        [(*row, 2682, 2749, 0.143, 0.143, "") for row in rows],
    )  # fmt: skip
    (root / "train_val_list.txt").write_text("".join(f"{row[0]}\n" for row in rows[:2]))
    (root / "test_list.txt").write_text("\n".join(row[0] for row in rows[2:]))
    folders = ("images", "images_002/images", "images_012/images", "images")
    keys = [f"{pseudonym('nih-chestxray8', 'subject', str(row[3]))}/{row[0][9:12]}" for row in rows]
    content = [
        picture(root / folder / row[0], number, "RGBA" if number == 1 else "L")
        for number, (folder, row) in enumerate(zip(folders, rows, strict=True))
    ]
    judged = [name for name in FINDINGS if name not in ("Enlarged Cardiomediastinum", "Fracture", "Support Devices")]
    return Expected(
        splits={"train": 2, "test": 2},
        subjects=3,
        labels={
            keys[0]: {
                "nih-findings": ["Cardiomegaly", "Emphysema"],
                "chest-findings": said(["Cardiomegaly"], judged),
            },
            keys[1]: {
                "nih-findings": ["Infiltration", "Mass", "Pleural_Thickening"],
                "chest-findings": said(["Lung Opacity", "Lung Lesion", "Pleural Other"], judged),
            },
            keys[2]: {"nih-findings": ["No Finding"], "chest-findings": said(["No Finding"], judged)},
            keys[3]: {"nih-findings": ["Hernia"], "chest-findings": said([], judged)},
        },
        parts={key: {"image": image} for key, image in zip(keys, content, strict=True)},
        meta={
            keys[0]: {"age": 58, "sex": "M", "follow_up": 0, "mode": "L"},
            keys[1]: {"age": 58, "view": "AP", "mode": "RGBA"},
            keys[2]: {"age": None},
            keys[3]: {"age": 90},
        },
    )
