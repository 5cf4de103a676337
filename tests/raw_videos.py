"""Small videos in true containers, for tests of adapters and recipes."""

import io
from pathlib import Path
from typing import Any

import av
import numpy as np

Array = np.ndarray[Any, Any]
_CODECS = {
    ".avi": ("avi", "mjpeg", "yuvj420p"),
    ".mp4": ("mp4", "libx264", "yuv420p"),
    ".mov": ("mov", "mpeg4", "yuv420p"),
}


def video(
    path: Path,
    *,
    frames: int = 12,
    height: int = 32,
    width: int = 48,
    rate: int = 25,
    gop: int = 6,
    between: int = 2,
    tags: dict[str, str] | None = None,
    sound: bool = False,
) -> Path:
    """A video whose frame n has a stripe that grows with n; H.264 has `between` B-frames in a row."""
    container, codec, pixels = _CODECS[path.suffix]
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", format=container) as writer:
        writer.metadata.update(tags or {})
        stream: Any = writer.add_stream(codec, rate=rate)
        stream.height, stream.width, stream.gop_size, stream.pix_fmt = height, width, gop, pixels
        if codec == "libx264":
            stream.options = {"bf": str(between), "sc_threshold": "0", "preset": "ultrafast", "b_adapt": "0"}
        speech: Any = writer.add_stream("aac" if path.suffix != ".avi" else "pcm_s16le", rate=8000) if sound else None
        for number in range(frames):
            picture = np.zeros((height, width, 3), np.uint8)
            picture[:, : 2 + number % (width - 2)] = 40 + number % 200
            writer.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        writer.mux(stream.encode())
        if sound:
            _speak(writer, speech)
    return path


def decoded(content: bytes | Path) -> Array:
    """Grey levels of all frames that are shown, by FFmpeg."""
    with av.open(io.BytesIO(content if isinstance(content, bytes) else content.read_bytes()), "r") as container:
        return np.stack([frame.to_ndarray(format="gray") for frame in container.decode(video=0)])


def _speak(writer: Any, speech: Any) -> None:
    wave = (np.sin(np.arange(8192) / 5) * 9000).astype(np.int16)[None]
    sound: Any = av.AudioFrame.from_ndarray(wave, format="s16", layout="mono")
    sound.sample_rate = 8000
    writer.mux(speech.encode(sound))
    writer.mux(speech.encode())
