"""Skin: ISIC 2020 and 2019, HAM10000, PAD-UFES-20, DDI."""

from pathlib import Path

import numpy as np

from raw_trees import Expected, pseudonym, raw_tree
from raw_trees.photos import dealt, noise, picture, table

ONE_HOT = ("MEL", "NV", "BCC", "AK", "BKL", "DF", "VASC", "SCC", "UNK")


@raw_tree("isic-2020")
def isic_2020(root: Path) -> Expected:
    """Two folders of pictures; a patient with three; a picture that is not there; sex, age or place not told."""
    header = "image_name,patient_id,sex,age_approx,anatom_site_general_challenge,diagnosis,benign_malignant,target"
    rows = [
        ("ISIC_2637011", "IP_7279968", "male", "45.0", "head/neck", "unknown", "benign", 0),
        ("ISIC_0015719", "IP_3075186", "female", "45.0", "upper extremity", "unknown", "benign", 0),
        ("ISIC_0052212", "IP_2842074", "female", "50.0", "lower extremity", "nevus", "benign", 0),
        ("ISIC_0149568", "IP_0962375", "female", "90.0", "", "melanoma", "malignant", 1),
        ("ISIC_0149569", "IP_0962375", "female", "90.0", "torso", "seborrheic keratosis", "benign", 0),
        ("ISIC_0149570", "IP_0962375", "female", "90.0", "torso", "atypical melanocytic proliferation", "benign", 0),
        ("ISIC_0074268", "IP_8723313", "", "", "NA", "lentigo NOS", "benign", 0),
        ("ISIC_0099999", "IP_8723314", "male", "20.0", "torso", "nevus", "benign", 0),
    ]
    table(root / "ISIC_2020_Training_GroundTruth.csv", header, rows)
    folders = ["train", "ISIC_2020_Training_JPEG/train"]
    files = {row[0]: picture(root / folders[n % 2] / f"{row[0]}.jpg") for n, row in enumerate(rows[:-1])}
    return Expected(
        splits=dealt("isic", [str(row[1]) for row in rows[:-1]], train=0.8, test=0.2),
        subjects=5,
        labels={
            "ISIC_2637011": {"skin-malignancy": "benign", "skin-lesion": None},
            "ISIC_0052212": {"skin-malignancy": "benign", "skin-lesion": "NV"},
            "ISIC_0149568": {"skin-malignancy": "malignant", "skin-lesion": "MEL"},
            "ISIC_0149569": {"skin-malignancy": "benign", "skin-lesion": "OTHER"},
            "ISIC_0149570": {"skin-malignancy": "benign", "skin-lesion": None},
        },
        parts={key: {"image": content} for key, content in files.items()},
        meta={
            "ISIC_0149568": {"age": 90, "sex": "female", "site": None, "codes": "melanoma", "height": 9, "width": 12},
            "ISIC_0074268": {"age": None, "sex": None, "site": None, "codes": "lentigo NOS"},
        },
        skipped={"missing file": 1},
    )


@raw_tree("ham10000")
def ham10000(root: Path) -> Expected:
    """The table as Dataverse names it, pictures in all three folders, two of one lesion."""
    header = "lesion_id,image_id,dx,dx_type,age,sex,localization,dataset"
    rows = [
        ("HAM_0000118", "ISIC_0027419", "bkl", "histo", "80.0", "male", "scalp", "vidir_modern"),
        ("HAM_0000118", "ISIC_0025030", "bkl", "histo", "80.0", "male", "scalp", "vidir_modern"),
        ("HAM_0002730", "ISIC_0026769", "akiec", "histo", "", "unknown", "unknown", "rosendahl"),
        ("HAM_0000871", "ISIC_0027828", "mel", "histo", "60.0", "female", "back", "rosendahl"),
        ("HAM_0000872", "ISIC_0027829", "nv", "follow_up", "35.0", "female", "foot", "vidir_molemax"),
        ("HAM_0000873", "ISIC_0027830", "vasc", "consensus", "35.0", "male", "hand", "vidir_molemax"),
        ("HAM_0000874", "ISIC_0027831", "bcc", "histo", "85.0", "male", "face", "vidir_molemax"),
        ("HAM_0000875", "ISIC_0027832", "df", "confocal", "40.0", "male", "chest", "vidir_molemax"),
    ]
    table(root / "HAM10000_metadata", header, rows)
    folders = ("ISIC2018_Task3_Training_Input", "HAM10000_images_part_1", "HAM10000_images_part_2")
    files = {row[1]: picture(root / folders[n % 3] / f"{row[1]}.jpg") for n, row in enumerate(rows)}
    classes = ["OTHER", "OTHER", "AKIEC", "MEL", "NV", "OTHER", "BCC", "OTHER"]
    return Expected(
        splits=dealt("isic-lesion", [row[0] for row in rows], train=0.8, test=0.2),
        subjects=7,
        labels={row[1]: {"skin-lesion": name} for row, name in zip(rows, classes, strict=True)},
        parts={key: {"image": content} for key, content in files.items()},
        meta={
            "ISIC_0025030": {"age": 80, "sex": "male", "site": "scalp", "codes": "bkl", "confirmed_by": "histo"},
            "ISIC_0026769": {"age": None, "sex": None, "site": None, "codes": "akiec"},
        },
    )


@raw_tree("isic-2019")
def isic_2019(root: Path) -> Expected:
    """All eight classes; one lesion of HAM10000 twice; a lesion that is not told."""
    lesions = [
        "HAM_0000118",
        "HAM_0000118",
        "BCN_0000001",
        "",
        "MSK4_0011169",
        "BCN_0000002",
        "BCN_3",
        "BCN_4",
        "BCN_5",
    ]
    found = ["BKL", "BKL", "SCC", "NV", "MEL", "AK", "BCC", "DF", "VASC"]
    names = [f"ISIC_{number:07d}" for number in range(9)]
    rows = [[name, *(str(float(code == one)) for one in ONE_HOT)] for name, code in zip(names, found, strict=True)]
    table(root / "ISIC_2019_Training_GroundTruth.csv", ",".join(["image", *ONE_HOT]), rows)
    header = "image,age_approx,anatom_site_general,lesion_id,sex"
    told = [(name, "55.0", "anterior torso", lesion, "female") for name, lesion in zip(names, lesions, strict=True)]
    told[3] = (names[3], "", "", "", "")
    table(root / "ISIC_2019_Training_Metadata.csv", header, told)
    folders = ("ISIC_2019_Training_Input", "ISIC_2019_Training_Input/ISIC_2019_Training_Input")
    files = {name: picture(root / folders[n % 2] / f"{name}.jpg") for n, name in enumerate(names)}
    classes = ["OTHER", "OTHER", "AKIEC", "NV", "MEL", "AKIEC", "BCC", "OTHER", "OTHER"]
    subjects = [lesion or name for lesion, name in zip(lesions, names, strict=True)]
    return Expected(
        splits=dealt("isic-lesion", subjects, train=0.8, test=0.2),
        subjects=8,
        labels={name: {"skin-lesion": label} for name, label in zip(names, classes, strict=True)},
        parts={key: {"image": content} for key, content in files.items()},
        meta={
            names[2]: {"age": 55, "sex": "female", "site": "anterior torso", "codes": "SCC"},
            names[3]: {"age": None, "sex": None, "site": None, "codes": "NV"},
        },
    )


PAD = (
    "patient_id,lesion_id,smoke,drink,background_father,background_mother,age,pesticide,gender,skin_cancer_history,"
    "cancer_history,has_piped_water,has_sewage_system,fitspatrick,region,diameter_1,diameter_2,diagnostic,itch,grew,hurt,"
    "changed,bleed,elevation,img_id,biopsed"
)
PAD_ASKED = ["False", "True", "POMERANIA", "UNK", "94", "False", "FEMALE", *["True"] * 4, "3.0", "NECK", "6.0", "5.0"]
PAD_ROWS = [
    ["PAT_46", "881", *PAD_ASKED, "BCC", "True", "UNK", "False", "UNK", "True", "True", "PAT_46_881_939.png", "True"],
    ["PAT_46", "882", *PAD_ASKED, "SCC", "TRUE", "FALSE", "False", "True", "UNK", "UNK", "PAT_46_882_14.png", "True"],
    ["PAT_8", "15", *[""] * 4, "8", *[""] * 7, "ARM", "", "", "NEV", *["False"] * 6, "PAT_8_15_820.png", "False"],
    ["PAT_9", "16", *[""] * 4, "61", *[""] * 7, "LIP", "", "", "ACK", *["False"] * 6, "PAT_9_16_1.png", "FALSE"],
    ["PAT_10", "17", *PAD_ASKED, "MEL", *["UNK"] * 6, "PAT_10_17_2.png", "True"],
    ["PAT_11", "15", *[""] * 4, "70", *[""] * 7, "BACK", "", "", "SEK", *["True"] * 6, "PAT_11_15_3.png", "False"],
]


@raw_tree("pad-ufes-20")
def pad_ufes_20(root: Path) -> Expected:
    """RGB and RGBA; gaps, UNK, both spellings of truth; a patient with two lesions; an age of 94."""
    table(root / "metadata.csv", PAD, PAD_ROWS)
    folders = ["images", "images/imgs_part_1", "images/imgs_part_2", "images/imgs_part_3"]
    files = {}
    for number, row in enumerate(PAD_ROWS):
        pixels = noise(9, 12, 3 + number % 2, seed=number)
        files[_pad(row[-2][:-4])] = picture(root / folders[number % 4] / row[-2], pixels)
    nan = float("nan")
    first = [90, 0, 3, 6, 5, 0, 1, 0, 1, 1, 1, 1, 1, nan, 0, nan, 1, 1]
    blank = [8, *[nan] * 11, 0, 0, 0, 0, 0, 0]
    return Expected(
        splits=dealt("pad-ufes-20", [row[0] for row in PAD_ROWS], train=0.8, test=0.2),
        subjects=5,
        labels={
            _pad("PAT_46_881_939"): {"skin-lesion": "BCC"},
            _pad("PAT_46_882_14"): {"skin-lesion": "AKIEC"},
            _pad("PAT_8_15_820"): {"skin-lesion": "NV"},
            _pad("PAT_9_16_1"): {"skin-lesion": "AKIEC"},
            _pad("PAT_10_17_2"): {"skin-lesion": "MEL"},
            _pad("PAT_11_15_3"): {"skin-lesion": "OTHER"},
        },
        parts={key: {"image": content} for key, content in files.items()}
        | {
            _pad("PAT_46_881_939"): {"image": files[_pad("PAT_46_881_939")], "clinical": np.array(first, "<f4")},
            _pad("PAT_8_15_820"): {"image": files[_pad("PAT_8_15_820")], "clinical": np.array(blank, "<f4")},
        },
        meta={
            _pad("PAT_46_881_939"): {"age": 90, "sex": "FEMALE", "site": "NECK", "skin_type": 3, "codes": "BCC",
                               "biopsied": True, "mode": "RGB", "father_from": "POMERANIA", "mother_from": None},
            _pad("PAT_46_882_14"): {"mode": "RGBA"},
            _pad("PAT_9_16_1"): {"age": 61, "sex": None, "skin_type": None, "codes": "ACK", "biopsied": False},
        },
    )  # fmt: skip


def _pad(stem: str) -> str:
    """PAT_<patient>_<lesion>_<image>."""
    _, patient, lesion, image = stem.split("_")
    return f"{pseudonym('pad-ufes-20', 'subject', f'PAT_{patient}')}/{lesion}_{image}"


@raw_tree("ddi")
def ddi(root: Path) -> Expected:
    """A table with an unnamed first column, as pandas writes its index."""
    diseases = ["melanoma", "nevus", "acral-melanotic-macule", "basal-cell-carcinoma", "verruca-vulgaris", "keloid"]
    rows = [
        (n, n + 1, f"{n + 1:06d}.png", (56, 12, 34)[n % 3], name in ("melanoma", "basal-cell-carcinoma"), name)
        for n, name in enumerate(diseases)
    ]
    base = root / "ddidiversedermatologyimages"
    table(base / "ddi_metadata.csv", ",DDI_ID,DDI_file,skin_tone,malignant,disease", rows)
    files = {f"{n + 1:06d}": picture(base / f"{n + 1:06d}.png") for n in range(6)}
    return Expected(
        splits=dealt("ddi", files, train=0.8, test=0.2),
        subjects=6,
        labels={
            "000001": {"skin-malignancy": "malignant"},
            "000002": {"skin-malignancy": "benign"},
            "000004": {"skin-malignancy": "malignant"},
        },
        parts={key: {"image": content} for key, content in files.items()},
        meta={"000003": {"skin_tone": "34", "codes": "acral-melanotic-macule"}},
    )
