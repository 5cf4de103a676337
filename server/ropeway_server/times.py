"""Points in time as people write them."""

import re
from datetime import UTC, datetime, timedelta

from ropeway.errors import UsageError

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
    end = _in_zone(end)
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
    return _in_zone(moment)


def _in_zone(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
