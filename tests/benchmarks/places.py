"""Where a workload lies: a folder of this machine, or a prefix of an object store."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


class Unable(Exception):
    """A system can't do what is asked; the text says why."""


@dataclass(frozen=True, slots=True)
class Place:
    """A written dataset.

    Attributes:
        folder: where it was written.
        url: `s3://bucket/prefix` when it is to be read from there; the environment has endpoint and credentials.
        cache: an empty folder for what a system keeps of remote data.
    """

    folder: Path
    url: str | None
    cache: Path

    @property
    def endpoint(self) -> str:
        return os.environ["AWS_ENDPOINT_URL"]

    def urls(self, suffix: str) -> list[str]:
        """The dataset's files of that ending: paths, or `s3://` URLs."""
        paths = sorted(self.folder.rglob(f"*{suffix}"))
        if self.url is None:
            return [str(path) for path in paths]
        return [f"{self.url}/{path.relative_to(self.folder).as_posix()}" for path in paths]

    def presigned(self, suffix: str) -> list[str]:
        """URLs of the remote files that plain HTTP clients can read for an hour."""
        import boto3
        from botocore.config import Config

        client = boto3.client("s3", endpoint_url=self.endpoint, config=Config(signature_version="s3v4"))
        signed = []
        for url in self.urls(suffix):
            bucket, _, key = url.removeprefix("s3://").partition("/")
            request = {"Bucket": bucket, "Key": key}
            signed.append(str(client.generate_presigned_url("get_object", Params=request, ExpiresIn=3600)))
        client.close()
        return signed


@contextmanager
def environment(names: dict[str, str]) -> Iterator[None]:
    """Variables that a system's own settings are read from, for as long as this lasts."""
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(names)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
