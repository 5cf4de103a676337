"""The audit's events as text, and the chain of hashes over them: pure.

Each digest is over the one before and the event's text, so that a changed, removed or inserted event breaks every
digest after it. Whoever may write to the database could compute the whole chain anew; a digest that is kept elsewhere
(`ropeway audit --check` prints the last one) finds that, and a cut tail, too.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import msgspec

from ropeway.errors import FormatError

START = "0" * 64
"""What the first event's digest is over."""

Detail = Mapping[str, str | int | float | bool | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What somebody did.

    Attributes:
        principal: who; `cli:USER` for an operator at the database.
        action: what, in words: `view made`, `urls given`, `token created`, …
        token: id of the token it was done by.
        view: id of the view it was about.
        datasets: that it was about.
        objects: shards by path, or `dataset/key` of single samples.
        agreements: that the right to it came from.
        detail: what else there is to say.
        at: when, ISO 8601 in UTC.
    """

    principal: str
    action: str
    token: str = ""
    view: str = ""
    datasets: tuple[str, ...] = ()
    objects: tuple[str, ...] = ()
    agreements: tuple[str, ...] = ()
    detail: Detail = field(default_factory=dict)
    at: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="milliseconds"))


_DECODER = msgspec.json.Decoder(Event)  # made here: threads that are first to decode a class at once crash msgspec


@dataclass(frozen=True, slots=True)
class Logged:
    """An event with its place in the log."""

    number: int
    event: Event
    digest: str


def dumps(event: Event) -> str:
    """The text that is kept and hashed."""
    return msgspec.json.encode(event).decode()


def loads(text: str) -> Event:
    """The event of a text.

    Raises:
        FormatError: it is none.
    """
    try:
        return _DECODER.decode(text)
    except msgspec.MsgspecError as error:
        raise FormatError(f"not an event of the audit: {error}") from error


def digest(before: str, text: str) -> str:
    """The digest of an event after the one that has the digest `before`."""
    return hashlib.sha256(f"{before}\n{text}".encode()).hexdigest()


def check(rows: Iterable[tuple[int, str, str]]) -> Iterator[Logged]:
    """The events of a whole log, given as number, text and digest from the first one on.

    Raises:
        FormatError: the log was tampered with; it names the event where that shows.
    """
    before, expected = START, 1
    for number, text, found in rows:
        if number != expected:
            raise FormatError(f"the audit was tampered with: event {expected} is missing, {number} comes in its place")
        if digest(before, text) != found:
            raise FormatError(f"the audit was tampered with: event {number} is not what was logged")
        yield Logged(number, loads(text), found)
        before, expected = found, number + 1
