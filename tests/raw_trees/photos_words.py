"""Pictures with words: BioMed-VITAL, MedPix, LAION's medical subset, Quilt-1M; and words alone: GENIA."""

import json
from pathlib import Path
from typing import Any

from raw_trees import Expected, raw_tree
from raw_trees.photos import dealt, picture, table
from ropeway_shardgen.pseudonyms import fraction


@raw_tree("vital")
def vital(root: Path) -> Expected:
    """Both spellings of the conversations, both forms of the domain, a figure whose address is dead."""
    said = [
        [{"from": "human", "value": "<image>\nWhat is shown?"}, {"from": "gpt", "value": "A naïve “shadow”, 3 µm."}],
        [{"from": "human", "value": "Where?"}, {"from": "gpt", "value": "Left; then\nright."}] * 2,
    ]
    figures = [
        "PMC3012345_Fig1_1.jpg",
        "PMC3012345_Fig2_2.jpg",
        "10168246_F1.jpg",
        "33077666_F3.jpg",
        "27000001_F1.jpg",
    ]
    entries: list[dict[str, Any]] = [
        {"id": name[:-4], "image": name, "domain": "CXR", "conversations": said[n % 2]}
        for n, name in enumerate(figures)
    ]
    entries[2]["domain"] = {"chest_xray": False, "mri": False, "histology": True, "gross": True, "ct_scan": False}
    entries[2]["conversatons"] = entries[2].pop("conversations")
    (root / "BioMed-VITAL-instructions-210K.json").write_text(
        json.dumps(entries, ensure_ascii=False, indent=2), "utf-8"
    )
    files = [picture(root / "images" / name) for name in figures[:-1]]
    articles = ["PMC3012345", "PMC3012345", "10168246", "33077666"]
    return Expected(
        splits=dealt("vital", articles, train=0.8, test=0.2),
        subjects=3,
        parts={
            f"{n + 1:06}": {"image": content, "conversation": _compact(said[n % 2])} for n, content in enumerate(files)
        },
        meta={
            "000001": {"codes": "PMC3012345_Fig1_1", "kind": "CXR", "turns": 2},
            "000003": {"kind": "histology;gross", "turns": 2},
            "000002": {"turns": 4},
        },
        skipped={"missing file": 1},
    )


def _compact(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


@raw_tree("medpix")
def medpix(root: Path) -> Expected:
    """The official division; a case with two images; an age in months and one above 89."""
    cases = [
        ("train", "MPX1106", "MPX1106_synpic45737", "95", "A well-marginated mass.\n\nNo fat."),
        ("train", "MPX1106", "MPX1106_synpic45735", "95", "T2 – the same."),
        ("dev", "MPX1009", "MPX1009_synpic46283", "73", "The prostate is enlarged."),
        ("test", "MPX1770", "MPX1770_synpic23443", "8 months", "Chronic subdural fluid."),
    ]
    lines: dict[str, list[str]] = {"train": [], "dev": [], "test": []}
    for split, case, image, age, caption in cases:
        told = {"ACR Codes": "8.-1", "Age": age, "Caption": caption, "Figure Part": None}
        told |= {"Modality": "CT - noncontrast", "Plane": "Axial", "Sex": "male"}
        entry = {"Type": "CT", "U_id": case, "image": image, "Description": told}
        lines[split].append(json.dumps({**entry, "Location": "Genitourinary", "Location Category": "Abdomen"}))
    (root / "splitted_dataset").mkdir()
    for split, found in lines.items():
        (root / f"splitted_dataset/descriptions_{split}.jsonl").write_text("\n".join(found) + "\n")
    return Expected(
        splits={"train": 2, "valid": 1, "test": 1},
        subjects=3,
        parts={
            image: {"image": picture(root / f"images/{image}.png"), "caption": caption}
            for _, _, image, _, caption in cases
        },
        meta={
            "MPX1106_synpic45737": {"age": 90, "sex": "male", "plane": "Axial", "codes": "8.-1", "region": "Abdomen"},
            "MPX1770_synpic23443": {"age": None, "site": "Genitourinary"},
        },
    )


@raw_tree("laion-medical")
def laion_medical(root: Path) -> Expected:
    """Folders as img2dataset writes them; a caption that was lost."""
    names = ["00000/000000012", "00000/000000013", "00001/000010000", "00001/000010004"]
    files = [picture(root / f"{name}.jpg") for name in names]
    captions = ["MRI – knee", "Röntgenbild", "x-ray; chest\n"]
    for name, caption in zip(names, captions, strict=False):
        (root / f"{name}.txt").write_text(caption, "utf-8")
        (root / f"{name}.json").write_text("{}")
    keys = [name.partition("/")[2] for name in names[:3]]
    return Expected(
        splits=_unkeyed(keys),
        subjects=3,
        parts={key: {"image": files[n], "caption": captions[n]} for n, key in enumerate(keys)},
        skipped={"missing file": 1},
    )


def _unkeyed(subjects: list[str]) -> dict[str, int]:
    train = sum(fraction(subject, seed="ropeway") < 0.98 for subject in subjects)
    return {split: count for split, count in (("train", train), ("valid", len(subjects) - train)) if count}


@raw_tree("quilt-1m")
def quilt_1m(root: Path) -> Expected:
    """An image with two captions, two frames of one video, the unnamed first column, captions with every separator."""
    header = ",caption,image_path,subset,split,pathology,roi_text,noisy_text,corrected_text,med_umls_ids,magnification"
    told = [
        ('Nuclei; crowded, "atypical".', "-0Fq_image_0a1b.jpg", "quilt", "train", "['Gastrointestinal', 'Unknown']"),
        ("The same slide.", "-0Fq_image_0a1b.jpg", "quilt", "train", "['Gastrointestinal']"),
        ("Further on.\nDeeper.", "-0Fq_image_77ff.jpg", "quilt", "val", "['Unknown']"),
        ("Figure 2: gland", "PMC123_2.png", "pubmed", "train", ""),
        ("tweet", "openpath_17.jpeg", "openpath", "train", "['Dermatopathology']"),
    ]
    rows = [(n, *one, "[]", "", "", "[]", "1.0", 448, 448) for n, one in enumerate(told)]
    table(root / "quilt_1M_lookup.csv", header + ",height,width", rows)
    files = {name: picture(root / "images" / name) for name in sorted({one[1] for one in told})}
    origins = ["-0Fq", "-0Fq", "-0Fq", "PMC123_2", "openpath_17"]
    return Expected(
        splits=dealt("quilt-1m", origins, train=0.95, valid=0.05),
        subjects=3,
        parts={f"{n + 1:07}": {"image": files[one[1]], "caption": one[0]} for n, one in enumerate(told)},
        meta={
            "0000001": {"codes": "['Gastrointestinal', 'Unknown']", "source": "quilt", "official_split": "train"},
            "0000004": {"codes": None, "source": "pubmed"},
        },
    )


@raw_tree("genia")
def genia(root: Path) -> Expected:
    """Several events in a sentence, one twice, none; a type that nobody knows."""
    header = "Sentence,TriggerWord,TriggerWordLoc,EventType"
    train = [
        ("IL-2 gene expression requires NF-κB.", "expression;requires", "10;21", "Gene_expression;Positive_regulation"),
        ("Nothing happens.", "", "", ""),
        ("It binds and binds.", "binds;binds", "3;13", "Binding;Binding;"),
    ]
    test = [
        ("It is degraded.", "degraded", "6", "Protein_catabolism"),
        ("It is acetylated.", "acetylated", "6", "Acetylation"),
    ]
    table(root / "train_data.csv", header, train)
    table(root / "test_data.csv", header, test)
    return Expected(
        splits={"train": 3, "test": 1},
        subjects=4,
        labels={
            "train/00001": {"biomedical-events": ["Gene_expression", "Positive_regulation"]},
            "train/00002": {"biomedical-events": None},
            "train/00003": {"biomedical-events": ["Binding"]},
            "test/00001": {"biomedical-events": ["Protein_catabolism"]},
        },
        parts={
            "train/00001": {"sentence": "IL-2 gene expression requires NF-κB."},
            "test/00001": {"sentence": "It is degraded."},
        },
        meta={"train/00001": {"triggers": "expression;requires", "trigger_places": "10;21"}},
        skipped={"label outside the classes": 1},
    )
