"""Small recordings in true formats, for tests of adapters and recipes."""

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyedflib

Array = np.ndarray[Any, Any]
LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")


def leads(seed: int, length: int = 40, number: int = 12) -> Array:
    """Stored integers of an ECG, int16 [lead, time]."""
    return np.random.default_rng(seed).integers(-2000, 2000, (number, length)).astype(np.int16)


def matlab_4(name: str, values: Array) -> bytes:
    """A MATLAB file of version 4 with one int16 matrix: with the name `val`, 24 bytes before the first value."""
    head = struct.pack("<5i", 30, *values.shape, 0, len(name) + 1) + name.encode() + b"\0"
    return head + values.astype("<i2").tobytes(order="F")


def checksum(values: Array) -> int:
    """Of a signal, as a WFDB header has it: a signed 16-bit number."""
    total = int(values.sum(dtype=np.int64)) % (1 << 16)
    return total - (1 << 16) if total >= 1 << 15 else total


def header(
    stem: str,
    file: str,
    values: Array,
    *,
    storage: str = "16+24",
    gain: str = "1000/mV",
    names: Sequence[str] = LEADS,
    notes: Mapping[str, str] | None = None,
    mark: str = "#",
) -> str:
    """A WFDB header of these stored integers."""
    lines = [f"{stem} {len(values)} 500 {values.shape[1]} 05-Feb-2020 11:39:16"]
    for name, signal in zip(names, values, strict=True):
        lines.append(f"{file} {storage} {gain} 16 0 {signal[0]} {checksum(signal)} 0 {name}")
    lines += [f"{mark}{name}: {value}" for name, value in (notes or {}).items()]
    return "\n".join(lines) + "\n"


def challenge(folder: Path, stem: str, values: Array, dx: str, age: str, sex: str, **how: Any) -> None:
    """A recording as the PhysioNet/CinC Challenges of 2020 and 2021 have it: a .hea and a .mat of version 4."""
    folder.mkdir(parents=True, exist_ok=True)
    notes = {"Age": age, "Sex": sex, "Dx": dx, "Rx": "Unknown", "Hx": "Unknown", "Sx": "Unknown"}
    (folder / f"{stem}.mat").write_bytes(matlab_4("val", values))
    (folder / f"{stem}.hea").write_text(header(stem, f"{stem}.mat", values, notes=notes, **how))


def edf(
    path: Path,
    signals: Mapping[str, Array],
    *,
    rate: int = 200,
    patient: str = "X X X X",
    reserved: str = "",
    unit: str = "uV",
) -> None:
    """An EDF file of stored integers, int16 per label, in records of one second: ten of them are one unit.

    Written by hand, so that the patient field and the labels can be those of corpora that pyEDFlib would not write.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    number, length = len(signals), len(next(iter(signals.values()))) // rate
    columns = [
        *(f"{label:16}" for label in signals),
        *([" " * 80] * number),
        *([f"{unit:8}"] * number),
        *(["-3276.8 "] * number),
        *(["3276.7  "] * number),
        *(["-32768  "] * number),
        *(["32767   "] * number),
        *([" " * 80] * number),
        *([f"{rate:<8}"] * number),
        *([" " * 32] * number),
    ]
    size = 256 * (1 + number)
    fixed = (
        f"{'0':8}{patient:80}{'Startdate X X X X':80}01.01.0400.00.00{size:<8}{reserved:44}{length:<8}{1:<8}{number:<4}"
    )
    records = np.stack([values.reshape(length, rate) for values in signals.values()], axis=1).astype("<i2")
    path.write_bytes((fixed + "".join(columns)).encode("latin1") + records.tobytes())


def microvolts(path: Path, labels: Sequence[str]) -> Array:
    """Signals of an EDF file as pyEDFlib reads them, float32 [channel, time]."""
    with pyedflib.EdfReader(str(path)) as reader:
        there = [label.strip() for label in reader.getSignalLabels()]
        return np.stack([reader.readSignal(there.index(label)) for label in labels]).astype(np.float32)
