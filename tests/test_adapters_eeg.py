"""Adapters of EEG recordings: values compared with what was written, and bad files refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pyedflib
import pytest
import scipy.io

from adapter_reading import Array, Fields, read, rows, values
from raw_signals import edf, leads
from ropeway_shardgen.recipe import configured

# EDF


def test_edf_channels_by_pattern_with_stride(tmp_path: Path) -> None:
    stored = leads(0, 100, 4)
    labels = ("EEG T3-LE", "EKG", "EEG Fp1-REF", "EEG O2-REF")
    edf(
        tmp_path / "x.edf",
        dict(zip(labels, stored, strict=True)),
        rate=10,
        patient="MCH-02 F 02-MAY-1951 Haagse_Harry Age:90",
    )
    options: Fields = {"seconds": 4, "stride": 3, "label": "EEG (.+)-(?:REF|LE)", "values": "stored"}
    listed = rows("edf", tmp_path / "x.edf", **options, channels=["FP1", "t3"])
    assert [(row["window"], row["first"], row["start"]) for row in listed] == [(0, 0, 0), (1, 30, 3), (2, 60, 6)]
    assert {(row["patient"], row["age"], row["sex"]) for row in listed} == {("MCH-02", 90, "F")}
    payload = read("edf", tmp_path / "x.edf", listed[1], **options, channels=["FP1", "t3"])
    np.testing.assert_array_equal(values(payload), stored[[2, 0], 30:70], strict=True)
    assert payload.channels == ("FP1", "t3")
    assert read("edf", tmp_path / "x.edf", listed[1], **options).channels == ("T3", "Fp1", "O2")
    assert "Haagse" not in f"{listed}{payload.fields}"


def test_edf_signals_of_several_scales(tmp_path: Path) -> None:
    heads: list[dict[str, Any]] = [
        {"label": name, "dimension": unit, "sample_frequency": 10, "physical_min": -top, "physical_max": top,
         "digital_min": -100, "digital_max": 100, "transducer": "", "prefilter": ""}
        for name, unit, top in (("a", "uV", 100.0), ("b", "uV", 50.0), ("c", "mV", 50.0))
    ]  # fmt: skip
    with pyedflib.EdfWriter(str(tmp_path / "x.edf"), 3, file_type=pyedflib.FILETYPE_EDF) as writer:
        writer.setSignalHeaders(heads)
        writer.writeSamples([np.arange(40, dtype=np.int32)] * 3, digital=True)
    row = rows("edf", tmp_path / "x.edf", seconds=4)[0]
    with pytest.raises(ValueError, match=r"different units .mV, uV.: choose channels"):
        read("edf", tmp_path / "x.edf", row, seconds=4, channels=["a", "c"])
    options: Fields = {"seconds": 4, "channels": ["a", "b"]}
    with pytest.raises(ValueError, match=r"different scales: .* take values = .physical."):
        read("edf", tmp_path / "x.edf", row, values="stored", **options)
    np.testing.assert_allclose(values(read("edf", tmp_path / "x.edf", row, **options))[:, 4], [4, 2], atol=1e-5)


def test_edf_epochs_by_two_scorers(tmp_path: Path) -> None:
    edf(tmp_path / "7.rec", {"C3-A2": leads(0, 90, 1)[0]}, rate=10)
    (tmp_path / "7_1.txt").write_text("0\n1\n5\n5\n")
    (tmp_path / "7.xml").write_text(
        "<A><SleepStages><SleepStage>0</SleepStage>" + "<SleepStage>2</SleepStage>" * 3 + "</SleepStages></A>"
    )
    epochs = {"one": "{stem}_1.txt", "two": "{stem}.xml"}
    listed = rows("edf", tmp_path / "7.rec", seconds=3, epochs=epochs)
    assert [(row["one"], row["two"]) for row in listed] == [("0", "0"), ("1", "2"), ("5", "2")]
    found, told = configured("edf", {"seconds": 3, "epochs": epochs})
    assert [path.name for path in found.companions(tmp_path / "7.rec", told)] == ["7_1.txt", "7.xml"]
    (tmp_path / "7_1.txt").write_text("0\n1\n")
    assert [row["one"] for row in rows("edf", tmp_path / "7.rec", seconds=3, epochs=epochs)] == ["0", "1", None]
    (tmp_path / "7.xml").write_text('<!DOCTYPE a [<!ENTITY x "y">]><A/>')
    with pytest.raises(ValueError, match="declares entities"):
        rows("edf", tmp_path / "7.rec", seconds=3, epochs={"two": "7.xml"})


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ("0,1.0,2.0\n", "line 1 of x.rec is not channel,start,stop,code"),
        ("0,1.0,2.0,6\n0,one,2,6\n", "line 2 of x.rec is not"),
        ("0,2.0,1.0,6\n", "an event from 2.0 to 1.0 s"),
        ("0,nan,1.0,6\n", "an event from nan"),
        ("0,20.0,21.0,6\n", "event 0 is at 20 s, where nothing was recorded"),
    ],
)
def test_bad_events(tmp_path: Path, lines: str, problem: str) -> None:
    edf(tmp_path / "x.edf", {"EEG C3-REF": leads(0, 120, 1)[0]}, rate=10)
    (tmp_path / "x.rec").write_text(lines)
    with pytest.raises(ValueError, match=problem):
        rows("edf", tmp_path / "x.edf", seconds=5, around={"suffix": ".rec", "before": 2})


def test_bad_edf_recordings(tmp_path: Path) -> None:
    edf(tmp_path / "x.edf", {"EEG C3-REF": leads(0, 120, 1)[0]}, rate=10)
    with pytest.raises(ValueError, match="no signal 'C4'; there is: EEG C3-REF"):
        rows("edf", tmp_path / "x.edf", seconds=5, label="EEG (.+)-REF", channels=["C4"])
    with pytest.raises(ValueError, match=r"no signal 'ECG .'; there is: EEG C3-REF"):
        rows("edf", tmp_path / "x.edf", seconds=5, label="ECG .")
    with pytest.raises(ValueError, match=r"no x.rec beside"):
        rows("edf", tmp_path / "x.edf", seconds=5, around={"suffix": ".rec", "before": 2})
    (tmp_path / "x.rec").write_text("0,1.0,2.0,6\n")
    with pytest.raises(ValueError, match="12 s of recording, less than a window"):
        rows("edf", tmp_path / "x.edf", seconds=50, around={"suffix": ".rec", "before": 2})
    with pytest.raises(ValueError, match="not a whole number"):
        rows("edf", tmp_path / "x.edf", seconds=0.55)


def gapped(path: Path, kind: int, began: tuple[int, ...]) -> Array:
    """A recording of one-second records that began at these times, as pyEDFlib's of one without gaps; what it reads."""
    heads: list[dict[str, Any]] = [
        {"label": name, "dimension": "uV", "sample_frequency": 10, "physical_min": -100.0, "physical_max": 100.0,
         "digital_min": -1000, "digital_max": 1000, "transducer": "", "prefilter": ""}
        for name in ("C3", "C4")
    ]  # fmt: skip
    with pyedflib.EdfWriter(str(path), 2, file_type=kind) as writer:
        writer.setSignalHeaders(heads)
        writer.writeSamples(list(leads(0, 10 * len(began), 2).astype(np.int32) // 2), digital=True)
        writer.writeAnnotation(1.5, -1, "Größe")
    with pyedflib.EdfReader(str(path)) as reader:
        physical = np.stack([reader.readSignal(number) for number in range(2)]).astype(np.float32)
    content = path.read_bytes().replace(b"DF+C", b"DF+D", 1)
    for record, at in reversed(list(enumerate(began))):
        content = content.replace(f"+{record}\x14\x14\0".encode(), f"+{at}\x14\x14\0".encode(), 1)
    path.write_bytes(content)
    return physical


@pytest.mark.parametrize("kind", [pyedflib.FILETYPE_EDFPLUS, pyedflib.FILETYPE_BDFPLUS])
def test_no_window_spans_a_gap(tmp_path: Path, kind: int) -> None:
    physical = gapped(tmp_path / "x.edf", kind, (0, 1, 2, 5, 6, 9))
    listed = rows("edf", tmp_path / "x.edf", seconds=2)
    assert [(row["first"], row["start"]) for row in listed] == [(0, 0.0), (30, 5.0)]
    assert [row["annotations"] for row in listed] == ["Größe", None]
    for row in listed:
        got = values(read("edf", tmp_path / "x.edf", row, seconds=2))
        np.testing.assert_allclose(got, physical[:, row["first"] : row["first"] + 20], atol=1e-5)
    stored = values(read("edf", tmp_path / "x.edf", listed[1], seconds=2, values="stored"))
    np.testing.assert_array_equal(stored, leads(0, 60, 2)[:, 30:50] // 2, strict=kind == pyedflib.FILETYPE_EDFPLUS)
    (tmp_path / "x.rec").write_text("0,1.9,2.0,6\n0,5.1,5.2,6\n")
    around = {"suffix": ".rec", "before": 1}
    listed = rows("edf", tmp_path / "x.edf", seconds=2, around=around)
    assert [(row["first"], row["start"]) for row in listed] == [(9, 0.9), (30, 5.0)]
    for line, problem in (("0,3.5,4,6", "where nothing was recorded"), ("0,9.5,10,6", "1 s of recording, less than")):
        (tmp_path / "x.rec").write_text(line)
        with pytest.raises(ValueError, match=problem):
            rows("edf", tmp_path / "x.edf", seconds=2, around=around)
    with pytest.raises(ValueError, match="epochs of a recording with gaps"):
        rows("edf", tmp_path / "x.edf", seconds=2, epochs={"stage": "x.rec"})


def test_bad_recordings_with_gaps(tmp_path: Path) -> None:
    gapped(tmp_path / "x.edf", pyedflib.FILETYPE_EDFPLUS, (0, 1, 4))
    content = (tmp_path / "x.edf").read_bytes()
    (tmp_path / "x.edf").write_bytes(content[:-1])
    with pytest.raises(ValueError, match="cut short: 3 records of 1 s"):
        rows("edf", tmp_path / "x.edf", seconds=1)
    edf(tmp_path / "y.edf", {"EEG C3-REF": leads(0, 120, 1)[0]}, rate=10, reserved="EDF+D")
    with pytest.raises(ValueError, match="record 0 of a recording with gaps does not say when it began"):
        rows("edf", tmp_path / "y.edf", seconds=1)


# Trials in MATLAB files


def trials(path: Path, **changed: Any) -> Path:
    run = {"X": np.arange(60.0).reshape(20, 3), "trial": [[1.0], [11.0]], "y": [[1.0], [2.0]], **changed}
    data = np.empty((1, 2), object)
    data[0] = [{**run, "trial": [], "y": []}, run]
    scipy.io.savemat(path, {"data": data})
    return path


def test_mat_trials(tmp_path: Path) -> None:
    options: Fields = {
        "runs": "data",
        "signal": "X",
        "starts": "trial",
        "length": 5,
        "sampling_rate": 10,
        "fields": {"y": "y"},
    }
    listed = rows("mat-trials", trials(tmp_path / "x.mat"), **options)
    assert listed == [{"run": 2, "trial": 1, "first": 0, "y": "1"}, {"run": 2, "trial": 2, "first": 10, "y": "2"}]
    got = values(read("mat-trials", tmp_path / "x.mat", listed[1], **options))
    np.testing.assert_array_equal(got, np.arange(60.0).reshape(20, 3)[10:15].T, strict=True)
    with pytest.raises(ValueError, match="does not lie in a run of shape"):
        read("mat-trials", tmp_path / "x.mat", listed[1], **options | {"length": 11})
    with pytest.raises(ValueError, match="3 channels, the recipe names 1"):
        read("mat-trials", tmp_path / "x.mat", listed[1], **options, channels=["Fz"])
    with pytest.raises(ValueError, match="run 2: y has 1 values for 2 trials"):
        rows("mat-trials", trials(tmp_path / "y.mat", y=[[1.0]]), **options)
    with pytest.raises(ValueError, match="no cell array"):
        rows("mat-trials", tmp_path / "x.mat", **options | {"runs": "data{2}"})
    with pytest.raises(ValueError, match="no cell 3: there are 2"):
        read("mat", tmp_path / "x.mat", variable="data{3}.X")


# EEGLAB


def eeglab(path: Path, data: Array | str, **changed: Any) -> Path:
    chanlocs = np.array([(label, 0) for label in ("Fz", "Cz")], [("labels", object), ("theta", object)])
    told = {"nbchan": 2, "pnts": 50, "trials": 1, "srate": 10.0, "chanlocs": chanlocs, "data": data, **changed}
    scipy.io.savemat(path, {"EEG": told})
    return path


def test_eeglab_windows(tmp_path: Path) -> None:
    stored = np.random.default_rng(0).normal(size=(2, 50)).astype(np.float32)
    path = eeglab(tmp_path / "x.set", stored)
    payload = read("eeglab", path, {"onset": "2.0"}, seconds=1, before=0.5, channels=["Cz"])
    np.testing.assert_array_equal(values(payload), stored[1:, 15:25], strict=True)
    assert (payload.channels, payload.sampling_rate, payload.units) == (("Cz",), 10.0, "uV")
    for onset in ("0.4", "4.6"):
        with pytest.raises(ValueError, match="does not lie in the recording"):
            read("eeglab", path, {"onset": onset}, seconds=1, before=0.5)
    with pytest.raises(ValueError, match="no channel 'Pz'; there is: Fz, Cz"):
        read("eeglab", path, {"onset": "2.0"}, seconds=1, channels=["Pz"])


def test_bad_eeglab(tmp_path: Path) -> None:
    window: Fields = {"onset": 0.0}
    with pytest.raises(ValueError, match="a dataset of 3 trials"):
        read("eeglab", eeglab(tmp_path / "epochs.set", np.zeros((2, 50, 3)), trials=3), window, seconds=1)
    with pytest.raises(ValueError, match="no array of numbers"):
        read("eeglab", eeglab(tmp_path / "lost.set", "lost.fdt"), window, seconds=1)
    (tmp_path / "cut.fdt").write_bytes(b"\0" * 399)
    with pytest.raises(ValueError, match=r"cut.fdt has 399 bytes, 400 are needed"):
        read("eeglab", eeglab(tmp_path / "cut.set", "cut.fdt"), window, seconds=1)
    with pytest.raises(ValueError, match="and 2 names for 3 x 50"):
        read("eeglab", eeglab(tmp_path / "names.set", np.zeros((3, 50)), nbchan=3), window, seconds=1)
