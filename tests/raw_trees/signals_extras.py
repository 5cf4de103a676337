"""Raw trees of EEG recordings that only CLIMB's code knows. Values are those that were written."""

from pathlib import Path
from typing import Any

import numpy as np
import scipy.io

from raw_signals import edf, leads, microvolts
from raw_trees import Expected, pseudonym, raw_tree
from ropeway_shardgen.recipe import load

Array = np.ndarray[Any, Any]


@raw_tree("isruc")
def isruc(root: Path) -> Expected:
    """Two scorers who differ, one of whom stops early; a recording that lacks channels, as patient 8."""
    names = ("F3-A2", "C3-A2", "O1-A2", "F4-A1", "C4-A1", "O2-A1")
    stored = leads(1, 3 * 300, 6)
    for person in (1, 2):
        folder = root / "raw" / f"{person}"
        edf(folder / f"{person}.rec", {**dict(zip(names, stored, strict=True)), "X1": stored[0]}, rate=10)
        (folder / f"{person}_1.txt").write_text("0\n3\n5\n\n")
        (folder / f"{person}_2.txt").write_text("0\n2\n")
    edf(root / "raw/8/8.rec", {"C3-M2": stored[0]}, rate=10)
    (root / "raw/8/8_1.txt").write_text("0\n0\n0\n")
    (root / "raw/8/8_2.txt").write_text("0\n0\n0\n")
    physical = microvolts(root / "raw/1/1.rec", ["F3-A2", "F4-A1", "C3-A2", "C4-A1", "O1-A2", "O2-A1"])
    first = pseudonym("isruc", "recording", "1")
    return Expected(
        splits={"train": 3, "test": 3},
        subjects=2,
        labels={
            f"{first}/0000": {"sleep-stage": "W", "sleep-stage-second": "W"},
            f"{first}/0001": {"sleep-stage": "N3", "sleep-stage-second": "N2"},
            f"{first}/0002": {"sleep-stage": "R", "sleep-stage-second": None},
        },
        parts={f"{first}/0001": {"eeg": physical[:, 300:600]}},
        meta={f"{first}/0001": {"window": 1}},
        skipped={"unreadable file": 1},
    )


@raw_tree("shhs")
def shhs(root: Path) -> Expected:
    """Both visits of a person, two names of one channel, movement and the old stage 4."""
    stored = leads(1, 2 * 300, 2)
    for visit, other, stages in ((1, "EEG(sec)", "4 6"), (2, "EEG2", "5 9")):
        name = f"shhs{visit}-200001"
        edf(root / f"edfs/shhs{visit}/{name}.edf", {other: stored[1], "ECG": stored[0], "EEG": stored[0]}, rate=10)
        beside = root / f"annotations-events-profusion/shhs{visit}/{name}-profusion.xml"
        beside.parent.mkdir(parents=True)
        told = "".join(f"<SleepStage>{stage}</SleepStage>" for stage in stages.split())
        beside.write_text(f'<?xml version="1.0"?><CMPStudyConfig><SleepStages>{told}</SleepStages></CMPStudyConfig>')
    first, second = (pseudonym("shhs", "recording", f"200001-{visit}") for visit in (1, 2))
    physical = microvolts(root / "edfs/shhs1/shhs1-200001.edf", ["EEG", "EEG(sec)"])
    return Expected(
        splits={"train": 4},
        subjects=1,
        labels={
            f"{first}/0000": {"sleep-stage": "N3"},
            f"{first}/0001": {"sleep-stage": None},
            f"{second}/0000": {"sleep-stage": "R"},
            f"{second}/0001": {"sleep-stage": None},
        },
        parts={
            f"{first}/0001": {"c4": physical[:1, 300:], "c3": physical[1:, 300:]},
            f"{second}/0000": {"c3": physical[1:, :300]},
        },
        meta={f"{second}/0001": {"visit": 2, "window": 1}},
    )


@raw_tree("bci-iv-2a")
def bci_iv_2a(root: Path) -> Expected:
    """Calibration runs without trials, artefacts, and a trial that runs over the end of its recording."""

    def run(seed: int, starts: list[int], classes: list[int]) -> dict[str, Any]:
        values = np.random.default_rng(seed).normal(size=(3200, 25))
        artifacts = np.arange(len(starts)).reshape(-1, 1) % 2
        trial, y = (np.array(column, float).reshape(-1, 1) for column in (starts, classes))
        return {"X": values, "trial": trial, "y": y, "fs": 250, "artifacts": artifacts, "gender": "male", "age": 22}

    def write(name: str, *runs: dict[str, Any]) -> None:
        data = np.empty((1, len(runs)), object)
        data[0] = runs
        scipy.io.savemat(root / name, {"data": data}, do_compression=True)

    first, other = run(1, [251, 1601], [1, 4]), run(2, [1, 1702], [2, 3])
    write("A01T.mat", run(0, [], []), first)
    write("A01E.mat", other)
    return Expected(
        splits={"train": 2, "test": 1},
        subjects=1,
        labels={"A01T/2/01": {"motor-imagery": "left hand"}, "A01T/2/02": {"motor-imagery": "tongue"}},
        parts={
            "A01T/2/01": {"eeg": first["X"][250:1750].T},
            "A01T/2/02": {"eeg": first["X"][1600:3100].T},
            "A01E/1/01": {"eeg": other["X"][:1500].T},
        },
        meta={"A01T/2/01": {"run": 2, "artifact": False}, "A01T/2/02": {"artifact": True}},
        skipped={"unreadable file": 1},
    )


@raw_tree("faced")
def faced(root: Path) -> Expected:
    """A person's clips, and a file of objects (a pickle inside), which is not opened."""
    stored = np.random.default_rng(0).normal(size=(28, 32, 5))
    np.save(root / "sub000.npy", stored)
    np.save(root / "sub001.npy", np.array([{"a": 1}], object), allow_pickle=True)
    return Expected(
        splits={"train": 28},
        subjects=1,
        labels={
            "sub000/00": {"emotion": "anger", "valence": "negative"},
            "sub000/13": {"emotion": "neutral", "valence": None},
            "sub000/27": {"emotion": "tenderness", "valence": "positive"},
        },
        parts={"sub000/00": {"eeg": stored[0]}, "sub000/27": {"eeg": stored[27]}},
        skipped={"unreadable file": 1},
    )


@raw_tree("auditory-oddball")
def auditory_oddball(root: Path) -> Expected:
    """The struct EEG with its values, the fields of one with a .fdt; other events; a tone too near the end."""
    names = load("auditory-oddball").parts["eeg"].options["channels"]
    labels = [*reversed(names), "EXG1"]
    stored = np.random.default_rng(0).normal(0, 20, (2, 65, 600)).astype(np.float32)

    def write(person: str, run: int, tones: list[tuple[float, str]]) -> Path:
        folder = root / f"sub-{person}/eeg"
        folder.mkdir(parents=True, exist_ok=True)
        lines = [
            "onset\tduration\tsample\ttrial_type\tvalue",
            *(f"{at}\tn/a\t1\tstimulus\t{word}" for at, word in tones),
        ]
        (folder / f"sub-{person}_task-P300_run-{run}_events.tsv").write_text("\n".join(lines) + "\n")
        return folder / f"sub-{person}_task-P300_run-{run}_eeg.set"

    chanlocs = np.array([(label, 0.5) for label in labels], [("labels", object), ("theta", object)])
    told = {"nbchan": 65, "pnts": 600, "trials": 1, "srate": 256.0, "chanlocs": chanlocs}
    first = write("001", 1, [(0.5, "standard"), (0.9, "response"), (1.0, "oddball_with_reponse"), (2.0, "standard")])
    scipy.io.savemat(first, {"EEG": {**told, "data": stored[0]}}, do_compression=True)
    second = write("002", 2, [(0.1, "standard")])
    scipy.io.savemat(second, {**told, "data": "another_name.fdt"})
    second.with_suffix(".fdt").write_bytes(stored[1].astype("<f4").tobytes(order="F"))
    mine = stored[:, [labels.index(name) for name in names]]
    return Expected(
        splits={"train": 3},
        subjects=2,
        labels={
            "sub-001/run-1/0001": {"oddball": "standard"},
            "sub-001/run-1/0003": {"oddball": "oddball"},
        },
        parts={
            "sub-001/run-1/0001": {"eeg": mine[0][:, 102:332]},
            "sub-001/run-1/0003": {"eeg": mine[0][:, 230:460]},
            "sub-002/run-2/0001": {"eeg": mine[1][:, :230]},
        },
        meta={"sub-001/run-1/0003": {"run": 1, "onset": 1.0}},
        skipped={"unreadable file": 1},
    )
