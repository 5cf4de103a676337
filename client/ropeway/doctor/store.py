"""The store or the service: whether it answers, lets this user in, holds datasets, and agrees on the time."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import urllib3

from ropeway.catalog import Catalog, StoreCatalog, connect
from ropeway.doctor.finding import Finding
from ropeway.errors import AccessDenied, RopewayError

_REFUSED = 900.0
"""Seconds: S3 refuses requests of hosts that are further off (RequestTimeTooSkewed, "S3 error responses" of its
documentation). Presigned URLs end when the store's clock says so."""

_WORRYING = 60.0


@dataclass(slots=True)
class Reached:
    """A store or service on the way to be checked; `catalog` is there once it has answered."""

    url: str
    catalog: Catalog | None = None

    def checks(self) -> Iterator[Finding]:
        """All checks of it."""
        where = _clock_url(self.url)
        if self.url.startswith("s3://"):
            yield _credentials()
        if where is not None:
            yield clock(where)
        yield self._answers()

    def _answers(self) -> Finding:
        try:
            catalog = connect(self.url)
            datasets = catalog.datasets()
        except AccessDenied as error:
            return Finding("store", "bad", str(error), "ask for read access, or give other credentials")
        except RopewayError as error:
            return Finding("store", "bad", str(error), "is the address right, and does this host reach it?")
        self.catalog = catalog
        if not datasets:
            hint = "pack or adopt one" if isinstance(catalog, StoreCatalog) else "ask for a grant, or give your token"
            return Finding("store", "unknown", f"{self.url} answers and shows no dataset", hint)
        samples = sum(dataset.samples for dataset in datasets)
        return Finding("store", "good", f"{self.url} answers: {len(datasets):,} datasets, {samples:,} samples")


def _credentials() -> Finding:
    from ropeway.stores.signed import Aws

    try:
        aws = Aws.find()
    except RopewayError as error:
        return Finding("credentials", "bad", str(error), "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and its secret")
    settings = aws.client.meta
    by = aws.session.get_credentials().method
    return Finding("credentials", "good", f"found by {by}; region {settings.region_name}, {settings.endpoint_url}")


def _clock_url(url: str) -> str | None:
    """Where somebody tells the time of the store; None for a store that has no clock of its own."""
    if url.startswith(("http://", "https://")):
        return f"{url.rstrip('/')}/healthz"
    if not url.startswith("s3://"):
        return None
    from ropeway.stores.signed import Aws

    try:
        return str(Aws.find().client.meta.endpoint_url)
    except RopewayError:  # told as missing credentials
        return None


def clock(url: str) -> Finding:
    """This host's clock against the date that a server's answer carries."""
    try:
        answer = urllib3.PoolManager().request("GET", url, retries=False, timeout=5, redirect=False)
        told = answer.headers.get("Date")
    except urllib3.exceptions.HTTPError as error:
        return Finding("clock", "unknown", f"{url} does not answer ({type(error).__name__})")
    if told is None:
        return Finding("clock", "unknown", f"{url} tells no date")
    return apart((datetime.now(UTC) - parsedate_to_datetime(told)).total_seconds())


def apart(seconds: float) -> Finding:
    """A verdict on a clock that is so many seconds ahead of the store's (behind, if negative)."""
    told = f"{abs(seconds):.0f} s {'ahead of' if seconds > 0 else 'behind'} the store's"
    hint = "set this host's clock (NTP: timedatectl set-ntp true)"
    if abs(seconds) > _REFUSED:
        return Finding("clock", "bad", f"{told}: signed requests are refused", hint)
    if abs(seconds) > _WORRYING:
        return Finding("clock", "slow", f"{told}: URLs end early or late", hint)
    return Finding("clock", "good", told)
