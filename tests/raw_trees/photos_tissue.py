"""Histology, brain slices and endoscopy: BCSS, LC25000, the two brain MRI sets, Kvasir-SEG."""

import hashlib
from pathlib import Path

import numpy as np

from raw_trees import Content, Expected, raw_tree
from raw_trees.photos import Pixels, dealt, noise, picture, table
from ropeway.keys import escape_key


@raw_tree("bcss")
def bcss(root: Path) -> Expected:
    """A region that is too wide for one window, others that are too small, and a slide of a held-out site."""
    slides = bcss_masks()
    pictures = {}
    for slide, mask in slides.items():
        name = f"{slide}_xmin45749_ymin25055_MPP-0.2500.png"
        ramp = np.add.outer(np.arange(mask.shape[0]), np.arange(mask.shape[1]))[..., None] * np.array([1, 2, 3])
        pictures[slide] = ramp.astype(np.uint8)
        picture(root / "images" / name, pictures[slide])
        picture(root / "masks" / name, mask)
    boxes = {
        "TCGA-A1-A0SK-DX1/0000-00": (5, 10, 1024, 240),
        "TCGA-A1-A0SK-DX1/0000-01": (281, 10, 1024, 240),
        "TCGA-OL-A66I-DX1/0000-00": (0, 0, 230, 230),
        "TCGA-OL-A66I-DX1/0001-00": (300, 20, 240, 270),
    }
    parts: dict[str, dict[str, Content | None]] = {}
    for key, (x, y, width, height) in boxes.items():
        box = (slice(y, y + height), slice(x, x + width))
        parts[key] = {"patch": pictures[key[:16]][box], "mask": slides[key[:16]][box]}
    return Expected(
        splits={"train": 2, "test": 2},
        subjects=2,
        labels={
            "TCGA-A1-A0SK-DX1/0000-00": {"breast-tissue": "tumor"},
            "TCGA-OL-A66I-DX1/0000-00": {"breast-tissue": "stroma"},
            "TCGA-OL-A66I-DX1/0001-00": {"breast-tissue": "inflammatory"},
        },
        parts=parts,
        meta={
            "TCGA-A1-A0SK-DX1/0000-01": {"site": "A1", "codes": "1", "x": 281, "y": 10, "pixel_size": 0.25,
                                         "coverage": 1 - 20 * 40 / (240 * 1024), "slide_left": 45749},
            "TCGA-OL-A66I-DX1/0000-00": {"site": "OL", "coverage": 1.0},
        },
    )  # fmt: skip


def bcss_masks() -> dict[str, Pixels]:
    """Slide → codes."""
    wide = np.zeros((260, 1310), np.uint8)
    wide[10:250, 5:1305] = 1
    wide[100:120, 600:640] = 7
    wide[255:260, 0:1300] = 2
    both = np.full((300, 560), 21, np.uint8)
    both[0:230, 0:230] = 2
    both[20:290, 300:540] = 3
    both[240:300, 0:290] = 4
    return {"TCGA-A1-A0SK-DX1": wide, "TCGA-OL-A66I-DX1": both}


@raw_tree("lc25000")
def lc25000(root: Path) -> Expected:
    """Copies of one original, some folders where the release has them; an image that no group has."""
    tissues = {
        "colon_aca": ("colonca", "colon adenocarcinoma"),
        "colon_n": ("colonn", "normal colon tissue"),
        "lung_aca": ("lungaca", "lung adenocarcinoma"),
        "lung_n": ("lungn", "normal lung tissue"),
        "lung_scc": ("lungscc", "lung squamous cell carcinoma"),
    }
    base = root / "lung_colon_image_set"
    rows, files, labels = list[tuple[object, ...]](), dict[str, bytes](), {}
    for tissue, (word, label) in tissues.items():
        organ = tissue.partition("_")[0]
        for number in (1, 2, 3):
            name, group = f"{word}{number}", len(rows) // 2
            rows.append((name, f"{name}.jpeg", tissue, organ, group % 2, group))
            files[f"{tissue}/{name}"] = picture(base / f"{organ}_image_sets" / tissue / f"{name}.jpeg")
            labels[f"{tissue}/{name}"] = {"lung-colon-tissue": label}
    picture(base / "lung_image_sets/lung_n/lungn4.jpeg")
    header = "stem,filename,label,tissue,local_cluster_label,group_id"
    table(root / "lc25000_image_groups.csv", header, rows)
    return Expected(
        splits=dealt("lc25000", [str(row[5]) for row in rows], train=0.75, test=0.25),
        subjects=8,
        labels=labels,
        parts={key: {"image": content} for key, content in files.items()},
        meta={"colon_n/colonn1": {"codes": "colon_n"}},
        skipped={"no row": 1},
    )


@raw_tree("brain-tumor")
def brain_tumor(root: Path) -> Expected:
    """Names with brackets and blanks, the same one in several folders, grey and colour."""
    kinds = {"no": "none", "glioma": "glioma", "meningioma": "meningioma", "pituitary": "pituitary"}
    files, labels = {}, {}
    for kind, label in kinds.items():
        for folder in ("Training", "Testing"):
            key = escape_key(f"{folder}/{kind}/image(1)")
            pixels = noise(8, 8) if kind == "no" else noise(8, 8, 3)
            files[key] = picture(root / folder / f"{kind}_tumor" / "image(1).jpg", pixels)
            labels[key] = {"brain-tumor-type": label, "brain-tumor": "no" if kind == "no" else "yes"}
    key = escape_key("Training/glioma/gg (1)")
    files[key] = picture(root / "Training/glioma_tumor/gg (1).jpg")
    return Expected(
        splits={"train": 5, "test": 4},
        subjects=9,
        labels=labels,
        parts={key: {"image": content} for key, content in files.items()},
        meta={escape_key("Training/no/image(1)"): {"mode": "L", "codes": "no"}},
    )


@raw_tree("brain-mri")
def brain_mri(root: Path) -> Expected:
    """Copies under two names, endings in capitals, JPEG and PNG, and the folders once more, unread."""
    contents: dict[str, bytes] = {}
    for name in ("no/1 no.jpeg", "no/N15.JPG", "no/no 96.jpg", "yes/Y1.jpg", "yes/Y167.png", "yes/Y2.JPG"):
        contents[name] = picture(root / name, noise(8, 9) if "N15" in name else None)
    for name, copy in (("no/no 1.jpeg", "no/1 no.jpeg"), ("yes/Ÿ1.jpg", "yes/Y1.jpg")):
        contents[name] = contents[copy]
        (root / name).write_bytes(contents[copy])
    picture(root / "brain_tumor_dataset/no/1 no.jpeg")
    digests = [hashlib.sha256(content).hexdigest() for content in contents.values()]
    return Expected(
        splits=dealt("brain-mri", digests, train=0.8, test=0.2),
        subjects=6,
        labels={escape_key(name): {"brain-tumor": name.partition("/")[0]} for name in contents},
        parts={escape_key(name): {"image": content} for name, content in contents.items()},
        meta={escape_key("no/N15.JPG"): {"mode": "L"}, escape_key("yes/Y1.jpg"): {"mode": "RGB", "codes": "yes"}},
    )


@raw_tree("kvasir-seg")
def kvasir_seg(root: Path) -> Expected:
    """Masks in JPEG; one that is not there."""
    names = ["cju0qkwl35piu0993l0dewei2", "cju0qoxqj9q6s0835b43399p4", "cju0qx73cjw570799j4n5cjze", "cju0roawvklrq"]
    files: dict[str, dict[str, Content | None]] = {
        name: {
            "image": picture(root / f"images/{name}.jpg"),
            "mask": picture(root / f"masks/{name}.jpg", np.where(noise(16, 16) > 128, 255, 0).astype(np.uint8)),
        }
        for name in names
    }
    picture(root / "images/cju1.jpg")
    return Expected(
        splits=dealt("kvasir-seg", names, train=0.8, test=0.2), subjects=4, parts=files, skipped={"missing file": 1}
    )
