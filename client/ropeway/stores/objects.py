"""Object stores: S3 and what speaks its language, Google Cloud Storage, Azure, and memory, through obstore."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import obstore
from obstore import exceptions as failures
from obstore.store import MemoryStore, ObjectStore, S3Store

from ropeway.errors import AccessDenied, AlreadyExists, Conflict, NotFound, StoreError
from ropeway.stores.protocol import Content, Stat

if TYPE_CHECKING:
    from obstore.store import ClientConfig

_TIMEOUTS: "ClientConfig" = {"connect_timeout": timedelta(seconds=5), "timeout": timedelta(seconds=60)}
_RETRY: Any = {"max_retries": 5, "retry_timeout": timedelta(seconds=60)}


class BucketStore:
    """A bucket, or a prefix in one, by URL. The client behind it is made at first use in each process."""

    def __init__(self, url: str, connect: Callable[[str], ObjectStore]) -> None:
        self._root = url.rstrip("/")
        self._connect = connect
        self._client: tuple[int, ObjectStore] | None = None

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_client": None}

    @property
    def url(self) -> str:
        return self._root

    @property
    def client(self) -> ObjectStore:
        """The obstore client of this process: its threads do not survive a fork, so a child makes its own."""
        if self._client is None or self._client[0] != os.getpid():
            self._client = os.getpid(), self._connect(self._root)
        return self._client[1]

    def stat(self, path: str) -> Stat:
        with self._errors(path):
            meta = obstore.head(self.client, path)
            return Stat(path, meta["size"], _tag(meta["e_tag"]))

    def read(self, path: str, start: int = 0, stop: int | None = None) -> memoryview:
        if stop == start:
            return memoryview(b"")
        with self._errors(path):
            if stop is not None:
                data = memoryview(obstore.get_range(self.client, path, start=start, end=stop))
            else:
                data = memoryview(obstore.get(self.client, path).bytes())[start:]
        if stop is not None and len(data) != stop - start:
            raise StoreError(
                f"object ends at byte {start + len(data)}, bytes up to {stop} were asked for", url=self._url(path)
            )
        return data

    def load(self, path: str) -> tuple[bytes, str]:
        with self._errors(path):
            answer = obstore.get(self.client, path)
            return bytes(answer.bytes()), _tag(answer.meta["e_tag"])

    def objects(self, prefix: str = "") -> Iterator[Stat]:
        with self._errors(prefix):
            found = [
                Stat(meta["path"], meta["size"], _tag(meta["e_tag"]))
                for page in obstore.list(self.client, prefix or None)
                for meta in page
            ]
        yield from sorted(found, key=lambda stat: stat.path)

    def folders(self, prefix: str = "") -> list[str]:
        with self._errors(prefix):
            listing = obstore.list_with_delimiter(self.client, prefix or None)
        return sorted(folder.rstrip("/").rpartition("/")[2] for folder in listing["common_prefixes"])

    def put(self, path: str, content: Content) -> None:
        with self._errors(path):
            obstore.put(self.client, path, content)

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
        client = self.client
        if isinstance(client, MemoryStore):
            return None
        with self._errors(path):
            return obstore.sign(client, "GET", path, timedelta(seconds=seconds))  # type: ignore[arg-type]

    def local_path(self, path: str) -> Path | None:
        return None

    def _url(self, path: str) -> str:
        return f"{self._root}/{path}"

    @contextmanager
    def _errors(self, path: str) -> Iterator[None]:
        url = self._url(path)
        try:
            yield
        except FileNotFoundError as error:
            missing_bucket = "NoSuchBucket" in str(error)
            raise NotFound("no such bucket" if missing_bucket else "no such object", url=url) from error
        except failures.AlreadyExistsError as error:
            raise AlreadyExists("already there", url=url) from error
        except failures.PreconditionError as error:
            raise Conflict("changed since it was read", url=url) from error
        except (failures.PermissionDeniedError, failures.UnauthenticatedError) as error:
            raise AccessDenied("access denied: check the credentials and what they may do", url=url) from error
        except (failures.BaseError, OSError, ValueError) as error:
            raise StoreError(f"request failed: {_first_line(error)}", url=url) from error


def connect_s3(url: str) -> ObjectStore:
    """An S3 client for `s3://bucket/prefix`; credentials, region and endpoint come from boto3's own chain."""
    import boto3
    from obstore.auth.boto3 import Boto3CredentialProvider

    session = boto3.Session()
    settings = session.client("s3", region_name=session.region_name or "us-east-1").meta
    endpoint = settings.endpoint_url
    if session.get_credentials() is None:
        raise AccessDenied("no S3 credentials found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE")
    config: dict[str, Any] = {"region": settings.region_name}
    if not endpoint.endswith(".amazonaws.com"):
        config["endpoint"] = endpoint
    return S3Store.from_url(
        url,
        config=config,
        client_options={**_TIMEOUTS, "allow_http": endpoint.startswith("http://")},
        retry_config=_RETRY,
        credential_provider=Boto3CredentialProvider(session),
    )


def connect_cloud(url: str) -> ObjectStore:
    """A Google Cloud Storage or Azure client; credentials come from the provider's usual variables and files."""
    return obstore.store.from_url(url, client_options=_TIMEOUTS, retry_config=_RETRY)


@cache
def connect_memory(url: str) -> ObjectStore:
    """The memory store of that URL: one per URL and process."""
    return MemoryStore()


def _tag(e_tag: str | None) -> str:
    if e_tag is None:
        raise StoreError("the store gives objects no ETag, which publishing needs")
    return e_tag


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
