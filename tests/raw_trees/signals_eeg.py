"""Raw trees of EEG recordings. Values are those that were written, or what pyEDFlib reads."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import scipy.io

from raw_signals import edf, leads, microvolts
from raw_trees import Expected, pseudonym, raw_tree

Array = np.ndarray[Any, Any]
TEN_TWENTY = (
    "FP1", "FP2", "F7", "F3", "FZ", "F4", "F8", "T3", "C3", "CZ", "C4", "T4", "T5", "P3", "PZ", "P4", "T6", "O1", "O2",
)  # fmt: skip


def electrodes(seed: int, seconds: int, rate: int, names: tuple[str, ...]) -> dict[str, Array]:
    """Stored integers, int16 per electrode."""
    return dict(zip(names, leads(seed, seconds * rate, len(names)), strict=True))


@raw_tree("tuab")
def tuab(root: Path) -> Expected:
    """Both references, electrodes in an order of their own and others besides, two rates; one recording lacks one."""
    ar = electrodes(1, 25, 20, TEN_TWENTY)
    further = {"EEG EKG1-REF": leads(3, 500, 1)[0], "IBI": leads(4, 500, 1)[0]}
    shuffled = {f"EEG {name}-REF": ar[name] for name in sorted(ar)}
    patient = "aaaaamye M 01-JAN-1950 aaaaamye Age:93"
    edf(root / "edf/train/normal/01_tcp_ar/aaaaamye_s001_t000.edf", further | shuffled, rate=20, patient=patient)
    edf(
        root / "edf/train/abnormal/02_tcp_le/aaaaamye_s002_t001.edf",
        {f"EEG {name}-LE": values for name, values in electrodes(2, 10, 30, TEN_TWENTY).items()},
        rate=30,
        patient=patient,
    )
    edf(
        root / "edf/eval/abnormal/01_tcp_ar/027/aaaaabbb/s004_2012_02_08/aaaaabbb_s004_t000.edf",
        shuffled,
        rate=20,
        patient="aaaaabbb F X aaaaabbb Age:31",
    )
    lacks = {label: values for label, values in shuffled.items() if "FP1" not in label}
    edf(root / "edf/eval/normal/01_tcp_ar/aaaaaccc_s001_t000.edf", lacks, rate=20)

    def key(recording: str, window: int) -> str:
        return f"{pseudonym('tuh', 'recording', recording)}/{window:04}"

    train = root / "edf/train"
    physical = microvolts(train / "normal/01_tcp_ar/aaaaamye_s001_t000.edf", [f"EEG {name}-REF" for name in TEN_TWENTY])
    le = microvolts(train / "abnormal/02_tcp_le/aaaaamye_s002_t001.edf", [f"EEG {name}-LE" for name in TEN_TWENTY])
    first, other, third = (
        key(f"{name}", 0) for name in ("aaaaamye_s001_t000", "aaaaamye_s002_t001", "aaaaabbb_s004_t000")
    )
    return Expected(
        splits={"train": 3, "test": 2},
        subjects=2,
        labels={
            first: {"eeg-abnormal": "normal"},
            other: {"eeg-abnormal": "abnormal"},
            third: {"eeg-abnormal": "abnormal"},
        },
        parts={
            first: {"eeg": physical[:, :200]},
            key("aaaaamye_s001_t000", 1): {"eeg": physical[:, 200:400]},
            other: {"eeg": le},
        },
        meta={
            first: {"age": 90, "sex": "male", "start": 0.0},
            other: {"sampling_rate": 30.0, "montage": "02_tcp_le"},
            third: {"age": 31, "sex": "female"},
        },
        skipped={"unreadable file": 1},
    )


@raw_tree("tuev")
def tuev(root: Path) -> Expected:
    """Events in the middle and near both ends, one second judged on two channels; a recording without its .rec."""
    names = (*TEN_TWENTY, "A1", "A2")
    signals = electrodes(1, 12, 20, names)
    train, test = root / "edf/train/aaaaaaar/aaaaaaar_00000001.edf", root / "edf/eval/000/bckg_000_a_.edf"
    labelled = {f"EEG {name}-REF": values for name, values in signals.items()}
    edf(train, labelled, rate=20, patient="aaaaaaar F 01-JAN-1980 aaaaaaar Age:40")
    edf(test, labelled, rate=20)
    edf(root / "edf/eval/001/gped_001_a_1.edf", labelled, rate=20)
    train.with_suffix(".rec").write_text("0,0.5,1.5,6\n14,6.0,7.0,1\n15,6.0,7.0,6\n21,11.0,12.0,5\n")
    test.with_suffix(".rec").write_text("3,5.05,6.05,2\n")
    physical = microvolts(train, list(labelled))

    def key(recording: str, event: int) -> str:
        return f"{pseudonym('tuh', 'recording', recording)}/{event:05}"

    mine = [key("train/aaaaaaar/aaaaaaar_00000001", event) for event in range(4)]
    other = key("eval/000/bckg_000_a_", 0)
    return Expected(
        splits={"train": 4, "test": 1},
        subjects=2,
        labels={
            mine[0]: {"eeg-event": "BCKG"},
            mine[1]: {"eeg-event": "SPSW"},
            mine[2]: {"eeg-event": "BCKG"},
            other: {"eeg-event": "GPED"},
        },
        parts={
            mine[0]: {"eeg": physical[:, :100]},
            mine[1]: {"eeg": physical[:, 80:180]},
            mine[2]: {"eeg": physical[:, 80:180]},
            mine[3]: {"eeg": physical[:, 140:240]},
            other: {"eeg": physical[:, 61:161]},
        },
        meta={
            mine[0]: {"channel": "FP1-F7", "event_start": 0.5, "event_stop": 1.5, "age": 40, "sex": "female"},
            mine[1]: {"channel": "FP1-F3", "event_start": 2.0},
            mine[3]: {"channel": "P4-O2", "event_start": 4.0, "start": 7.0},
            other: {"age": None, "event_start": 2.0},
        },
        skipped={"missing file": 1},
    )


@raw_tree("iiic")
def iiic(root: Path) -> Expected:
    """Votes with and without one most frequent class, files of versions 5 and 7.3, and one that is no 20 channels."""
    import h5py

    (root / "eeg").mkdir()
    stored = np.random.default_rng(0).normal(0, 50, (3, 20, 64)).astype(np.float32)
    rows = (("s1", "p1", "SZ", 8, 1), ("s2", "p1", "", 3, 3), ("s3", "p2", "Other", 0, 9), ("s4", "p2", "Other", 0, 9))
    with (root / "segments.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["segment", "patient", "label", "SZ", "LPD", "GPD", "LRDA", "GRDA", "Other"])
        table.writerows([segment, patient, label, sz, 0, 2, 0, 0, rest] for segment, patient, label, sz, rest in rows)
    scipy.io.savemat(root / "eeg/s1.mat", {"data": stored[0], "Fs": 200})
    scipy.io.savemat(root / "eeg/s2.mat", {"data": stored[1]}, do_compression=True)
    with h5py.File(root / "eeg/s3.mat", "w", userblock_size=512) as file:
        file["data"] = stored[2].T
    with (root / "eeg/s3.mat").open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM")
    scipy.io.savemat(root / "eeg/s4.mat", {"data": stored[0][:19]})
    return Expected(
        splits={"valid": 2, "test": 1},
        subjects=2,
        labels={"s1": {"iiic": "SZ"}, "s2": {"iiic": None}, "s3": {"iiic": "Other"}},
        parts={
            "s1": {"eeg": stored[0], "votes": np.array([8, 0, 2, 0, 0, 1], np.float32)},
            "s2": {"eeg": stored[1]},
            "s3": {"eeg": stored[2]},
        },
        skipped={"unreadable file": 1},
    )
