"""Mammograms: VinDr-Mammo, CBIS-DDSM and CMMD."""

from pathlib import Path

import numpy as np

from raw_trees import Expected, pseudonym, raw_tree
from raw_trees.radiographs import code, instance, radiograph, shades, sheet, table

VIEWS = {"CC": code("399162004", "cranio-caudal"), "MLO": code("399368009", "medio-lateral oblique")}


@raw_tree("vindr-mammo")
def vindr_mammo(root: Path) -> Expected:
    rows = [
        # study, image, side, view, BI-RADS, density, split
        ("s1", "a" * 32, "L", "CC", "BI-RADS 1", "DENSITY B", "training"),
        ("s1", "b" * 32, "L", "MLO", "BI-RADS 1", "DENSITY B", "training"),
        ("s1", "c" * 32, "R", "CC", "BI-RADS 5", "DENSITY B", "training"),
        ("s2", "d" * 32, "R", "MLO", "BI-RADS 3", "DENSITY D", "test"),
    ]
    table(
        root / "breast-level_annotations.csv",
        ("study_id", "series_id", "image_id", "laterality", "view_position", "height", "width", "breast_birads",
         "breast_density", "split"),
        [(study, "x", image, side, view, 3518, 2800, *rest) for study, image, side, view, *rest in rows],
    )  # fmt: skip
    table(
        root / "finding_annotations.csv",
        ("image_id", "finding_categories", "finding_birads", "xmin"),
        [
            ("c" * 32, "['Mass']", "BI-RADS 5", 10.5),
            ("c" * 32, "['Suspicious Calcification', 'Mass']", "BI-RADS 4", 99.0),
            ("a" * 32, "['No Finding']", "", ""),
        ],
    )
    parts = {}
    for number, (study, image, side, view, *_) in enumerate(rows):
        pixels = radiograph(
            root / "images" / study / f"{image}.dicom", shades(number, most=4095).astype(np.uint16), bits=12,
            inverted=number == 2, ImageLaterality=side, ViewPosition=view, PatientAge="053Y", Manufacturer="SIEMENS",
            VOILUTFunction="LINEAR", WindowCenter=540, WindowWidth=580, ImagerPixelSpacing=[0.085, 0.085],
        )  # fmt: skip
        parts[image] = {"image": pixels}
    return Expected(
        splits={"train": 3, "test": 1},
        subjects=2,
        labels={
            "a" * 32: {"birads": "1", "breast-density": "B"},
            "c" * 32: {"birads": "5", "breast-density": "B"},
            "d" * 32: {"birads": "3", "breast-density": "D"},
        },
        parts=parts,
        meta={
            "b" * 32: {"view": "MLO", "laterality": "L", "codes": None, "age": 53, "pixel_spacing": 0.085},
            "c" * 32: {
                "codes": "['Mass'];['Suspicious Calcification', 'Mass']",
                "finding_birads": "BI-RADS 5;BI-RADS 4",
                "photometric": "MONOCHROME1",
                "study": pseudonym("vindr-mammo", "study", "s1"),
            },
        },
    )


@raw_tree("cbis-ddsm")
def cbis_ddsm(root: Path) -> Expected:
    common = ("left or right breast", "image view", "abnormality id", "abnormality type")
    after = ("assessment", "pathology", "subtlety", "image file path")
    mass = ("patient_id", "breast_density", *common, "mass shape", "mass margins", *after)
    calc = ("patient_id", "breast density", *common, "calc type", "calc distribution", *after)
    path = "Mass-Training_P_00001_LEFT_CC/1.3.6/1.3.7/000000.dcm\n"  # real ones end in a line break too

    def row(
        woman: str, density: int, side: str, view: str, lesion: int, kind: str, shape: str, *said: object
    ) -> tuple[object, ...]:
        return (woman, density, side, view, lesion, kind, shape, "N/A", *said, 3, path)

    tables = {
        "mass_case_description_train_set": (mass, [
            row("P_00001", 3, "LEFT", "CC", 1, "mass", "OVAL", 0, "BENIGN"),
            row("P_00001", 3, "LEFT", "CC", 2, "mass", "IRREGULAR", 4, "MALIGNANT"),
            row("P_00002", 2, "RIGHT", "MLO", 1, "mass", "OVAL", 3, "BENIGN_WITHOUT_CALLBACK"),
        ]),
        "mass_case_description_test_set": (mass, [row("P_00004", 1, "LEFT", "MLO", 1, "mass", "OVAL", 2, "BENIGN")]),
        "calc_case_description_train_set": (calc, [
            row("P_00001", 3, "LEFT", "CC", 3, "calcification", "PLEOMORPHIC", 5, "MALIGNANT"),
            row("P_00003", 0, "RIGHT", "CC", 1, "calcification", "PUNCTATE", 0, "BENIGN"),
        ]),
        "calc_case_description_test_set": (calc, [
            row("P_00002", 2, "RIGHT", "CC", 1, "calcification", "VASCULAR", 2, "BENIGN"),
        ]),
    }  # fmt: skip
    for name, (columns, rows) in tables.items():
        table(root / f"csv/{name}.csv", columns, rows)
    images = {
        "Mass-Training_P_00001_LEFT_CC": "1-1.dcm",
        "Mass-Training_P_00001_LEFT_CC_1": "1-2.dcm",  # a crop: never read
        "Mass-Training_P_00002_RIGHT_MLO": "1-1.dcm",
        "Mass-Test_P_00004_LEFT_MLO": "000000.dcm",
        "Calc-Training_P_00001_LEFT_CC": "1-1.dcm",
        "Calc-Training_P_00003_RIGHT_CC": "1-1.dcm",
        "Calc-Test_P_00002_RIGHT_CC": "1-1.dcm",
    }
    table(
        root / "metadata.csv",
        ("Series UID", "Collection", "Subject ID", "Study UID", "Series Description", "File Location"),
        [("1.3.7", "CBIS-DDSM", name, "1.3.6", "full mammogram images", f"./CBIS-DDSM/{name}/study/series")
         for name in images],
    )  # fmt: skip
    pixels = {
        name: radiograph(
            root / "CBIS-DDSM" / name / "study/series" / file,
            shades(number, most=65535).astype(np.uint16),
            bits=16,
            SOPClassUID="1.2.840.10008.5.1.4.1.1.7",
            ConversionType="WSD",
            Modality="MG",
        )
        for number, (name, file) in enumerate(images.items())
    }

    def key(woman: str, rest: str) -> str:
        return f"{pseudonym('cbis-ddsm', 'subject', woman)}/{rest}"

    first, third = key("P_00001", "L-CC"), key("P_00003", "R-CC")
    moved, there, last = key("P_00002", "R-MLO"), key("P_00002", "R-CC"), key("P_00004", "L-MLO")
    return Expected(
        splits={"train": 2, "test": 3},
        subjects=4,
        labels={
            first: {
                "birads": "5", "breast-malignancy": "malignant", "breast-density": "C",
                "breast-abnormality": ["mass", "calcification"],
            },
            third: {
                "birads": None, "breast-malignancy": "benign", "breast-density": None,
                "breast-abnormality": ["calcification"],
            },
            moved: {"birads": "3", "breast-malignancy": "benign", "breast-density": "B"},
            there: {"birads": "2", "breast-abnormality": ["calcification"]},
        },
        parts={
            first: {"image": pixels["Mass-Training_P_00001_LEFT_CC"]},
            there: {"image": pixels["Calc-Test_P_00002_RIGHT_CC"]},
            last: {"image": pixels["Mass-Test_P_00004_LEFT_MLO"]},
        },
        meta={
            first: {"lesions": 3, "codes": "BENIGN;MALIGNANT", "shape": "OVAL;IRREGULAR", "laterality": "L"},
            moved: {"official_set": "train", "view": "MLO"},
            there: {"official_set": "test", "shape": "VASCULAR"},
        },
    )  # fmt: skip


@raw_tree("cmmd")
def cmmd(root: Path) -> Expected:
    sheet(
        root / "CMMD_clinicaldata_revision.xlsx",
        [
            {"ID1": woman, "LeftRight": side, "Age": age, "number": 2, "abnormality": abnormality,
             "classification": classification, "subtype": subtype}
            for woman, side, age, abnormality, classification, subtype in (
                ("D1-0001", "L", 44, "mass", "Benign", None),
                ("D1-0001", "R", 44, "both", "Malignant", None),
                ("D2-0002", "R", 93, "calcification", "Malignant", "HER2-enriched"),
                ("D2-0750", "L", 51, "mass", "Malignant", "Luminal B"),
            )
        ],
    )  # fmt: skip
    images = [
        ('"CMMD"/"D1-0001"/07-18-2010-NA-NA/1.000000-NA/1-1.dcm', "D1-0001", "L", "CC"),
        ('"CMMD"/"D1-0001"/07-18-2010-NA-NA/1.000000-NA/1-2.dcm', "D1-0001", "R", "CC"),
        ('"CMMD"/"D1-0001"/08-18-2010-NA-NA/1.000000-NA/1-1.dcm', "D1-0001", "R", "MLO"),
        ("CMMD/D2-0002/07-18-2011-NA-NA/1.000000-NA/1-1.dcm", "D2-0002", "R", "CC"),
        ("CMMD/D2-0002/07-18-2011-NA-NA/1.000000-NA/1-2.dcm", "D2-0002", "L", "CC"),  # the healthy side: no row
        ("CMMD/D2-0750/07-18-2011-NA-NA/1.000000-NA/1-1.dcm", "D2-0750", "L", "MLO"),
    ]
    keys, parts = [], {}
    for number, (path, woman, side, view) in enumerate(images):
        uid = instance(path)
        pixels = radiograph(
            root / "The-Chinese-Mammography-Database" / path, shades(number).astype(np.uint8), bits=8,
            PatientID=woman, SOPInstanceUID=uid, ImageLaterality=side, ViewCodeSequence=VIEWS[view], PatientAge="044Y",
        )  # fmt: skip
        names = pseudonym("cmmd", "subject", woman), pseudonym("cmmd", "instance", uid)
        keys.append(f"{names[0]}/{side}-{names[1]}")
        parts[keys[-1]] = {"image": pixels}
    return Expected(
        splits={"train": 3, "test": 3},
        subjects=3,
        labels={
            keys[0]: {"breast-malignancy": "benign", "breast-abnormality": ["mass"], "breast-subtype": None},
            keys[1]: {"breast-malignancy": "malignant", "breast-abnormality": ["mass", "calcification"]},
            keys[2]: {"breast-malignancy": "malignant"},
            keys[3]: {"breast-malignancy": "malignant", "breast-subtype": "HER2-enriched"},
            keys[4]: {"breast-malignancy": None, "breast-abnormality": None, "breast-subtype": None},
            keys[5]: {"breast-subtype": "luminal B"},
        },
        parts=parts,
        meta={
            keys[0]: {"age": 44, "view": "CC", "laterality": "L", "cohort": "D1"},
            keys[2]: {"view": "MLO"},
            keys[4]: {"age": 90, "laterality": "L", "cohort": "D2"},
        },
    )
