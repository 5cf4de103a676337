"""EDF, EDF+ and BDF recordings cut into windows: one after the other, or one around each event of a file beside it.

No window spans a gap of a recording that has some (EDF+D)."""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np

from ropeway.index import Value
from ropeway_shardgen.adapters.adapter import Adapter, Options, Payload, Row, array_payload
from ropeway_shardgen.adapters.opened import Opened
from ropeway_shardgen.fields import Fields, lookup
from ropeway_shardgen.formats import bounded, edf_blank
from ropeway_shardgen.formats.edf_file import EdfFile, PlainFile, Run
from ropeway_shardgen.formats.edf_gaps import GappedFile, has_gaps
from ropeway_shardgen.formats.edf_sides import Event, epochs, events

OLDEST = 90
"""Years. Who is older counts as of this age, as in 45 CFR 164.514(b)(2)(i)(C)."""


class EventOptions(Options, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Windows around the events of a file beside the recording."""

    suffix: str
    """Of that file, which otherwise has the recording's name: `.rec`."""
    before: float
    """Seconds of a window before the event. Near the ends of a recording, and near gaps, it is moved to lie inside."""


class EdfOptions(Options, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which signals, and how they are cut."""

    seconds: float
    """Length of a window. What is left after the last whole window is not packed."""
    stride: float | None = None
    """Seconds from the start of a window to the next one's; left out, as long as a window."""
    channels: tuple[str, ...] = ()
    """Signals, in the order wanted; none given: all. They must have one sampling rate."""
    label: str = ""
    """A regular expression whose first group is a signal's name, such as `EEG (.+)-(?:REF|LE)`; signals whose label
    it does not match are not there. Left out, the label is the name. Upper and lower case count as one."""
    values: Literal["stored", "physical"] = "physical"
    """Float32 in the unit, which must be one; or stored integers, which `scale` and `offset` make physical: these must
    be one too."""
    around: EventOptions | None = None
    epochs: Mapping[str, str] = {}
    """Field → path of a file with one word per window, from the recording's folder; `{stem}` is the recording's name,
    `{folder}` its folder's. Windows after the last word have none."""


class Recording:
    """An opened file, and who the recording is of."""

    def __init__(self, path: Path) -> None:
        with path.open("rb") as opened:
            head = opened.read(256)
        self.patient = _patient(head[8:88].decode("latin1"))
        self.file: EdfFile = GappedFile(path) if has_gaps(head) else PlainFile(path)

    def close(self) -> None:
        """Close the file."""
        self.file.close()

    def chosen(self, options: EdfOptions) -> dict[int, str]:
        """Numbers and names of the chosen signals, in the order wanted."""
        names = {number: _name(signal.label, options.label) for number, signal in enumerate(self.file.signals)}
        named = {number: name for number, name in names.items() if name}
        if not options.channels and named:
            return named
        folded = {name.casefold(): number for number, name in reversed(named.items())}
        missing = [name for name in options.channels if name.casefold() not in folded]
        if missing or not named:
            there = ", ".join(signal.label for signal in self.file.signals)
            raise ValueError(f"there is no signal {missing[0] if missing else options.label!r}; there is: {there}")
        return {folded[name.casefold()]: name for name in options.channels}

    def one(self, numbers: Iterable[int], name: Literal["rate", "unit"]) -> Any:
        """What all chosen signals must have in common."""
        values = {getattr(self.file.signals[number], name) for number in numbers}
        if len(values) != 1:
            raise ValueError(f"signals of different {name}s ({', '.join(map(str, sorted(values)))}): choose channels")
        return values.pop()


_OPENED = Opened(Recording)


def companions(path: Path, options: EdfOptions) -> Iterable[Path]:
    """The files of events and epochs."""
    return [*([path.with_suffix(options.around.suffix)] if options.around else []), *_epochs(path, options).values()]


def rows(path: Path, options: EdfOptions) -> Iterator[Row]:
    """One row per window: `window` (from 0), `first` (its first value), `start` (s), `sampling_rate` (Hz),
    `annotations` (the words annotated in the window, joined by `;`), and `patient`, `age`, `sex` of the header.

    With events: `event`, `channel` and `code` as written, and `event_start`, `event_stop`: seconds from the window's
    start. With epochs: their fields.
    """
    recording = _OPENED.get(path)
    numbers = recording.chosen(options)
    rate = float(recording.one(numbers, "rate"))
    size = _values(rate, options.seconds)
    runs = min((recording.file.runs(number) for number in numbers), key=lambda runs: runs[-1].stop)
    for window, (first, start, found) in enumerate(_windows(path, options, rate, runs)):
        inside = ";".join(word for onset, word in recording.file.marks if start <= onset < start + size / rate)
        at: dict[str, Value] = {"window": window, "first": first, "start": start, "sampling_rate": rate}
        row = {**recording.patient, **at, "annotations": inside or None, **found}
        yield Row(row, size * len(numbers) * (2 if options.values == "stored" else 4))


def read(path: Path, fields: Fields, options: EdfOptions) -> Payload:
    """One window, [channel, time]."""
    recording = _OPENED.get(path)
    numbers = recording.chosen(options)
    rate = float(recording.one(numbers, "rate"))
    first, size = int(lookup(fields, "first") or 0), _values(rate, options.seconds)
    scaling = _scaling(recording, numbers, options)
    stored = options.values == "stored"
    bounded.check_array(len(numbers) * size * 4)
    top = max(recording.file.signals[number].digital[1] for number in numbers)
    values = np.empty((len(numbers), size), np.float32 if not stored else np.int16 if top < 2**15 else np.int32)
    for row, number in enumerate(numbers):
        signal = recording.file.values(number, first, size, stored=stored)
        if len(signal) != size:
            raise ValueError(f"the recording ends inside the window that starts at {first / rate:g} s")
        values[row] = signal
    return array_payload(
        values,
        ("channel", "time"),
        units="" if stored else str(scaling["units"]),
        sampling_rate=rate,
        channels=tuple(numbers.values()),
        fields=scaling,
    )


Window: TypeAlias = tuple[int, float, dict[str, Value]]
"""Its first value, when it starts (s), and what is said of it beside the recording."""


def _windows(path: Path, options: EdfOptions, rate: float, runs: list[Run]) -> Iterator[Window]:
    """The windows of a recording. None spans a gap."""
    size = _values(rate, options.seconds)
    columns = {name: epochs(file) for name, file in _epochs(path, options).items()}
    if columns and len(runs) > 1:
        raise ValueError("epochs of a recording with gaps: which word belongs to which window is not known")
    if options.around is not None:
        for number, event in enumerate(events(path.with_suffix(options.around.suffix))):
            yield _around(event, number, options.around.before, rate, size, runs)
        return
    number, stride = 0, _values(rate, options.stride or options.seconds)
    for run in runs:
        for first in range(run.first, run.stop - size + 1, stride):
            said: dict[str, Value] = {
                name: words[number] if number < len(words) else None for name, words in columns.items()
            }
            yield first, run.start + (first - run.first) / rate, said
            number += 1


def _around(event: Event, number: int, before: float, rate: float, size: int, runs: list[Run]) -> Window:
    """The window around an event, moved to lie in the stretch that the event is in."""
    for run in runs:
        if run.start <= event.start < run.start + (run.stop - run.first) / rate:
            break
    else:
        raise ValueError(f"event {number} is at {event.start:g} s, where nothing was recorded")
    if run.stop - run.first < size:
        raise ValueError(f"event {number} is in {(run.stop - run.first) / rate:g} s of recording, less than a window")
    wanted = run.first + round((event.start - before - run.start) * rate)
    first = min(max(wanted, run.first), run.stop - size)
    start = run.start + (first - run.first) / rate
    from_start = {"event_start": event.start - start, "event_stop": event.stop - start}
    return first, start, {"event": number, "channel": event.channel, "code": event.code, **from_start}


def _epochs(path: Path, options: EdfOptions) -> dict[str, Path]:
    names = {"stem": path.stem, "folder": path.parent.name}
    return {name: path.parent / file.format(**names) for name, file in options.epochs.items()}


def _name(label: str, pattern: str) -> str:
    """A signal's name; empty where the pattern does not know its label."""
    if not pattern:
        return label.strip()
    match = re.fullmatch(pattern, label.strip(), re.IGNORECASE)
    return match[1] if match else ""


def _patient(header: str) -> dict[str, Value]:
    """Code, age (years) and sex of an EDF+ patient field (https://www.edfplus.info/specs/edfplus.html#additionalspecs).

    The name and the birth date never leave it. The TUH corpora write the age as a further word, `Age:56`.
    """
    words = header.split()
    age = re.search(r"\bAge:(\d+)", header)
    sex = words[1] if len(words) > 1 and words[1] in ("M", "F") else None
    code = words[0] if words and words[0] != "X" else None
    return {"patient": code, "age": min(int(age[1]), OLDEST) if age else None, "sex": sex}


def _scaling(recording: Recording, numbers: Mapping[int, str], options: EdfOptions) -> dict[str, Value]:
    """What makes stored integers physical: one scale for all signals, so that they may be subtracted as they are."""
    units = str(recording.one(numbers, "unit"))
    if options.values == "physical":
        return {"units": units}
    signals = [recording.file.signals[number] for number in numbers]
    if len({(signal.physical, signal.digital) for signal in signals}) != 1:
        raise ValueError('signals of different scales: their stored values are not alike, take values = "physical"')
    return {"scale": signals[0].scale, "offset": signals[0].offset, "units": units}


def _values(rate: float, seconds: float) -> int:
    size = round(rate * seconds)
    if size < 1 or abs(size - rate * seconds) > 1e-6:
        raise ValueError(f"a window of {seconds} s is not a whole number of values at {rate} Hz")
    return size


ADAPTER = Adapter(
    options=EdfOptions,
    read=read,
    rows=rows,
    locators=lambda _: ("first",),
    identifiers=("patient",),
    companions=companions,
    raw=lambda path, key, _: edf_blank.kept(path, key),
)
