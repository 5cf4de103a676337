"""Annotation files of WFDB records without what a person typed: of the texts that go with annotations, codes stay.

Codes: https://physionet.org/physiotools/wag/annotations.htm for rhythms, signal quality and the changes of the European
ST-T Database; sleep stages and events as in the MIT-BIH Polysomnographic Database. How fine times are is a text too.
"""

import re

from ropeway.decoders.wfdb_annotations import TEXT, words

_RHYTHM = (
    r"AB|AFIB|AFL|ASYS|AT|B|B3|BI|BII|HGEA|IVR|J|N|NOD|NOISE|P|PAT|PM|PREX|PSVT|SAB|SBR|SVT|SVTA|T|VER|VF|VFIB|VFL|VT"
)
_STAGE = r"(?:W|1|2|3|4|R|M|MT|H|HA|OA|X|CA|CAA|L|LA|A)"
_CODES = re.compile(
    rf"\((?:{_RHYTHM})|MISSB|PSE|TS|U|{_STAGE}(?: +{_STAGE})*|\(?A?(?:ST|T)\d?[-+]{{1,2}}\d{{0,4}}\)?"
    r"|## time resolution: \d{1,6}(?:\.\d{1,6})?",
    re.ASCII,
)


def blanked(content: bytes) -> bytes:
    """An annotation file with its codes and times, and no other text.

    Raises:
        ValueError: it is cut short, or something follows its end.
    """
    return b"".join(stored if text is None else _text(text) for stored, text in words(content)) + bytes(2)


def _text(text: bytes) -> bytes:
    told = text.rstrip(b"\0 ")
    if not _CODES.fullmatch(told.decode("latin1")):
        return b""
    return (TEXT << 10 | len(told)).to_bytes(2, "little") + told + bytes(len(told) % 2)
