"""Whether a video file is all there, by its outermost lengths: video libraries decode what is left without a word."""

from collections.abc import Iterator


def check_whole(content: memoryview, form: str) -> None:
    """Raise ValueError when a file's own lengths say that it goes on after its end, or is not of this format at all.

    Args:
        content: of the file.
        form: mp4, mov, avi, mkv or webm.
    """
    boxes = {"avi": _riff, "mkv": _ebml, "webm": _ebml}.get(form, _boxes)
    end = 0
    for end in boxes(content):
        if end > len(content):
            raise ValueError(f"cut short: {len(content)} bytes, {end} are needed")
    if not end:
        raise ValueError(f"not a file of format {form}")


def _boxes(content: memoryview) -> Iterator[int]:
    """Ends of an ISO file's boxes."""
    at = 0
    while at + 8 <= len(content):
        size, name = int.from_bytes(content[at : at + 4]), bytes(content[at + 4 : at + 8])
        if not name.isalnum() and name.strip():
            break
        if size == 1:
            size = int.from_bytes(content[at + 8 : at + 16])
        at = at + size if size else len(content)  # a size of 0: to the end
        if size and size < 8:
            raise ValueError(f"a box of {size} bytes")
        yield at


def _riff(content: memoryview) -> Iterator[int]:
    """Ends of an AVI's RIFF chunks; large files have several."""
    at = 0
    while bytes(content[at : at + 4]) == b"RIFF":
        at += 8 + int.from_bytes(content[at + 4 : at + 8], "little")
        yield at
        at += at % 2


def _ebml(content: memoryview) -> Iterator[int]:
    """Ends of a Matroska file's header and segment; a live recording's segment has no length."""
    at = 0
    while at + 12 <= len(content) and bytes(content[at : at + 4]) in (b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"):
        width = 9 - content[at + 4].bit_length()
        size = int.from_bytes(content[at + 4 : at + 4 + width]) & ((1 << 7 * width) - 1)
        unknown = size == (1 << 7 * width) - 1
        at = len(content) if unknown else at + 4 + width + size
        yield at
