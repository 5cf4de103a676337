"""S3 as AWS tools find it, read by presigned URLs: signed here, without asking anybody."""

import gc
import os
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

from ropeway.errors import AccessDenied, StoreError
from ropeway.ranges import Counters, Pieces, RangeClient, UrlOf

DENIED = "access denied: check the credentials and what they may do"

LIVES = (3600, 1800, 900, 540, 240, 60)
"""Seconds that a URL may last. The longest is taken that the credentials outlive: it would end with them."""

_KEPT = 4096
"""URLs kept; signing one anew takes a fraction of a millisecond."""


@dataclass(frozen=True, slots=True)
class Aws:
    """Credentials, region, endpoint and authorities, from boto3's own chain.

    Attributes:
        session: of boto3, with credentials that renew themselves where their kind does.
        client: of boto3, that signs.
        bundle: a file of certificate authorities, or None for the system's.
    """

    session: Any
    client: Any
    bundle: str | None

    @classmethod
    def find(cls) -> "Aws":
        """What this machine and environment say now.

        Raises:
            AccessDenied: there are no credentials.
            StoreError: the settings contradict themselves.
        """
        import boto3
        import botocore.session
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError

        try:
            core = botocore.session.get_session()
            session = boto3.Session(botocore_session=core)
            region = session.region_name or "us-east-1"
            with _uncollected():
                client = session.client("s3", region_name=region, config=Config(signature_version="s3v4"))
            credentials = session.get_credentials()
        except (BotoCoreError, ValueError) as error:
            raise StoreError(f"AWS settings: {error}") from error
        if credentials is None:
            raise AccessDenied(
                "no S3 credentials found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
            )
        return cls(session, client, core.get_config_variable("ca_bundle"))

    def sign(self, bucket: str, key: str) -> tuple[str, int]:
        """A URL that reads one object, and the seconds it lasts.

        Raises:
            StoreError: the credentials can't be renewed.
        """
        from botocore.exceptions import BotoCoreError

        try:
            credentials = self.session.get_credentials()
            credentials.get_frozen_credentials()  # renews them if they end soon
            ends_within = getattr(credentials, "refresh_needed", lambda _: False)
            seconds = next((life for life in LIVES if not ends_within(life)), LIVES[-1])
            url = self.client.generate_presigned_url(
                "get_object", Params={"Bucket": bucket, "Key": key}, ExpiresIn=seconds
            )
        except (BotoCoreError, ValueError) as error:
            raise StoreError(f"AWS credentials: {error}") from error
        return url, seconds


@contextmanager
def _uncollected() -> Iterator[None]:
    """Leave garbage alone meanwhile.

    boto3 reads megabytes of JSON to make a client. The collections that this sets off go through every object of the
    process, and torch alone has a quarter of a million: they take twice as long as all the rest.
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


class SignedReader:
    """Reads the objects under `s3://bucket/prefix`, by URLs signed when first wanted and again before they end.

    Safe to use from threads, and in forked children.
    """

    def __init__(self, root: str) -> None:
        parts = urlsplit(root)
        self._bucket, self._prefix = parts.netloc, parts.path.strip("/")
        self._ranges = RangeClient(trust=self._trust, denied=DENIED)
        self._forget()

    def read(self, path: str, start: int, stop: int | None, counters: Counters) -> memoryview:
        """Bytes `start` to `stop` (exclusive; None: to the end) of an object, all of them.

        Raises:
            NotFound, AccessDenied, StoreError: as `RangeClient.read`, and when there is nothing to sign with.
        """
        url_of = self.urls(path)
        if stop is None:
            return self._ranges.read(url_of, 0, None, counters)[start:]
        return self._ranges.read(url_of, start, stop, counters)

    def receive(self, path: str, start: int, stop: int, counters: Counters, pieces: Pieces) -> None:
        """As `read`, by pieces: see `RangeClient.receive`."""
        self._ranges.receive(self.urls(path), start, stop, counters, pieces)

    def urls(self, path: str) -> UrlOf:
        """Where to read one object."""
        return partial(self._url, f"{self._prefix}/{path}" if self._prefix else path)

    def _forget(self) -> None:
        self._process, self._lock = os.getpid(), threading.Lock()
        self._aws: Aws | None = None
        self._urls: dict[str, tuple[str, float, Aws]] = {}

    @property
    def aws(self) -> Aws:
        """What the URLs are signed with; found at first use in each process."""
        if self._process != os.getpid():  # a parent's lock may be held by a thread that is not here
            self._forget()
        with self._lock:
            self._aws = self._aws or Aws.find()
            return self._aws

    def _trust(self) -> ssl.SSLContext:
        """TLS settings with the authorities that AWS tools use."""
        return ssl.create_default_context(cafile=self.aws.bundle)

    def _url(self, key: str, refused: str) -> str:
        aws = self.aws
        url, renew, by = self._urls.get(key, ("", 0.0, aws))
        if url and url == refused and by is aws:  # what signed it no longer holds, or never did: look again
            aws = self._found_anew(aws)
        if not url or url == refused or by is not aws or monotonic() > renew:
            asked = monotonic()
            url, seconds = aws.sign(self._bucket, key)
            with self._lock:
                while len(self._urls) >= _KEPT:
                    del self._urls[next(iter(self._urls))]
                self._urls[key] = url, asked + 0.75 * seconds, aws
        return url

    def _found_anew(self, old: Aws) -> Aws:
        """What signs from now on, unless another thread has found it since."""
        with self._lock:
            if self._aws is old:
                self._aws = Aws.find()
            return self._aws or old
