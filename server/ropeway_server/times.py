"""Points in time as people write them."""

import re
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, TypeAlias

from pydantic import BeforeValidator

from ropeway.errors import UsageError


def _text(value: object) -> object:
    """Refuses what would count as seconds since 1970: `0`, that somebody meant for "no"."""
    if not isinstance(value, str) or not re.search(r"\d-\d", value):
        raise ValueError("a time is text, such as 2027-01-31 or 2027-01-31T12:00:00Z")
    return value


Day: TypeAlias = Annotated[date, BeforeValidator(_text)]
"""A day in a request."""

Moment: TypeAlias = Annotated[datetime, BeforeValidator(_text)]
"""A point in time in a request."""

_LENGTH = re.compile(r"(\d{1,5})([hd])")
_UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1)}


def until(text: str) -> datetime | None:
    """When something ends: `never`, so long from now (`90d`, `12h`), or a date or time (ISO 8601, UTC unless told).

    Raises:
        UsageError: it is none of these, or has passed.
    """
    if text == "never":
        return None
    length = _length(text)
    return to_come(_moment(text) if length is None else datetime.now(UTC) + length)


def to_come(end: datetime) -> datetime:
    """When something ends, UTC unless told.

    Raises:
        UsageError: it has passed.
    """
    end = in_utc(end)
    if end <= datetime.now(UTC):
        raise UsageError(f"{end:%Y-%m-%d %H:%M %Z} has passed: give a time to come, such as 90d")
    return end


def since(text: str) -> datetime:
    """When something began: so long ago (`7d`, `12h`), or a date or time (ISO 8601, UTC unless told).

    Raises:
        UsageError: it is none of these.
    """
    length = _length(text)
    return _moment(text) if length is None else datetime.now(UTC) - length


def _length(text: str) -> timedelta | None:
    found = _LENGTH.fullmatch(text)
    return int(found[1]) * _UNITS[found[2]] if found else None


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"not a time: {text!r} (90d, 12h, 2027-01-31, 2027-01-31T12:00)") from error
    return in_utc(moment)


def in_utc(moment: datetime) -> datetime:
    """A point in time in UTC, which it is in unless told.

    Raises:
        UsageError: it lies before the year 1 or after 9999 there.
    """
    try:
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except OverflowError as error:
        raise UsageError(f"{moment.isoformat()} is outside of the years 1 to 9999 in UTC") from error
