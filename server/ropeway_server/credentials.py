"""Credentials of an S3 store that read a view's shards and nothing else, for a short time: by AWS STS.

For programs that want credentials rather than URLs (Spark, DuckDB, mount-s3). The service's own credentials assume the
role of the settings under a session policy that names each shard; what the caller may do is where both allow it.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from ropeway.errors import StoreError, UsageError
from ropeway.manifest import is_url
from ropeway.samples import ShardRef

SHORTEST = 900
"""Seconds; STS gives no shorter ones."""

LONGEST_POLICY = 2048
"""Characters of a session policy (AWS STS, AssumeRole)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What AWS tools take, and what it reads.

    Attributes:
        expires: ISO 8601 in UTC.
        urls: `s3://bucket/key` of the shards, as they were asked for.
    """

    access_key: str
    secret_key: str = field(repr=False)
    session_token: str = field(repr=False)
    expires: str
    urls: tuple[str, ...]


def scoped(role: str, store: str, shards: Sequence[ShardRef], who: str, seconds: int) -> Credentials:
    """Credentials to read some shards of a store.

    Args:
        role: ARN of a role that the service may assume and that may read the store; empty for none.
        store: URL of the store.
        shards: what to read.
        who: named in the cloud's own log.
        seconds: how long they hold, at least 15 minutes.

    Raises:
        UsageError: the service has no role, the store is not S3, a shard is elsewhere, or they are too many.
        StoreError: STS refuses.
    """
    if not role or not store.startswith("s3://"):
        raise UsageError("this service gives no credentials: ask POST /v1/views/{id}/access for URLs")
    place = urlsplit(store)
    root = f"{place.netloc}/{place.path.strip('/')}".rstrip("/")
    if elsewhere := [shard.path for shard in shards if is_url(shard.path)]:
        raise UsageError(f"an adopted shard is not in the store: {elsewhere[0]} (ask for URLs)")
    keys = [f"{root}/{shard.path}" for shard in shards]
    return _assume(role, _policy(keys), keys, re.sub(r"[^\w+=,.@-]", "-", who)[:64], max(seconds, SHORTEST))


def _policy(keys: Sequence[str]) -> str:
    arns = [f"arn:aws:s3:::{key}" for key in keys]
    statement = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": arns}
    text = json.dumps({"Version": "2012-10-17", "Statement": [statement]}, separators=(",", ":"))
    if len(text) > LONGEST_POLICY:
        fit = int(len(keys) * LONGEST_POLICY / len(text)) or 1
        raise UsageError(f"{len(keys)} shards do not fit one policy: ask for about {fit} at a time (shards=…), or URLs")
    return text


def _assume(role: str, policy: str, keys: Sequence[str], session: str, seconds: int) -> Credentials:
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        own = boto3.Session()
        client = own.client("sts", region_name=own.region_name or "us-east-1")
        answer = client.assume_role(RoleArn=role, RoleSessionName=session, DurationSeconds=seconds, Policy=policy)
    except ClientError as error:
        raise StoreError(f"STS refuses: {error.response.get('Error', {}).get('Code', 'no reason given')}") from error
    except BotoCoreError as error:
        raise StoreError(f"STS does not answer ({type(error).__name__})") from error
    given = answer["Credentials"]
    return Credentials(
        access_key=given["AccessKeyId"],
        secret_key=given["SecretAccessKey"],
        session_token=given["SessionToken"],
        expires=given["Expiration"].isoformat(),
        urls=tuple(f"s3://{key}" for key in keys),
    )
