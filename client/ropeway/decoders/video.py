"""Video, decoded by FFmpeg (PyAV): all frames, or only those of a clip."""

import io
from collections.abc import Iterator
from itertools import chain
from typing import Any, BinaryIO

import numpy as np

from ropeway.decoders.containers import check_whole
from ropeway.decoders.libraries import damage, require
from ropeway.samples import Array

_DEMUXERS = {"mp4": "mov", "mov": "mov", "avi": "avi", "mkv": "matroska", "webm": "matroska"}
"""FFmpeg's reader of each format. It is never guessed from the content: some readers open other files and URLs."""

READ = 128 << 10
"""Bytes of one read: a request of a remote file."""

_EVEN = 0.25
"""Frames that a display time may be off the even rate; containers round times to milliseconds."""


def decode_video(content: memoryview, form: str) -> Array:
    """All frames of the first video stream, RGB uint8 (frames, height, width, 3).

    A file that is cut short is refused, and so are damaged frames where their codec can tell. Damage to the structure
    of a Matroska file may lose frames, which nothing in it tells: that is what the checksums of shards are for.

    Args:
        content: of the file.
        form: mp4, mov, avi, mkv or webm.
    """
    av = require("av", "video")
    check_whole(content, form)
    with damage(av.FFmpegError), _opened(av, io.BytesIO(content), form) as container:
        stream = _first(container)
        frames = [frame.to_ndarray(format="rgb24") for frame in _frames(container, stream)]
        if form in ("mp4", "mov") and len(frames) != _shown(stream):
            raise ValueError(f"{len(frames)} of {_shown(stream)} frames decode")
        return np.stack(frames)


def decode_clip(file: BinaryIO, form: str, numbers: range) -> Array:
    """Some frames of the first video stream, RGB uint8 (frames, height, width, 3).

    Reads the container's header and index, and what lies between the last key frame before the first frame wanted and
    the last one. Frames are found by their display times, so they must come at an even rate.

    Args:
        file: seekable.
        form: mp4, mov, avi, mkv or webm.
        numbers: of the frames, in order of display from 0.

    Raises:
        ValueError: the video is shorter, damaged, or its frames do not come at an even rate.
    """
    av = require("av", "video")
    with damage(av.FFmpegError), _opened(av, file, form) as container:
        stream = _first(container)
        if form == "avi" and stream.codec_context.has_b_frames:
            raise ValueError("an AVI whose frames are stored out of order, without times: take it whole")
        frames = _from(container, stream, numbers.start)
        found: list[Array] = []
        for number, frame in frames:
            if number == numbers[len(found)]:
                found.append(frame.to_ndarray(format="rgb24"))
                if len(found) == len(numbers):
                    return np.stack(found)
            elif number > numbers[len(found)]:
                break
        raise ValueError(f"no frame {numbers[len(found)]}: the video ends before, or is damaged")


def decode_spread(content: memoryview, form: str, count: int) -> Iterator[tuple[int, Array]]:
    """Frames spread evenly from the first to the last, each RGB uint8 (height, width, 3), and its place among them.

    A video of fewer frames gives some several times. Only one frame is held at a time.

    Args:
        content: of the file.
        form: mp4, mov, avi, mkv or webm.
        count: how many.

    Raises:
        ValueError: there are no frames, or damaged ones.
    """
    av = require("av", "video")
    check_whole(content, form)
    with damage(av.FFmpegError):
        with _opened(av, io.BytesIO(content), form) as container:
            stream = _first(container)
            packets = sum(1 for packet in container.demux(stream) if packet.size)
            # An edit list may leave out frames that are there only because others need them: so clips are cut.
            frames = _shown(stream) if form in ("mp4", "mov") else packets
        if not frames:
            raise ValueError("a video without frames")
        wanted = np.rint(np.linspace(0, frames - 1, count)).astype(int).tolist()
        with _opened(av, io.BytesIO(content), form) as container:
            place = 0
            for number, frame in enumerate(_frames(container, _first(container))):
                pixels = frame.to_ndarray(format="rgb24") if place < count and wanted[place] == number else None
                while pixels is not None and place < count and wanted[place] == number:
                    yield place, pixels
                    place += 1
                if place == count:
                    return
    raise ValueError(f"no frame {wanted[place]} of {frames}: damaged")


def _from(container: Any, stream: Any, wanted: int) -> Iterator[tuple[int, Any]]:
    """Numbered frames from a key frame on that is shown no later than the one wanted."""
    if not stream.guessed_rate:
        raise ValueError("a video that does not say its rate")
    target = wanted
    if target:
        container.seek(_time(stream, target), stream=stream)
    while True:
        frames = _numbered(container, stream)
        first = next(frames, None)
        if first is None:
            raise ValueError(f"no frame {wanted}: the video ends before, or is damaged")
        if first[0] <= wanted or not target:
            return chain((first,), frames)
        # The key frame is shown after frames that are stored after it, and those need the one before.
        target = max(0, target - (first[0] - wanted) - 1)
        container.seek(_time(stream, target), stream=stream)


def _time(stream: Any, number: int) -> int:
    return (stream.start_time or 0) + int(number / stream.guessed_rate / stream.time_base)


def _numbered(container: Any, stream: Any) -> Iterator[tuple[int, Any]]:
    """Frames and their numbers, by the time they are shown."""
    for frame in _frames(container, stream):
        if frame.pts is None:
            raise ValueError("a frame without a time")
        number = (frame.pts - (stream.start_time or 0)) * stream.time_base * stream.guessed_rate
        if abs(number - round(number)) > _EVEN:
            raise ValueError("frames that do not come at an even rate: take the video whole")
        yield round(number), frame


def _shown(stream: Any) -> int:
    """Frames of an MP4 that its edit list does not leave out."""
    return sum(not entry.is_discard for entry in stream.index_entries)


def _opened(av: Any, file: BinaryIO, form: str) -> Any:
    options = {"fpsprobesize": "0", "analyzeduration": "0"}  # else dozens of frames are read only to guess the rate
    return av.open(file, format=_DEMUXERS[form], buffer_size=READ, options=options)


def _first(container: Any) -> Any:
    if not container.streams.video:
        raise ValueError("a file without video")
    stream = container.streams.video[0]
    stream.codec_context.thread_count = 1  # the loader has threads of its own
    stream.codec_context.options = {"err_detect": "explode"}
    return stream


def _frames(container: Any, stream: Any) -> Iterator[Any]:
    for packet in container.demux(stream):
        if packet.is_corrupt:
            raise ValueError("cut short or damaged")
        for frame in packet.decode():
            if frame.is_corrupt:
                raise ValueError("a damaged frame")
            yield frame
