"""DICOM waveforms, such as a 12-lead ECG, cut into windows."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ropeway.decoders.dicom import quiet
from ropeway_shardgen.adapters.adapter import Adapter, Options, Payload, Row, array_payload
from ropeway_shardgen.adapters.opened import Opened
from ropeway_shardgen.fields import Fields, lookup
from ropeway_shardgen.formats import dicom_deidentify
from ropeway_shardgen.formats.dicom_file import opened
from ropeway_shardgen.formats.dicom_header import IDENTIFIERS, header_fields, identifiers


class WaveformOptions(Options, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which waveform of the file, and how it is cut."""

    seconds: float
    """Length of a window. What is left after the last whole window is not packed."""
    group: int = 0
    """Which multiplex group, counted from 0 (an ECG file often holds a rhythm and a median beat)."""
    values: Literal["stored", "physical"] = "stored"
    """Stored integers (times `scale` is the unit), or float32 in the unit."""


class Recording:
    """A file whose header is read: its multiplex groups and allowed header entries."""

    def __init__(self, path: Path) -> None:
        with quiet():
            self.dataset: Any = opened(path)
            if "WaveformSequence" not in self.dataset:
                raise ValueError("a DICOM object without waveforms")
            self.header = header_fields(self.dataset)
            self.identifiers = identifiers(self.dataset)

    def group(self, number: int) -> Any:
        """The multiplex group of that number."""
        groups = self.dataset.WaveformSequence
        if number >= len(groups):
            raise ValueError(f"there is no waveform group {number}: the file has {len(groups)}")
        return groups[number]

    def stored(self, number: int) -> "np.ndarray[Any, Any]":
        """Integers [time, channel]."""
        from pydicom.waveforms.numpy_handler import multiplex_array

        return np.asarray(multiplex_array(self.dataset, number, as_raw=True))

    def close(self) -> None:
        """Nothing stays open: the file is in memory."""


_OPENED = Opened(Recording)


def rows(path: Path, options: WaveformOptions) -> Iterator[Row]:
    """One row per whole window: `window` (from 0), `start` (s), `sampling_rate` (Hz), `units`, `scale`, header's."""
    recording = _OPENED.get(path)
    with quiet():
        group = recording.group(options.group)
        rate, size = _window(group, options.seconds)
        scale, units = _scale(group)
        channels, length = int(group.NumberOfWaveformChannels), int(group.NumberOfWaveformSamples)
    fields = {**recording.header, **recording.identifiers, "sampling_rate": rate, "scale": scale, "units": units}
    for window in range(length // size):
        at = {"window": window, "start": window * size / rate}
        yield Row({**fields, **at}, size * channels * (2 if options.values == "stored" else 4))


def read(path: Path, fields: Fields, options: WaveformOptions) -> Payload:
    """One window, [lead, time]."""
    recording = _OPENED.get(path)
    with quiet():
        group = recording.group(options.group)
        rate, size = _window(group, options.seconds)
        scale, units = _scale(group)
        start = int(lookup(fields, "window") or 0) * size
        values = recording.stored(options.group)[start : start + size].T
        leads = tuple(_lead(channel) for channel in group.ChannelDefinitionSequence)
    if values.shape[1] != size:
        raise ValueError(f"the recording ends inside the window that starts at {start / rate:g} s")
    stored = options.values == "stored"
    return array_payload(
        values if stored else (values * scale).astype(np.float32),
        ("lead", "time"),
        units=f"{scale:g} {units}" if stored else units,
        sampling_rate=rate,
        channels=leads,
        fields={**recording.header, "scale": scale, "units": units},
    )


def _window(group: Any, seconds: float) -> tuple[float, int]:
    """Sampling rate (Hz) and values per window."""
    rate = float(group.SamplingFrequency)
    size = round(rate * seconds)
    if size < 1 or abs(size - rate * seconds) > 1e-6:
        raise ValueError(f"a window of {seconds} s is not a whole number of values at {rate} Hz")
    return rate, size


def _scale(group: Any) -> tuple[float, str]:
    """The one scale and unit of all channels; a baseline other than zero, or two scales, are refused."""
    found = {
        (
            float(channel.get("ChannelSensitivity", 1)) * float(channel.get("ChannelSensitivityCorrectionFactor", 1)),
            float(channel.get("ChannelBaseline", 0)),
            str(channel.ChannelSensitivityUnitsSequence[0].CodeValue)
            if "ChannelSensitivityUnitsSequence" in channel
            else "",
        )
        for channel in group.ChannelDefinitionSequence
    }
    if len(found) != 1 or next(iter(found))[1] != 0:
        raise ValueError("channels with different scales, or a baseline, in one waveform")
    scale, _, units = found.pop()
    return scale, units


def _lead(channel: Any) -> str:
    name = str(channel.ChannelSourceSequence[0].CodeMeaning)
    return name.removeprefix("Lead ").partition(" (")[0]


ADAPTER = Adapter(
    options=WaveformOptions,
    read=read,
    rows=rows,
    locators=lambda _: ("window",),
    identifiers=IDENTIFIERS,
    raw=lambda path, key, _: dicom_deidentify.kept(path, key),
)
