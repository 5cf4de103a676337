"""Text in recordings: headers and annotations of EDF and BDF, and WFDB's annotation files."""

from collections.abc import Iterator

from ropeway.decoders.wfdb_annotations import words
from ropeway.privacy_rules import decoded
from ropeway.privacy_words import Words, printable


def edf(content: bytes) -> Iterator[Words]:
    """Header and annotations; the patient's field must be blank or X, as EDF+ writes what is unknown."""
    if len(content) < 256:
        raise ValueError("an EDF cut short")
    patient, recording, start = (decoded(content[a:b]).strip() for a, b in ((8, 88), (88, 168), (168, 176)))
    if patient.replace("X", "").strip():
        yield Words("patient field", patient, "person's name")
    yield Words("recording field", recording)
    if start not in ("01.01.85", ""):
        yield Words("start date", start, "date")
    size, signals = int(content[184:192]), int(content[252:256])
    yield from printable("signal headers", content[256:size])
    yield from printable("annotations", b"\0".join(_annotations(content, size, signals)))


def _annotations(content: bytes, size: int, signals: int) -> Iterator[bytes]:
    """The bytes of each data block's annotation signals."""
    width = 3 if content[:8] == b"\xffBIOSEMI" else 2
    labels = [content[256 + 16 * n : 272 + 16 * n].strip() for n in range(signals)]
    counts = 256 + 216 * signals  # where the samples of a block are counted, 8 characters a signal
    lengths = [width * int(content[counts + 8 * n : counts + 8 * n + 8]) for n in range(signals)]
    if sum(lengths) < 1:
        return
    for block in range(size, len(content), sum(lengths)):
        at = block
        for label, length in zip(labels, lengths, strict=True):
            if label in (b"EDF Annotations", b"BDF Annotations"):
                yield content[at : at + length].rstrip(b"\0")
            at += length


def wfdb_annotations(content: bytes) -> Iterator[Words]:
    """The texts that go with annotations."""
    for _, text in words(content):
        if text is not None:
            yield Words("annotation", decoded(text.rstrip(b"\0")))
