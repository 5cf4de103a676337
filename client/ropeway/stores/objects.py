"""Object stores: S3 and what speaks its language, Google Cloud Storage, Azure, and memory.

S3's objects are read by presigned URLs, which takes about 30 % less processor time than
obstore takes; all else goes through obstore.
"""

import os
import re
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import obstore
from obstore import exceptions as failures
from obstore.store import MemoryStore, ObjectStore, S3Store

from ropeway.errors import AccessDenied, AlreadyExists, Conflict, NotFound, StoreError
from ropeway.ranges import Counters, Pieces
from ropeway.stores.protocol import Content, Stat, check_folder, check_path, check_range, too_short
from ropeway.stores.signed import DENIED, Aws, SignedReader

if TYPE_CHECKING:
    from obstore import SignCapableStore
    from obstore.store import ClientConfig

_TIMEOUTS: "ClientConfig" = {"connect_timeout": timedelta(seconds=5), "timeout": timedelta(seconds=60)}
_RETRY: Any = {"max_retries": 5, "retry_timeout": timedelta(seconds=60)}

_BUFFER = 64 << 10
"""Bytes gathered before they are written to the file that is uploaded."""

_UNREACHED = re.compile(
    r"performing [A-Z]+ \w+://(?P<host>[^/\s]+)"
    r'.*"(?:dns|tcp connect) error"(?:.*?(?:message|error): "(?P<why>[^"]+)")?',
    re.DOTALL,
)
"""obstore's words, with their debug source, where no connection came about."""

_started: list[int] = []
"""The process that first used obstore: its threads serve that process only, and a forked child would wait for ever."""

_FORKED = (
    "a forked process cannot do this: start it with 'spawn' or 'forkserver' (DataLoader: multiprocessing_context=…)"
)


class BucketStore:
    """A bucket, or a prefix in one, by URL. The clients behind it are made at first use in each process."""

    def __init__(self, url: str) -> None:
        self._root = url.rstrip("/")
        self._connecting = threading.Lock()
        self._client: ObjectStore | None = None
        self._signed = SignedReader(self._root) if self._root.startswith("s3:") else None
        self._counters = Counters()

    def __reduce__(self) -> tuple[type["BucketStore"], tuple[str]]:
        return BucketStore, (self._root,)

    @property
    def url(self) -> str:
        return self._root

    def counted(self, counters: Counters) -> "BucketStore":
        """This store for one reader more: with the same clients, and reads that are counted there."""
        twin = BucketStore(self._root)
        twin._client, twin._signed, twin._counters = self._client, self._signed, counters
        return twin

    @property
    def client(self) -> ObjectStore:
        """The obstore client.

        Raises:
            StoreError: obstore was used before this process was forked; its threads did not come along.
        """
        if not self._usable():
            raise StoreError(_FORKED)
        if self._client is None:
            with self._connecting:
                self._client = self._client or _connect(self._root, self._signed)
        return self._client

    def stat(self, path: str) -> Stat:
        with self._errors(path):
            meta = obstore.head(self.client, path)
            return Stat(path, meta["size"], _tag(meta["e_tag"]))

    def read(self, path: str, start: int = 0, stop: int | None = None) -> memoryview:
        check_range(start, stop, self._url(path))
        if stop == start:
            return memoryview(b"")
        with self._errors(path):
            if self._signed is not None:
                return self._signed.read(path, start, stop, self._counters)
            if stop is None:
                return memoryview(obstore.get(self.client, path).bytes())[start:]
            data = self._read_range(path, start, stop)
        if len(data) != stop - start:
            raise too_short(start + len(data), stop, self._url(path))
        return data

    def receive(self, path: str, start: int, stop: int, pieces: Pieces) -> None:
        """As `read`, by pieces: those of S3 are given as they come."""
        check_range(start, stop, self._url(path))
        if self._signed is None:
            pieces.cut(start, self.read(path, start, stop))
            return
        with self._errors(path):
            self._signed.receive(path, start, stop, self._counters, pieces)

    def _read_range(self, path: str, start: int, stop: int) -> memoryview:
        try:
            return memoryview(obstore.get_range(self.client, path, start=start, end=stop))
        except failures.GenericError:
            size = obstore.head(self.client, path)["size"]
            if size >= stop:
                raise
            raise too_short(size, stop, self._url(path)) from None

    def _usable(self) -> bool:
        return not _started or _started[0] == os.getpid() or self._root.startswith("memory:")

    def load(self, path: str) -> tuple[bytes, str]:
        with self._errors(path):
            answer = obstore.get(self.client, path)
            return bytes(answer.bytes()), _tag(answer.meta["e_tag"])

    def objects(self, prefix: str = "") -> Iterator[Stat]:
        with self._errors(prefix, folder=True):
            found = [
                Stat(meta["path"], meta["size"], _tag(meta["e_tag"]))
                for page in obstore.list(self.client, prefix or None)
                for meta in page
            ]
        yield from sorted(found, key=lambda stat: stat.path)

    def folders(self, prefix: str = "") -> list[str]:
        with self._errors(prefix, folder=True):
            listing = obstore.list_with_delimiter(self.client, prefix or None)
        return sorted(folder.rstrip("/").rpartition("/")[2] for folder in listing["common_prefixes"])

    def put(self, path: str, content: Content) -> None:
        with self._errors(path):
            obstore.put(self.client, path, content)

    @contextmanager
    def writing(self, path: str) -> Iterator[BinaryIO]:
        with tempfile.NamedTemporaryFile(prefix="ropeway-", buffering=_BUFFER) as file:
            yield cast("BinaryIO", file)
            file.flush()
            self.put(path, Path(file.name))

    def create(self, path: str, content: bytes) -> None:
        with self._errors(path):
            obstore.put(self.client, path, content, mode="create", use_multipart=False)

    def swap(self, path: str, content: bytes, tag: str) -> None:
        with self._errors(path):
            obstore.put(self.client, path, content, mode={"e_tag": tag}, use_multipart=False)

    def delete(self, path: str) -> None:
        with self._errors(path):
            try:
                obstore.delete(self.client, path)
            except FileNotFoundError:
                return

    def sign(self, path: str, seconds: int) -> str | None:
        with self._errors(path):
            if isinstance(self.client, MemoryStore):
                return None
            return obstore.sign(cast("SignCapableStore", self.client), "GET", path, timedelta(seconds=seconds))

    def local_path(self, path: str) -> Path | None:
        return None

    def _url(self, path: str) -> str:
        return f"{self._root}/{path}"

    @contextmanager
    def _errors(self, path: str, *, folder: bool = False) -> Iterator[None]:
        url = self._url(path)
        (check_folder if folder else check_path)(path, url)
        try:
            yield
        except StoreError as error:
            error.url = url
            raise
        except FileNotFoundError as error:
            missing_bucket = "NoSuchBucket" in str(error)
            raise NotFound("no such bucket" if missing_bucket else "no such object", url=url) from error
        except failures.AlreadyExistsError as error:
            raise AlreadyExists("already there", url=url) from error
        except failures.PreconditionError as error:
            raise Conflict("changed since it was read", url=url) from error
        except (failures.PermissionDeniedError, failures.UnauthenticatedError) as error:
            raise AccessDenied(DENIED, url=url) from error
        except (failures.BaseError, OSError, ValueError) as error:
            raise _problem(error, url) from error


def _connect(url: str, signed: SignedReader | None) -> ObjectStore:
    if not _started:
        _started.append(os.getpid())
    if url.startswith("memory:"):
        return _memory(url)
    if signed is not None:
        return _s3(url, signed.aws)
    return obstore.store.from_url(url, client_options=_TIMEOUTS, retry_config=_RETRY)


@cache
def _memory(_url: str) -> ObjectStore:
    """The memory store of that URL: one per URL and process."""
    return MemoryStore()


def _s3(url: str, aws: Aws) -> ObjectStore:
    from obstore.auth.boto3 import Boto3CredentialProvider

    settings = aws.client.meta
    endpoint = settings.endpoint_url
    config: Any = {"region": settings.region_name}
    if not endpoint.endswith(".amazonaws.com"):
        config["endpoint"] = endpoint
    return S3Store.from_url(
        url,
        config=config,
        client_options={**_TIMEOUTS, "allow_http": endpoint.startswith("http://")},
        retry_config=_RETRY,
        credential_provider=Boto3CredentialProvider(aws.session),
    )


def _tag(e_tag: str | None) -> str:
    if e_tag is None:
        raise StoreError("the store gives objects no ETag, which publishing needs")
    return e_tag


def _problem(error: BaseException, url: str) -> StoreError:
    """What obstore has no class for: refused listings and deletions are generic errors, their reason in the text."""
    reason = re.search(r"status code: (\d+)|\(code: (\w+)\)", str(error))
    match reason and (reason[1] or reason[2]):
        case "401" | "403" | "AccessDenied":
            return AccessDenied(DENIED, url=url)
        case "404":
            return NotFound("no such bucket", url=url)
    unreached = _UNREACHED.search(str(error))
    if unreached:
        host, why = unreached["host"].rpartition("@")[2], (unreached["why"] or "no answer in time").lower()
        return StoreError(f"nothing was reached at {host} ({why}): is the address right, and can this host reach it?",
                          url=url)  # fmt: skip
    return StoreError(f"request failed: {_first_line(error)}", url=url)


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
