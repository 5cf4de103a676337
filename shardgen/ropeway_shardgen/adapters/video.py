"""Videos (.avi, .mp4, .mov), passed on as they are: never decoded, never encoded again.

What a container says besides its pictures (titles, dates, comments, sound) may tell who is in it. `video_tags` blanks
it in place; a file that says nothing of the kind is passed on byte for byte.
"""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from ropeway.decoders.containers import check_whole
from ropeway.decoders.libraries import damage, require
from ropeway.index import Value
from ropeway_shardgen.adapters.adapter import Adapter, Options, Payload, Row
from ropeway_shardgen.fields import Fields
from ropeway_shardgen.formats.video_tags import blanked

DEMUXERS = {".avi": "avi", ".mp4": "mov", ".m4v": "mov", ".mov": "mov"}
"""FFmpeg's reader of a file name's ending. It is never guessed from the content: some readers open other files."""


class VideoOptions(Options, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Videos need no telling."""


def rows(path: Path, _options: VideoOptions) -> Iterator[Row]:
    """One row: `fps` (frames a second), `height`, `width`, `codec`."""
    with damage(require("av", "video").FFmpegError), opened(path, path.suffix.lower()) as container:
        found = stream_fields(first_stream(container))
    yield Row(found, path.stat().st_size)


def read(path: Path, _fields: Fields, _options: VideoOptions) -> Payload:
    """The file, (frame, height, width, channel) once decoded; fields as in `rows`, `frames` (those that are shown),
    `seconds`, and `blanked` (how many boxes of the container were emptied because they could tell who it is).

    Raises:
        ValueError: it is not a video of these formats, cut short or damaged, or an AVI with sound.
    """
    suffix = path.suffix.lower()
    form = form_of(suffix)
    content = path.read_bytes()
    check_whole(memoryview(content), form)
    with damage(require("av", "video").FFmpegError):
        content, emptied = blanked(content, form)
        with opened(io.BytesIO(content), suffix) as container:
            stream = first_stream(container)
            found = stream_fields(stream)
            frames = _frames(container, stream)
    return Payload(
        content=content,
        format=form,
        shape=(frames, int(found["height"]), int(found["width"]), 3),
        axes=("frame", "height", "width", "channel"),
        sampling_rate=found["fps"],
        fields={**found, "frames": frames, "seconds": frames / found["fps"], "blanked": emptied},
    )


def form_of(suffix: str) -> str:
    """The stored format of a file name's ending.

    Raises:
        ValueError: it is none that is packed.
    """
    if suffix not in DEMUXERS:
        raise ValueError(f"a video ending in {suffix!r}; packed are: {', '.join(DEMUXERS)}")
    return suffix[1:].replace("m4v", "mp4")


def opened(file: Path | BinaryIO, suffix: str) -> Any:
    """A container, opened by the reader of its file name's ending."""
    form_of(suffix)
    return require("av", "video").open(file, format=DEMUXERS[suffix])


def first_stream(container: Any) -> Any:
    """The one video stream.

    Raises:
        ValueError: there is none, or several.
    """
    if len(container.streams.video) != 1:
        raise ValueError(f"a file with {len(container.streams.video)} video streams")
    return container.streams.video[0]


def stream_fields(stream: Any) -> dict[str, Any]:
    """`fps`, `height`, `width` and `codec` of a stream."""
    if not stream.average_rate:
        raise ValueError("a video that does not say its rate")
    fields: dict[str, Value] = {
        "fps": float(stream.average_rate),
        "height": stream.height,
        "width": stream.width,
        "codec": stream.codec_context.name,
    }
    return fields


def _frames(container: Any, stream: Any) -> int:
    """Frames that are shown, counted by reading all of them: headers are often wrong."""
    count = 0
    for packet in container.demux(stream):
        if packet.is_corrupt:
            raise ValueError("a video that is cut short or damaged")
        count += bool(packet.size) and not packet.is_discard
    if not count:
        raise ValueError("a video without frames")
    return count


ADAPTER = Adapter(options=VideoOptions, read=read, rows=rows)
