"""The original EDF, EDF+ or BDF file with its fields of person, recording and start blanked as EDF+ says.

Signals and annotations stay as they are; what technicians typed into annotations `ropeway verify --privacy` reads.
"""

from pathlib import Path

from ropeway_shardgen.adapters.adapter import Payload

_FIXED = 256
_BLANK = {8: b"X X X X".ljust(80), 88: b"Startdate X X X X".ljust(80), 168: b"01.01.85", 176: b"00.00.00"}
"""Place in the header → what stands there for the unknown (EDF+ specification, 2.1.3: an anonymous patient and
recording, and 1 January 1985, the earliest date that the format knows)."""


def kept(path: Path, _key: bytes) -> Payload:
    """The file with a blank header.

    Raises:
        ValueError: it is no EDF or BDF file.
    """
    content = bytearray(path.read_bytes())
    bdf = content[:8] == b"\xffBIOSEMI"
    if len(content) < _FIXED or not (bdf or content[:8].strip() == b"0"):
        raise ValueError("not an EDF or BDF file")
    for at, text in _BLANK.items():
        content[at : at + len(text)] = text
    return Payload(content=bytes(content), format="bdf" if bdf else "edf")
