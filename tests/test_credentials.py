"""Credentials for a view's shards, from the STS of a real S3: what they read, and what they do not."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
import urllib3
from botocore.exceptions import ClientError

import guarded
import ropeway
import tiny_store
from ropeway.errors import StoreError, UsageError
from ropeway.samples import ShardRef
from ropeway.stores import open_store
from ropeway_server.credentials import scoped
from ropeway_shardgen.demo.seaweedfs import S3Server, running
from serving import serving

SIGNING_KEY = base64.b64encode(b"a key of thirty-two characters..").decode()
ROLE = "arn:aws:iam::role/reader"
ROLES = {
    "sts": {"tokenDuration": "1h", "maxSessionLength": "12h", "issuer": "test", "signingKey": SIGNING_KEY},
    "policy": {"defaultEffect": "Deny", "storeType": "memory"},
    "roleStore": {"storeType": "memory"},
    "policies": [
        {"name": "read", "document": {"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Action": ["s3:GetObject", "s3:ListBucket"], "Resource": ["arn:aws:s3:::*"]}]}},
    ],
    "roles": [
        {"roleName": "reader", "roleArn": ROLE, "attachedPolicies": ["read"], "trustPolicy": {
            "Version": "2012-10-17",
            "Statement": [{"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": ["sts:AssumeRole"]}]}},
    ],
}  # fmt: skip
"""A role that reads everything, which the service may assume."""


@pytest.fixture
def s3(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    roles = tmp_path / "roles.json"
    roles.write_text(json.dumps(ROLES))
    with running(tmp_path / "s3", options=[f"-s3.iam.config={roles}"]) as server:
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        server.create_bucket("guarded")
        yield server


def test_credentials_read_the_views_shards_and_nothing_else(s3: S3Server) -> None:
    store = open_store("s3://guarded/climb")
    guarded.build(store, "free")
    with serving("s3://guarded/climb", role=ROLE) as url:
        view = ropeway.connect(url).query()
        shards = view.table().shards
        answer = urllib3.request("POST", f"{url}/v1/views/{view.id}/credentials", json={"shards": [0, 2]})
        given = answer.json()
        assert (answer.status, answer.headers["Cache-Control"]) == (200, "no-store")
        refused = urllib3.request("POST", f"{url}/v1/views/{view.id}/credentials", json={"shards": [9]})
        assert refused.status == 422
    assert given["urls"] == [f"s3://guarded/climb/{shards[number].path}" for number in (0, 2)]
    client = boto3.client(
        "s3", endpoint_url=s3.endpoint, region_name="us-east-1", aws_access_key_id=given["access_key"],
        aws_secret_access_key=given["secret_key"], aws_session_token=given["session_token"],
    )  # fmt: skip
    for number in (0, 2):
        found = client.get_object(Bucket="guarded", Key=f"climb/{shards[number].path}")["Body"].read()
        assert found == bytes(store.read(shards[number].path))
    others = [shards[1].path, "free/latest.json", f"free/{tiny_store.VERSION}/index/00000.parquet"]
    for path in others:
        with pytest.raises(ClientError, match="AccessDenied"):
            client.get_object(Bucket="guarded", Key=f"climb/{path}")
    with pytest.raises(ClientError, match="AccessDenied"):
        client.put_object(Bucket="guarded", Key=f"climb/{shards[0].path}", Body=b"")
    client.close()


def test_a_role_that_there_is_not_is_told(s3: S3Server) -> None:
    shard = ShardRef("free", "0" * 12, "free/x.tar", 1, "0" * 64)
    with pytest.raises(StoreError, match="STS refuses"):
        scoped("arn:aws:iam::role/nobody", "s3://guarded/climb", [shard], "ann", 900)


@pytest.mark.parametrize(
    ("role", "store", "paths", "words"),
    [
        ("", "s3://b/p", ["d/x.tar"], "gives no credentials"),
        (ROLE, "file:///x", ["d/x.tar"], "gives no credentials"),
        (ROLE, "s3://b/p", ["https://h/x.tar"], "is not in the store"),
        (
            ROLE,
            "s3://b/p",
            [f"d/{'0' * 12}/train-{n:06d}.tar" for n in range(500)],
            "ask for about 40 at a time",
        ),
    ],
)
def test_what_cannot_be_given_is_told(role: str, store: str, paths: list[str], words: str) -> None:
    shards = [ShardRef("d", "0" * 12, path, 1, "0" * 64) for path in paths]
    with pytest.raises(UsageError, match=words):
        scoped(role, store, shards, "ann", 900)
