"""Raw trees of CT and MR that only the code of CLIMB can read."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from raw_trees import Expected, pseudonym, raw_tree
from raw_volumes import Array, ct_slice, hounsfield, nifti, table


def _readings(path: Path, sessions: Iterable[Iterable[tuple[bool, Iterable[str]]]]) -> None:
    """An XML file of readings: per reader, nodules, which are large (with characteristics) or not, and their slices."""
    words = []
    for session in sessions:
        words.append("<readingSession>")
        for large, slices in session:
            traits = "<characteristics><malignancy>3</malignancy></characteristics>" if large else ""
            edge = "<edgeMap><xCoord>3</xCoord><yCoord>2</yCoord></edgeMap>"
            rois = "".join(f"<roi><imageSOP_UID>{one}</imageSOP_UID>{edge}</roi>" for one in slices)
            words.append(f"<unblindedReadNodule><noduleID>1</noduleID>{traits}{rois}</unblindedReadNodule>")
        words.append("</readingSession>")
    path.write_text(f'<LidcReadMessage xmlns="http://www.nih.gov">{"".join(words)}</LidcReadMessage>')


def _ct(folder: Path, slices: int, **header: Any) -> tuple[Array, list[str]]:
    """A series whose file names run against its slices; its voxels and its instances in order."""
    voxels = hounsfield(slices, 3, 4, seed=slices)
    names = [f"{header['series']}.{500 - place}" for place in range(slices)]
    for place, name in enumerate(names):
        ct_slice(folder / f"{name}.dcm", voxels[place], z=1.25 * place, instance=name, **header)
    return voxels, names


@raw_tree("lidc")
def lidc(root: Path) -> Expected:
    """A patient with a CT and a radiograph, and one with a short CT."""
    first = root / "LIDC-IDRI/LIDC-IDRI-0001/1.1/1.1.1"
    voxels, names = _ct(first, 30, study="1.1", series="1.1.1", patient="LIDC-IDRI-0001")
    large = (True, names[2:7])
    _readings(first / "069.xml", [[large], [large], [large, (False, names[27:28])], []])
    radiograph = ct_slice(root / "LIDC-IDRI/LIDC-IDRI-0001/1.2/1.2.1/1-1.dcm", voxels[0], study="1.2", series="1.2.1")
    radiograph.write_bytes(radiograph.read_bytes().replace(b"CS\x02\x00CT", b"CS\x02\x00DX"))
    second = root / "LIDC-IDRI/LIDC-IDRI-0002/2.1/2.1.1"
    short, _ = _ct(second, 5, study="2.1", series="2.1.1", patient="LIDC-IDRI-0002")
    _readings(second / "071.xml", [[(True, names[:1])]] * 4)
    one, two = pseudonym("lidc", "series", "1.1.1"), pseudonym("lidc", "series", "2.1.1")
    return Expected(
        splits={"train": 3},
        subjects=2,
        labels={
            f"{one}/000": {"nodule-size": ["nodule >=3 mm"]},
            f"{one}/001": {"nodule-size": ["nodule <3 mm"]},
            f"{two}/000": {"nodule-size": []},
        },
        parts={f"{one}/001": {"ct": voxels[6:] - np.int16(1024)}, f"{two}/000": {"ct": short - np.int16(1024)}},
        meta={
            f"{one}/000": {"large_slices": 5, "readers": 4, "depth": 30, "spacing_slice": 1.25, "intercept": -1024.0}
        },
    )


@raw_tree("rsna-pe-windows")
def rsna_pe_windows(root: Path) -> Expected:
    """A study with an embolism on four slices of its last slab, and one with a gap."""
    voxels, names = _ct(root / "train/1.1/1.1.1", 40, study="1.1", series="1.1.1")
    _, others = _ct(root / "train/1.2/1.2.1", 6, study="1.2", series="1.2.1")
    (root / f"train/1.2/1.2.1/{others[3]}.dcm").unlink()
    marked = {*names[31:35], *names[2:5]}
    rows = [{"SOPInstanceUID": name, "pe_present_on_image": int(name in marked)} for name in (*names, *others)]
    table(root / "train.csv", rows)
    series = pseudonym("rspect", "series", "1.1.1")
    return Expected(
        splits={"train": 3},
        subjects=1,
        labels={
            f"{series}/000": {"pulmonary-embolism": "No PE"},
            f"{series}/001": {"pulmonary-embolism": "PE"},
            f"{series}/002": {"pulmonary-embolism": "PE"},
        },
        parts={
            f"{series}/{slab}": {"ct": own - np.int16(1024)}
            for slab, own in (("001", voxels[12:36]), ("002", voxels[16:]))
        },
        meta={f"{series}/000": {"marked_slices": 3, "first_slice": 0}, f"{series}/002": {"first_slice": 16}},
        skipped={"unreadable file": 1},
    )


@raw_tree("radfusion")
def radfusion(root: Path) -> Expected:
    """Three studies of three slices in two of the eight folders."""
    rows: list[dict[str, object]] = []
    volumes: dict[Any, Array] = {}
    for place, (number, split, kinds) in enumerate(
        [(101, "train", ["", "central", "segmental"]), (102, "val", [""] * 3), (103, "test", ["", "", "subsegmental"])]
    ):
        volumes[number] = hounsfield(3, 4, 4, seed=number)
        (root / str(7 * (place % 2))).mkdir(exist_ok=True)
        np.save(root / f"{7 * (place % 2)}/{number}.npy", volumes[number])
        for at, kind in enumerate(kinds):
            rows.append({"idx": number, "slice_idx": at, "label": int(bool(kind)), "pe_type": kind, "split": split})
    table(root / "Labels.csv", rows)
    key = {number: pseudonym("radfusion", "study", str(number)) for number in volumes}
    return Expected(
        splits={"train": 1, "valid": 1, "test": 1},
        subjects=3,
        labels={
            key[101]: {"pulmonary-embolism": "PE", "pulmonary-embolism-site": ["central", "segmental"]},
            key[102]: {"pulmonary-embolism": "No PE", "pulmonary-embolism-site": None},
        },
        parts={key[102]: {"ct": volumes[102]}, key[103]: {"slices": np.array([[0, 0], [1, 0], [2, 1]], np.float64)}},
    )


@raw_tree("isles22")
def isles22(root: Path) -> Expected:
    """Two patients with grids of their own for each sequence; one without FLAIR."""
    rows: list[dict[str, object]] = []
    volumes: dict[Any, Array] = {}
    for number, age in ((1, "71"), (2, "n/a")):
        case = f"sub-strokecase{number:04}"
        rows.append({"participant_id": case, "sex": "F", "age": age, "weight": "70.5"})
        for place, (folder, name) in enumerate([("anat", "FLAIR"), ("dwi", "adc"), ("dwi", "dwi"), ("mask", "msk")]):
            voxels = hounsfield(3 + place, 4, 2, seed=number).astype(np.float32 if place else np.int16)
            below = f"derivatives/{case}/ses-0001" if name == "msk" else f"{case}/ses-0001/{folder}"
            if (number, name) != (2, "FLAIR"):
                nifti(root / below / f"{case}_ses-0001_{name}.nii.gz", voxels, np.diag([1.0 + place, 1, 5, 1]))
            volumes[number, name] = voxels.T
    table(root / "participants.tsv", rows, "\t")
    return Expected(
        splits={"train": 2},
        subjects=2,
        parts={
            "sub-strokecase0001": {"flair": volumes[1, "FLAIR"], "adc": volumes[1, "adc"], "mask": volumes[1, "msk"]},
            "sub-strokecase0002": {"flair": None, "dwi": volumes[2, "dwi"]},
        },
        meta={"sub-strokecase0001": {"age": 71.0, "sex": "F", "weight": 70.5}, "sub-strokecase0002": {"age": None}},
    )


@raw_tree("tcp")
def tcp(root: Path) -> Expected:
    """Three persons: with all that CLIMB reads, with one image, and with a score that means none."""
    head = ("subjectkey", "dass_depr_sc", "dass_anx_sc", "dass_stress_sc")
    facts = [("NDAR_INVAA1", 28, 9, 14), ("NDAR_INVBB2", 0, 20, 15), ("NDAR_INVCC3", 999, 8, 34)]
    table(root / "phenotype/dass01.csv", [dict(zip(head, fact, strict=True)) for fact in facts])
    written = (root / "phenotype/dass01.csv").read_text()
    (root / "phenotype/dass01.csv").write_text("Depression Anxiety Stress Scales,1\n" + written)
    volumes: dict[str, Array] = {}
    for folder, name in [("anat", "run-01_T1w"), ("fmap", "dir-ap_epi"), ("func", "task-restAP_run-01_bold")]:
        volumes[name] = hounsfield(*((3, 4, 2, 5) if folder == "func" else (3, 4, 2)), seed=len(volumes))
        nifti(root / f"sub-NDARINVAA1/{folder}/sub-NDARINVAA1_{name}.nii.gz", volumes[name])
    for person in ("BB2", "CC3"):
        nifti(root / f"sub-NDARINV{person}/anat/sub-NDARINV{person}_run-01_T1w.nii.gz", volumes["run-01_T1w"])
    key = [pseudonym("tcp", "person", fact[0]) for fact in facts]
    return Expected(
        splits={"train": 3},
        subjects=3,
        labels={
            key[0]: {
                "dass-depression": "extremely severe",
                "dass-depression-score": 28.0,
                "dass-anxiety": "mild",
                "dass-anxiety-score": 9.0,
                "dass-stress": "none",
            },
            key[1]: {"dass-depression": "none", "dass-anxiety": "extremely severe", "dass-stress": "mild"},
            key[2]: {"dass-depression": None, "dass-depression-score": None, "dass-stress-score": 34.0},
        },
        parts={
            key[0]: {
                "t1w": volumes["run-01_T1w"].T,
                "epi_ap": volumes["dir-ap_epi"].T,
                "bold_ap_1": volumes["task-restAP_run-01_bold"].T,
            },
            key[1]: {"t1w": volumes["run-01_T1w"].T, "bold_ap_1": None},
        },
    )
