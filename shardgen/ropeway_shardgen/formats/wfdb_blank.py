"""The original WFDB record, its header, signal and annotation files in one zip, without its name, times and comments.

Of the comments those stay that the decoded part has too (`NOTES`: age, sex, diagnoses, …) where they are codes, of each
signal file the bytes that the header says are signal, and of annotations the codes (`wfdb_notes_blank.py`).
"""

import re
import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ropeway.decoders.wfdb import stored_size
from ropeway.decoders.wfdb_annotations import ANNOTATORS
from ropeway_shardgen.adapters.adapter import Payload
from ropeway_shardgen.formats import wfdb_notes_blank
from ropeway_shardgen.formats.bounded import check_array
from ropeway_shardgen.formats.mat_file import is_mat
from ropeway_shardgen.formats.wfdb_header import Header, Signal, header_words, read_header
from ropeway_shardgen.formats.wfdb_signals import Array, check_storage, check_sum, signals_of
from ropeway_shardgen.formats.zipped import zipped

_NAME = "record"
_MATRIX = b"val\0"
_HEAD = 20 + len(_MATRIX)
"""Bytes before the values of a MATLAB file of version 4 with the matrix `val`."""
_CODES = re.compile(r"[\d., ]+|nan|unknown|male|female|[fm]", re.ASCII | re.IGNORECASE)
"""What a comment may say: numbers such as SNOMED CT's, and words that the Challenges have. Others may be anything."""
_TYPES = {16: 30, 32: 20}
"""Storage → type of a matrix of version 4: int16 and int32."""


def kept(path: Path, *, compare: bool) -> Payload:
    """A record as a zip that the `wfdb` decoder, and other WFDB software once it is unpacked, read.

    Args:
        path: of the header.
        compare: whether a checksum that differs from the header's is an error; else the header gets the true one.

    Raises:
        ValueError: a file is not there, cut short or damaged, or stored in a way that is not read.
    """
    header, (lines, _) = read_header(path), header_words(path)
    check_storage(header.signals)
    names, files, checksums = _names(header), dict[str, bytes](), dict[int, int]()
    for file, name in names.items():
        together = [signal for signal in header.signals if signal.file == file]
        source = path.with_name(file)
        values = signals_of(source, together, header.length)
        for row, signal in zip(values, together, strict=True):
            if compare:
                check_sum(row, signal)
            checksums[signal.place] = int(row.sum(dtype=np.int64)) % (1 << 16)
        files[name] = _matrix(values, together) if is_mat(source) else _signal_bytes(source, together, header.length)
    said = [_NAME, lines[0][1], lines[0][2].partition("/")[0].partition("(")[0], lines[0][3]]
    told = [" ".join(said)]
    for words, signal in zip(lines[1:], header.signals, strict=True):
        new = is_mat(path.with_name(signal.file))
        told.append(_line(words, signal, names[signal.file], checksums[signal.place], new=new))
    notes = {name: str(value) for name, value in header.notes.items()}
    told += [f"#{name.capitalize()}: {value}" for name, value in notes.items() if _CODES.fullmatch(value)]
    for beside in annotations(path):
        check_array(beside.stat().st_size)
        files[f"{_NAME}{beside.suffix}"] = wfdb_notes_blank.blanked(beside.read_bytes())
    files[f"{_NAME}.hea"] = ("\n".join(told) + "\n").encode("latin1")
    return Payload(content=zipped(sorted(files.items())), format="wfdb")


def annotations(path: Path) -> list[Path]:
    """The annotation files beside a header."""
    beside = (path.with_suffix(f".{annotator}") for annotator in ANNOTATORS)
    return [file for file in beside if file.exists()]


def _names(header: Header) -> dict[str, str]:
    """Each signal file → its name in the zip."""
    files = list(dict.fromkeys(signal.file for signal in header.signals))
    ends = [".mat" if file.lower().endswith(".mat") else ".dat" for file in files]
    if len(files) == 1:
        return {files[0]: _NAME + ends[0]}
    return {file: f"{_NAME}_{number}{end}" for number, (file, end) in enumerate(zip(files, ends, strict=True), 1)}


def _line(words: list[str], signal: Signal, name: str, checksum: int, *, new: bool) -> str:
    """A signal's line: storage, gain, unit, numbers and lead as they are."""
    numbers = words[3:8]
    if not all(number.lstrip("+-").isdecimal() for number in numbers):
        raise ValueError(f"lead {signal.name}: words where a signal line of a WFDB header has numbers")
    if len(numbers) > 3:
        numbers[3] = str(checksum)
    offset = _HEAD if new else signal.offset
    storage = f"{signal.storage}+{offset}" if offset else f"{signal.storage}"
    return " ".join([name, storage, *words[2:3], *numbers, *words[8:]])


def _signal_bytes(path: Path, signals: Sequence[Signal], length: int) -> bytes:
    """The signals as they are stored, and zeros for what stands before them, unless that is the head of a matrix."""
    offset, size = signals[0].offset, stored_size(signals[0].storage, len(signals) * length)
    check_array(offset + size)
    with path.open("rb") as file:
        before, values = file.read(offset), file.read(size)
    is_head = signals[0].storage in _TYPES and before == _head(signals[0].storage, len(signals), length)
    return (before if is_head else bytes(offset)) + values


def _matrix(values: Array, signals: Sequence[Signal]) -> bytes:
    """A matrix of version 5 or 7.3, whose file may hold anything, as one of version 4, which WFDB software reads.

    Its values are the same integers.
    """
    storage = signals[0].storage
    if storage not in _TYPES:
        raise ValueError(f"a MATLAB file of WFDB storage {storage} cannot be kept")
    return _head(storage, *values.shape) + values.astype(f"<i{storage // 8}").tobytes(order="F")


def _head(storage: int, rows: int, columns: int) -> bytes:
    return struct.pack("<5i", _TYPES[storage], rows, columns, 0, len(_MATRIX)) + _MATRIX
