"""Raw trees of ultrasound and of operations."""

from pathlib import Path

import numpy as np

from raw_trees import Expected, Frames, pseudonym, raw_tree
from raw_videos import decoded, video
from raw_volumes import picture, table


@raw_tree("echonet-dynamic")
def echonet_dynamic(root: Path) -> Expected:
    """Three videos; the last was not traced."""
    names = ["0X1A0A263B22CCD966", "0X1A2A76BDB5B98BED", "0X1A2C60147AF9FDAE"]
    files, content = [], {}
    for place, (name, split) in enumerate(zip(names, ("TRAIN", "VAL", "TEST"), strict=True)):
        path = video(root / f"Videos/{name}.avi", frames=10 + place, height=16, width=16, rate=50)
        content[name] = path.read_bytes()
        files.append({"FileName": name, "EF": 55.5 + place, "ESV": 40.25, "EDV": 90, "FrameHeight": 16,
                      "FrameWidth": 16, "FPS": 50, "NumberOfFrames": 10 + place, "Split": split})  # fmt: skip
    table(root / "FileList.csv", files)
    chords = [(names[0], 51.26, 15.3, 64.9, 69.1, 2), (names[1], 1, 2, 3, 4, 5), (names[0], 50.0, 17.1, 55.3, 15.8, 7)]
    head = ("FileName", "X1", "Y1", "X2", "Y2", "Frame")
    table(root / "VolumeTracings.csv", [dict(zip(head, (f"{c[0]}.avi", *c[1:]), strict=True)) for c in chords])
    return Expected(
        splits={"train": 1, "valid": 1, "test": 1},
        subjects=3,
        labels={names[0]: {"ejection-fraction": 55.5, "end-systolic-volume": 40.25, "end-diastolic-volume": 90.0}},
        parts={
            names[0]: {"video": content[names[0]], "tracings": np.array([chords[0][1:], chords[2][1:]], np.float64)},
            names[2]: {"video": content[names[2]], "tracings": np.zeros((0, 5))},
        },
        meta={names[1]: {"fps": 50.0, "frames": 11, "height": 16, "traced_chords": 1}},
    )


@raw_tree("busi")
def busi(root: Path) -> Expected:
    """Images with one mask and with three, two files that are the same, and a normal one."""
    folder = root / "Dataset_BUSI_with_GT"
    files: dict[str, bytes] = {}
    for name in ("benign/benign (2)", "benign/benign (10)", "malignant/malignant (1)", "normal/normal (1)"):
        files[name] = picture(folder / f"{name}.png", 9, 8, 3, seed=len(files))
        files[f"{name}_mask"] = picture(folder / f"{name}_mask.png", 9, 8, seed=len(files))
    for more in ("_mask_1", "_mask_2"):
        files[f"benign/benign (10){more}"] = picture(folder / f"benign/benign (10){more}.png", 9, 8, seed=len(files))
    (folder / "malignant/malignant (3).png").write_bytes(files["malignant/malignant (1)"])
    return Expected(
        splits={"train": 3, "test": 2},
        subjects=4,
        labels={
            "benign-002": {"breast-lesion": "benign"},
            "malignant-003": {"breast-lesion": "malignant"},
            "normal-001": {"breast-lesion": "normal"},
        },
        parts={
            "benign-010": {
                "image": files["benign/benign (10)"],
                "mask": files["benign/benign (10)_mask"],
                "mask_1": files["benign/benign (10)_mask_1"],
                "mask_2": files["benign/benign (10)_mask_2"],
            },
            "benign-002": {"mask": files["benign/benign (2)_mask"], "mask_1": None},
            "malignant-003": {"image": files["malignant/malignant (1)"], "mask": None},
        },
        meta={"benign-002": {"height": 9, "width": 8, "mode": "RGB"}},
    )


@raw_tree("covid-blues")
def covid_blues(root: Path) -> Expected:
    """Three patients: two takes of a point, a sentinel for an age, and a note in a file that names its patient."""
    takes = ["patient_1_L1", "patient_1_R3", "patient_15_L2", "patient_15_L2_2", "patient_20_R1"]
    content = {}
    for place, name in enumerate(takes):
        tags = {"comment": "Jan Jansen"} if name == "patient_20_R1" else None
        content[name] = video(root / f"lus_videos/{name}.mp4", frames=6 + place, tags=tags).read_bytes()
    head = ("patient_id", "cov_test", "pat_age", "pat_sex", "pat_bmi", "pulse", "outcome_status_d30")
    rows = [(20, 0, "-99", "0.0", 24.5, "90-92", 1), (1, 1, 93, "1.0", "", 80, 1), (15, 1, 61, "", -96, 75, 2)]
    table(root / "clinical_variables.csv", [dict(zip(head, row, strict=True)) for row in rows])
    keys = {}
    for name in takes:
        _, patient, view = name.split("_", 2)
        keys[name] = f"{pseudonym('covid-blues', 'subject', patient)}/{view}"
    return Expected(
        splits={"train": 5},
        subjects=3,
        labels={
            keys["patient_1_L1"]: {"covid": "Has COVID", "age": 90.0},
            keys["patient_15_L2_2"]: {"covid": "Has COVID", "age": 61.0},
            keys["patient_20_R1"]: {"covid": "No COVID", "age": None},
        },
        parts={keys[name]: {"video": content[name]} for name in takes[:4]},
        meta={
            keys["patient_1_L1"]: {"age": 90.0, "sex": "M", "point": "L1", "take": None, "frames": 6},
            keys["patient_15_L2_2"]: {"take": 2, "sex": None, "bmi": None},
            keys["patient_20_R1"]: {"age": None, "sex": "F", "bmi": 24.5, "frames": 10},
        },
    )


@raw_tree("covid-us")
def covid_us(root: Path) -> Expected:
    names = ["1_butterfly_covid", "2_grepmed_pneumonia_prc", "3_pocusatlas_Normal", "10_litfl_other_2"]
    content = {name: video(root / f"videos/{name}.mp4", frames=5).read_bytes() for name in names}
    video(root / "videos/11_radio_covid.mp4", frames=5).write_bytes(content[names[0]][:-40])
    return Expected(
        splits={"train": 3, "test": 1},
        subjects=0,
        labels={
            "1_butterfly_covid": {"lung-ultrasound": "covid"},
            "2_grepmed_pneumonia_prc": {"lung-ultrasound": "pneumonia"},
            "3_pocusatlas_Normal": {"lung-ultrasound": "normal"},
            "10_litfl_other_2": {"lung-ultrasound": None},
        },
        parts={name: {"video": content[name]} for name in names},
        meta={"3_pocusatlas_Normal": {"source": "pocusatlas", "codes": "Normal", "frames": 5, "fps": 25.0}},
        skipped={"unreadable file": 1},
    )


@raw_tree("cholec80")
def cholec80(root: Path) -> Expected:
    """Videos of 180 frames: two frames an interval, phases for each frame and tools for every 25th."""
    tools = ("Grasper", "Bipolar", "Hook", "Scissors", "Clipper", "Irrigator", "SpecimenBag")
    for name in ("video01", "video40", "video41"):
        video(root / f"videos/{name}.mp4", frames=180, height=16, width=32, gop=25)
        lines = [{"Frame": n, "Phase": "Preparation" if n < 91 else "CalotTriangleDissection"} for n in range(180)]
        table(root / f"phase_annotations/{name}-phase.txt", lines, "\t")
        seen = {50: ("Hook", "Grasper"), 75: ("SpecimenBag",)}
        marks = [{"Frame": n, **{t: int(t in seen.get(n, ())) for t in tools}} for n in range(0, 180, 25)]
        table(root / f"tool_annotations/{name}-tool.txt", marks, "\t")
    grey = decoded(root / "videos/video41.mp4")
    return Expected(
        splits={"train": 180, "test": 90},
        subjects=3,
        labels={
            "video01/00": {"surgical-phase": ["Preparation"], "surgical-tool": []},
            "video01/45": {"surgical-phase": ["Preparation", "CalotTriangleDissection"]},
            "video01/25": {"surgical-tool": ["Grasper", "Hook"]},
            "video41/37": {"surgical-tool": ["SpecimenBag"]},
            "video41/89": {"surgical-phase": ["CalotTriangleDissection"], "surgical-tool": []},
        },
        parts={f"video41/{place:02}": {"video": Frames(grey[2 * place :][:2])} for place in (0, 12, 13, 55, 89)},
        meta={
            "video40/45": {"first_frame": 90, "frames": 2, "start": 3.6, "seconds": 0.08, "interval": 45},
            "video01/25": {"tools": "Grasper;Hook", "phases": "Preparation"},
        },
    )
