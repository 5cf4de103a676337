"""Long MP4 videos cut into equal intervals without decoding: a clip shows its interval's frames and no others.

A clip holds the interval's packets and those from the key frame before that they need. An edit list (ISO/IEC
14496-12, 8.6.6) says where showing starts and ends, so that a reader sees the interval to the frame. Words for every
interval come from tables of frames beside the video.
"""

import io
import struct
from collections.abc import Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import msgspec

from ropeway.decoders.libraries import damage, require
from ropeway_shardgen.adapters.adapter import Adapter, Options, Payload, Row
from ropeway_shardgen.adapters.opened import Opened
from ropeway_shardgen.adapters.video import first_stream, opened, stream_fields
from ropeway_shardgen.fields import Fields, lookup
from ropeway_shardgen.formats.frame_tables import FrameTable, words


class ClipOptions(Options, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How a video is cut, and which tables of frames lie beside it."""

    intervals: int
    """Equal intervals of a video: interval i of n holds the frames from ⌊i·N/n⌋ to before ⌊(i+1)·N/n⌋."""
    tables: Mapping[str, FrameTable] = msgspec.field(default_factory=dict)
    """Field → the table whose words it gets."""


class _Video:
    """An open file: its stream and where its frames lie."""

    def __init__(self, path: Path) -> None:
        with damage(require("av", "video").FFmpegError):
            self.container: Any = opened(path, path.suffix.lower())
            self.stream: Any = first_stream(self.container)
            self.fields = stream_fields(self.stream)
            shown = [entry for entry in self.stream.index_entries if not entry.is_discard]
        if path.suffix.lower() == ".avi" or not shown:
            raise ValueError("not an MP4 with an index of frames")
        if shown[-1].pos + shown[-1].size > path.stat().st_size:
            raise ValueError("a video that is cut short")
        self.frames = len(shown)
        self.bytes = sum(entry.size for entry in shown)
        self.start = int(self.stream.start_time or 0)
        self.step = _step(self.stream)

    def close(self) -> None:
        """Close the file."""
        self.container.close()

    def span(self, interval: int, options: ClipOptions) -> range:
        """The frames of an interval."""
        if self.frames < options.intervals:
            raise ValueError(f"{options.intervals} intervals of a video of {self.frames} frames")
        return range(interval * self.frames // options.intervals, (interval + 1) * self.frames // options.intervals)


_OPENED = Opened(_Video)


def rows(path: Path, options: ClipOptions) -> Iterator[Row]:
    """One row per interval: `interval` (from 0), `first_frame` (of the whole video), `frames`, `start` and `seconds`,
    `fps`, `height`, `width`, `codec`, and each table's words in the interval, joined by `;` (None: there are none)."""
    video = _OPENED.get(path)
    found = video.fields
    tables = {name: words(path, table, video.frames) for name, table in options.tables.items()}
    for interval in range(options.intervals):
        span = video.span(interval, options)
        at = {"interval": interval, "first_frame": span.start, "frames": len(span)}
        time = {"start": span.start / found["fps"], "seconds": len(span) / found["fps"]}
        said = {name: ";".join(table(span)) or None for name, table in tables.items()}
        yield Row({**found, **at, **time, **said}, video.bytes // options.intervals)


def read(path: Path, fields: Fields, options: ClipOptions) -> Payload:
    """One clip as MP4; shape (frame, height, width, 3) once decoded."""
    video = _OPENED.get(path)
    span = video.span(int(lookup(fields, "interval") or 0), options)
    with damage(require("av", "video").FFmpegError):
        content = _clip(video, span)
    found = video.fields
    return Payload(
        content=content,
        format="mp4",
        shape=(len(span), found["height"], found["width"], 3),
        axes=("frame", "height", "width", "channel"),
        sampling_rate=found["fps"],
        fields={**found, "first_frame": span.start, "frames": len(span)},
    )


def _step(stream: Any) -> int:
    """Ticks of the stream's clock between frames. That they do come so evenly is checked where they are read."""
    if not stream.guessed_rate:
        raise ValueError("a video that does not say its rate")
    step = 1 / (Fraction(stream.guessed_rate) * Fraction(stream.time_base))
    if step.denominator != 1:
        raise ValueError("frames that do not come at an even rate: intervals cannot be cut by frame")
    return int(step)


def _clip(video: _Video, span: range) -> bytes:
    first, stop = (video.start + frame * video.step for frame in (span.start, span.stop))
    packets = _packets(video, first, stop)
    if sorted(packet.pts for packet in packets if first <= packet.pts < stop) != list(range(first, stop, video.step)):
        raise ValueError(f"frames {span.start} to {span.stop - 1} are not all there, or do not come at an even rate")
    out = io.BytesIO()
    # Bit-exact: nothing of this library's version or of today's date in the file.
    with require("av", "video").open(out, "w", format="mp4", options={"fflags": "+bitexact"}) as writer:
        stream = writer.add_stream_from_template(video.stream)
        stream.time_base = video.stream.time_base
        stream.metadata.clear()
        for packet in packets:
            packet.pts, packet.dts, packet.stream = packet.pts - first, packet.dts - first, stream
            writer.mux(packet)
    return _shown(out.getvalue(), Fraction(len(span)) / Fraction(video.stream.guessed_rate))


def _packets(video: _Video, first: int, stop: int) -> list[Any]:
    """From the key frame before an interval to its last packet, in the order of decoding."""
    video.container.seek(first, stream=video.stream, backward=True)
    found: list[Any] = []
    for packet in video.container.demux(video.stream):
        if packet.dts is None or packet.dts >= stop or (packet.is_keyframe and packet.pts >= stop):
            break
        if packet.is_corrupt:
            raise ValueError("a video that is cut short or damaged")
        found.append(packet)
    while found and found[-1].pts >= stop:  # nothing is decoded after them that needs them
        found.pop()
    if not found or not found[0].is_keyframe or found[0].pts > first:
        raise ValueError("an interval without a key frame before it")
    return found


def _shown(content: bytes, seconds: Fraction) -> bytes:
    """A clip whose edit list ends with its interval: frames after it are only there because others need them."""
    at = content.rfind(b"elst") + 4
    clock = content.rfind(b"mvhd") + 4
    version, entries = content[at], int.from_bytes(content[at + 4 : at + 8])
    if version != 0 or content[clock] != 0 or entries != 1:
        raise ValueError("a clip whose edit list is not of one entry")
    duration = round(seconds * int.from_bytes(content[clock + 12 : clock + 16]))
    return content[: at + 8] + struct.pack(">I", duration) + content[at + 12 :]


ADAPTER = Adapter(
    options=ClipOptions,
    read=read,
    rows=rows,
    locators=lambda _: ("interval",),
    companions=lambda path, options: tuple(table.path(path) for table in options.tables.values()),
)
