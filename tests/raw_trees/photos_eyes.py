"""Fundus: Messidor-2, APTOS 2019, Jichi, DRIVE."""

from pathlib import Path

import numpy as np
import tifffile

from raw_trees import Content, Expected, pseudonym, raw_tree
from raw_trees.photos import dealt, noise, picture, table

GRADES = ("no DR", "mild", "moderate", "severe", "proliferative")
DAVIS = ("no DR", "simple", "simple", "pre-proliferative", "proliferative")


@raw_tree("messidor-2")
def messidor_2(root: Path) -> Expected:
    """Names that differ from the files' in their ending, pairs out of order, one photograph that nobody could grade."""
    pairs = [
        ("20051020_43808_0100_PP.png", "20051020_43832_0100_PP.png"),
        ("IM000013.JPG", "IM000012.JPG"),
        ("20060411_58550_0200_PP.png", "20060411_58560_0200_PP.png"),
        ("IM000057.JPG", "IM000056.JPG"),
    ]
    files = [name for pair in pairs for name in pair]
    grades: list[tuple[object, ...]] = [
        (name.replace(".JPG", ".jpg"), float(n % 5), float(n % 2), 1) for n, name in enumerate(files)
    ]
    grades[4] = (files[4], "", "", 0)
    header = "image_id,adjudicated_dr_grade,adjudicated_dme,adjudicated_gradable"
    table(root / "messidor_data.csv", header, grades)
    table(root / "messidor-2.csv", "left;right ", pairs, delimiter=";")
    key = {name.partition(".")[0]: pseudonym("messidor-2", "image", name.partition(".")[0]) for name in files}
    contents = {key[name.partition(".")[0]]: picture(root / "IMAGES" / name) for name in files}
    labels = {
        key[name.partition(".")[0]]: {
            "diabetic-retinopathy": GRADES[n % 5],
            "diabetic-retinopathy-davis": DAVIS[n % 5],
            "macular-edema": ("no", "yes")[n % 2],
            "gradable": "yes",
        }
        for n, name in enumerate(files)
    }
    unknown = dict.fromkeys(("diabetic-retinopathy", "diabetic-retinopathy-davis", "macular-edema"))
    return Expected(
        splits=dealt("messidor-2", [left for left, _ in pairs for _ in "12"], train=0.8, test=0.2),
        subjects=4,
        labels=labels | {key["20060411_58550_0200_PP"]: {**unknown, "gradable": "no"}},
        parts={key: {"image": content} for key, content in contents.items()},
        meta={
            key["IM000013"]: {"eye": "left", "codes": "2.0"},
            key["IM000012"]: {"eye": "right", "codes": "3.0"},
            key["20051020_43808_0100_PP"]: {"eye": "left"},
            key["20060411_58550_0200_PP"]: {"eye": "left", "codes": None},
        },
    )


@raw_tree("aptos-2019")
def aptos_2019(root: Path) -> Expected:
    """A picture of the competition's test set beside, which is no sample; a file that is cut short."""
    names = ["000c1434d8d7", "001639a390f0", "0024cdab0c1e", "002c21358ce6", "005b95c28852", "0083ee8054ee"]
    table(root / "train.csv", "id_code,diagnosis", [(name, n % 5) for n, name in enumerate(names)])
    files = {name: picture(root / f"train_images/{name}.png") for name in names}
    picture(root / "test_images/0005cfc8afb6.png")
    (root / f"train_images/{names[5]}.png").write_bytes(files.pop(names[5])[:80])
    return Expected(
        splits=dealt("aptos-2019", files, train=0.8, test=0.2),
        subjects=5,
        labels={
            name: {"diabetic-retinopathy": GRADES[n], "diabetic-retinopathy-davis": DAVIS[n]}
            for n, name in enumerate(names[:5])
        },
        parts={key: {"image": content} for key, content in files.items()},
        meta={names[1]: {"codes": "1", "height": 9, "width": 12}},
        skipped={"unreadable file": 1},
    )


@raw_tree("jichi")
def jichi(root: Path) -> Expected:
    """A patient with three pictures; two gradings that differ."""
    header = "Image,Davis_grading_of_concatenated_figures,Davis_grading_of_one_figure"
    rows = [
        ("1_1_R.jpg", "sdr", "ndr"),
        ("1_2_L.jpg", "sdr", "sdr"),
        ("1_7_L.jpg", "sdr", "sdr"),
        ("2_1_R.jpg", "ppdr", "ppdr"),
        ("3_1_L.jpg", "pdr", "pdr"),
        ("4_1_L.jpg", "ndr", "ndr"),
        ("2740_2_L.jpg", "ndr", "ndr"),
    ]
    table(root / "dmr/list.csv", header, rows)
    files = {row[0][:-4]: picture(root / "dmr" / row[0], noise(10, 10, 3)) for row in rows}
    return Expected(
        splits=dealt("jichi", [row[0].partition("_")[0] for row in rows], train=0.8, test=0.2),
        subjects=5,
        labels={
            "1_1_R": {"diabetic-retinopathy-davis": "no DR"},
            "1_2_L": {"diabetic-retinopathy-davis": "simple"},
            "2_1_R": {"diabetic-retinopathy-davis": "pre-proliferative"},
            "3_1_L": {"diabetic-retinopathy-davis": "proliferative"},
        },
        parts={key: {"image": content} for key, content in files.items()},
        meta={"1_1_R": {"eye": "right", "codes": "ndr", "codes_together": "sdr"}, "1_2_L": {"eye": "left"}},
    )


@raw_tree("drive")
def drive(root: Path) -> Expected:
    """TIFF and GIF, whose palettes are written in two ways; no vessels in the test set."""
    parts: dict[str, dict[str, Content | None]] = {}
    for folder, number in (("training", "21"), ("training", "22"), ("test", "01")):
        pixels, field = noise(9, 12, 3, seed=int(number)), np.where(noise(9, 12) > 9, 255, 0).astype(np.uint8)
        path = root / folder / "images" / f"{number}_{folder}.tif"
        path.parent.mkdir(parents=True, exist_ok=True)
        tifffile.imwrite(path, pixels, compression="lzw" if number == "22" else None)
        picture(root / folder / "mask" / f"{number}_{folder}_mask.gif", field, optimize=number == "22")
        parts[f"{folder}/{number}"] = {"image": pixels, "field": field, "vessels": None}
        if folder == "training":
            vessels = np.where(noise(9, 12, seed=3) > 200, 255, 0).astype(np.uint8)
            picture(root / folder / "1st_manual" / f"{number}_manual1.gif", vessels)
            parts[f"{folder}/{number}"]["vessels"] = vessels
    return Expected(splits={"train": 2, "test": 1}, subjects=3, parts=parts)
