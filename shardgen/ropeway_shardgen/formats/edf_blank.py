"""The original EDF, EDF+ or BDF file up to its last record, with its fields of person, recording and start blanked as
EDF+ says.

The other fields of free text are blanked too: reserved ones, what the transducers are, and filters in words. Signals
and annotations stay as they are; what technicians typed into annotations `ropeway verify --privacy` reads.
"""

import re
from pathlib import Path

from ropeway_shardgen.adapters.adapter import Payload
from ropeway_shardgen.formats import bounded

_FIXED = 256
_BLANK = {8: b"X X X X".ljust(80), 88: b"Startdate X X X X".ljust(80), 168: b"01.01.85", 176: b"00.00.00"}
"""Place in the header → what stands there for the unknown (EDF+ specification, 2.1.3: an anonymous patient and
recording, and 1 January 1985, the earliest date that the format knows)."""
_KIND, _RESERVED, _SIGNALS = 192, 44, 252
"""Where EDF+ and BDF say what they are, bytes of that field, and where the number of signals is."""
_KINDS = (b"EDF+C", b"EDF+D", b"BDF+C", b"BDF+D", b"24BIT")
_TRANSDUCER, _FILTER, _VALUES, _OWN = (16, 80), (136, 80), 216, (224, 32)
"""Fields of a signal: bytes that all signals' fields before it take, for each signal, and its own."""
_NUMBERS = re.compile(rb"(?:[ ,;]*(?:HP|LP|BP|N)[ :=]*(?:DC|NONE|[\d.]+ ?k?(?:Hz|s)?))*[ ,;]*", re.IGNORECASE)
"""A filter as EDF+ writes it, such as `HP:0.1Hz LP:75Hz N:50Hz`."""


def kept(path: Path, _key: bytes) -> Payload:
    """The file with a blank header.

    Raises:
        ValueError: it is no EDF or BDF file, its header is cut short, or it is larger than a sample may be.
    """
    bounded.check_array(path.stat().st_size)
    content = bytearray(path.read_bytes())
    bdf = content[:8] == b"\xffBIOSEMI"
    if len(content) < _FIXED or not (bdf or content[:8].strip() == b"0"):
        raise ValueError("not an EDF or BDF file")
    for at, text in _BLANK.items():
        content[at : at + len(text)] = text
    kind = bytes(content[_KIND : _KIND + 5])
    content[_KIND : _KIND + _RESERVED] = (kind if kind in _KINDS else b"").ljust(_RESERVED)
    stop = _blank_signals(content, 3 if bdf else 2)
    del content[stop:]
    return Payload(content=bytes(content), format="bdf" if bdf else "edf")


def _blank_signals(content: bytearray, width: int) -> int:
    """Blank the fields of all signals; where the records of values, of so many bytes each, end."""
    records, number = int(content[236:244]), int(content[_SIGNALS:_FIXED])
    first = _FIXED * (1 + number)
    if number < 1 or first > len(content):
        raise ValueError(f"an EDF or BDF header of {number} signals in {len(content)} bytes: cut short or damaged")
    for before, size in (_TRANSDUCER, _OWN):
        at = _FIXED + before * number
        content[at : at + size * number] = b" " * (size * number)
    before, size = _FILTER
    for at in range(_FIXED + before * number, _FIXED + (before + size) * number, size):
        if not _NUMBERS.fullmatch(bytes(content[at : at + size])):
            content[at : at + size] = b" " * size
    counts = _FIXED + _VALUES * number
    values = sum(int(content[at : at + 8]) for at in range(counts, counts + 8 * number, 8))
    return first + records * values * width if records >= 0 else len(content)
