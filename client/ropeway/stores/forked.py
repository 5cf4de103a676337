"""S3 reads in a forked child, where obstore's threads are missing: all that a DataLoader's workers need."""

import os
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ropeway.errors import AccessDenied, NotFound, StoreError

if TYPE_CHECKING:
    from botocore.exceptions import ClientError


class ForkedReader:
    """Reads under `s3://bucket/prefix`; made in, and for, one process."""

    def __init__(self, url: str) -> None:
        import boto3
        from botocore.config import Config

        parts = urlsplit(url)
        self.process = os.getpid()
        self._bucket, self._prefix = parts.netloc, parts.path.strip("/")
        session = boto3.Session()
        self._client: Any = session.client(
            "s3",
            region_name=session.region_name or "us-east-1",
            config=Config(connect_timeout=5, read_timeout=60, retries={"max_attempts": 6, "mode": "standard"}),
        )

    def read(self, path: str, start: int, stop: int | None) -> memoryview:
        """Bytes `start` to `stop` (None: to the end) of an object, fewer when it ends before."""
        from botocore.exceptions import BotoCoreError, ClientError

        key = f"{self._prefix}/{path}" if self._prefix else path
        wanted = {} if stop is None else {"Range": f"bytes={start}-{stop - 1}"}
        try:
            content = self._client.get_object(Bucket=self._bucket, Key=key, **wanted)["Body"].read()
        except ClientError as error:
            raise _problem(error) from error
        except BotoCoreError as error:
            raise StoreError(f"request failed: {error}") from error
        return memoryview(content)[start:] if stop is None else memoryview(content)


def _problem(error: "ClientError") -> StoreError:
    status = error.response["ResponseMetadata"]["HTTPStatusCode"]
    match status:
        case 404:
            return NotFound("no such bucket" if error.response["Error"]["Code"] == "NoSuchBucket" else "no such object")
        case 401 | 403:
            return AccessDenied("access denied: check the credentials and what they may do")
    return StoreError(f"request failed: {error}")
