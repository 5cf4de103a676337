"""Headers of WFDB records (.hea): which signals there are, how they are stored, and what is noted of the patient.

Format: header(5) of the WFDB Applications Guide, https://physionet.org/physiotools/wag/header-5.htm.
"""

import math
import re
from dataclasses import dataclass
from pathlib import Path

from ropeway.index import Value

NOTES = ("age", "sex", "dx", "rx", "hx", "sx")
"""The comments that are read; others may say who the patient is. As the PhysioNet/CinC Challenges of 2020 and 2021
write them: age, sex, diagnoses, medication, history, symptoms (https://physionet.org/content/challenge-2021/)."""

OLDEST = 90
"""Years. Who is older counts as of this age, as in 45 CFR 164.514(b)(2)(i)(C)."""

_LARGEST = 1 << 20
"""Bytes. Headers are a few hundred bytes long."""

_STORAGE = re.compile(r"(?P<storage>\d+)(?:x(?P<per_frame>\d+))?(?::(?P<skew>\d+))?(?:\+(?P<offset>\d+))?")
_GAIN = re.compile(r"(?P<gain>[-+.\deE]+)(?:\((?P<baseline>[-+]?\d+)\))?(?:/(?P<units>\S+))?")
_UNGAUGED = 200.0
"""Gain of a signal whose header gives none, or zero: WFDB_DEFGAIN of wfdb.h."""


@dataclass(frozen=True, slots=True)
class Signal:
    """One signal of a record.

    Attributes:
        place: its position in the header.
        file, storage, offset: the file in the header's folder, its storage format, and bytes before its first value.
        gain, baseline, units: value in `units` = (stored integer − baseline) / gain.
        checksum: of all its stored integers, modulo 2¹⁶; None where the header gives none.
        name: the lead.
    """

    place: int
    file: str
    storage: int
    offset: int
    gain: float
    baseline: int
    units: str
    checksum: int | None
    name: str


@dataclass(frozen=True, slots=True)
class Header:
    """What a header says.

    Attributes:
        rate: Hz, of all signals.
        length: values of each signal.
        notes: the comments of `NOTES`; None where there is no such comment, or no age in it.
    """

    signals: tuple[Signal, ...]
    rate: float
    length: int
    notes: dict[str, Value]

    def chosen(self, leads: tuple[str, ...]) -> list[Signal]:
        """The signals of these names, in that order, upper and lower case alike; or all.

        Raises:
            ValueError: there is none of that name, or two.
        """
        names = [signal.name.casefold() for signal in self.signals]
        for lead in leads:
            if names.count(lead.casefold()) != 1:
                there = ", ".join(signal.name for signal in self.signals)
                raise ValueError(f"lead {lead!r} is there {names.count(lead.casefold())} times; the leads are: {there}")
        return [self.signals[names.index(lead.casefold())] for lead in leads] or list(self.signals)


def read_header(path: Path) -> Header:
    """The header of a record of one segment.

    Raises:
        ValueError: it is none, of several segments, or needs what is not read here; the message says what.
    """
    said, comments = header_words(path)
    if not said or len(said[0]) < 4:
        raise ValueError("a WFDB header whose first line lacks the number of signals, sampling rate or length")
    if "/" in said[0][0]:
        raise ValueError("a WFDB header of several segments: give its segments' headers as files")
    number, rate, length = _record(said[0])
    if len(said) != 1 + number:
        raise ValueError(f"a WFDB header of {number} signals has {len(said) - 1} lines of signals")
    return Header(tuple(_signal(place, words) for place, words in enumerate(said[1:])), rate, length, _notes(comments))


def header_words(path: Path) -> tuple[list[list[str]], list[str]]:
    """The words of each line of a header that is no comment, and the comments.

    Raises:
        ValueError: it is larger than any header.
    """
    if path.stat().st_size > _LARGEST:
        raise ValueError(f"not a WFDB header: larger than {_LARGEST} bytes")
    lines = path.read_text("latin1").splitlines()
    comments = [line.lstrip("# \t") for line in lines if line.startswith("#")]
    return [line.split() for line in lines if line.strip() and not line.startswith("#")], comments


def _record(words: list[str]) -> tuple[int, float, int]:
    """Number of signals, sampling rate (Hz) and length of a record line."""
    try:
        number, rate, length = int(words[1]), float(words[2].partition("/")[0].partition("(")[0]), int(words[3])
    except ValueError:
        raise ValueError(
            f"not a record line of a WFDB header: {len(words)} words, not numbers where they must"
        ) from None
    if number < 1 or length < 1 or not (math.isfinite(rate) and rate > 0):
        raise ValueError(f"a WFDB header of {number} signals, {rate:g} Hz, {length} values")
    return number, rate, length


def _signal(place: int, words: list[str]) -> Signal:
    stored = _STORAGE.fullmatch(words[1]) if len(words) > 1 else None
    gain = _GAIN.fullmatch(words[2] if len(words) > 2 else f"{_UNGAUGED}")
    if stored is None or gain is None:
        raise ValueError(f"not a signal line of a WFDB header: {' '.join(words[:3])}")
    if int(stored["per_frame"] or 1) != 1 or int(stored["skew"] or 0) != 0:
        raise ValueError(f"WFDB storage {words[1]}: several values per frame, or a skew, is not read")
    if Path(words[0]).name != words[0]:
        raise ValueError(f"a WFDB header that names a signal file outside its folder: {words[0]}")
    zero = int(words[4]) if len(words) > 4 else 0
    return Signal(
        place=place,
        file=words[0],
        storage=int(stored["storage"]),
        offset=int(stored["offset"] or 0),
        gain=float(gain["gain"]) or _UNGAUGED,
        baseline=zero if gain["baseline"] is None else int(gain["baseline"]),
        units=gain["units"] or "mV",
        checksum=int(words[6]) % (1 << 16) if len(words) > 6 else None,
        name=" ".join(words[8:]),
    )


def _notes(comments: list[str]) -> dict[str, Value]:
    found: dict[str, Value] = dict.fromkeys(NOTES)
    for comment in comments:
        name, colon, value = comment.partition(":")
        if colon and name.strip().lower() in NOTES:
            found[name.strip().lower()] = value.strip() or None
    found["age"] = _age(found["age"])
    return found


def _age(noted: Value) -> Value:
    """Years, at most `OLDEST`; None where it is not known (`NaN`, `Unknown`, a negative number)."""
    try:
        years = float(str(noted))
    except ValueError:
        return None
    if math.isnan(years) or years < 0:
        return None
    years = min(years, OLDEST)
    return int(years) if years == int(years) else years
