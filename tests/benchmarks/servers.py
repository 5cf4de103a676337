"""The object store of the bench: SeaweedFS on loopback, directly and through a proxy that adds latency."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from ropeway_shardgen.demo.seaweedfs import S3Server, running

BUCKET = "bench"

LATENCY = {"s3-proxy": 0.0, "s3-20ms": 0.02}
"""Seconds that the proxy adds, by source."""

OURS_ONLY = ("s3-proxy",)
"""Sources that rivals are not measured on: what Ropeway's loss by latency is told from."""

SOURCES = ("local", "s3", *LATENCY)


@dataclass(frozen=True, slots=True)
class Sources:
    """The environment by which a process reads from each source."""

    server: S3Server
    environments: dict[str, dict[str, str]]

    def upload(self, folder: Path, prefix: str) -> str:
        """Copy a folder's files into the bucket.

        Returns:
            Their URL.
        """
        import boto3
        from boto3.s3.transfer import TransferConfig

        client = boto3.client(
            "s3",
            endpoint_url=self.server.endpoint,
            region_name="us-east-1",
            aws_access_key_id=self.server.access_key,
            aws_secret_access_key=self.server.secret_key,
        )

        def put(path: Path) -> None:
            key = f"{prefix}/{path.relative_to(folder).as_posix()}"
            client.upload_file(str(path), BUCKET, key, Config=TransferConfig(use_threads=False))

        with ThreadPoolExecutor(2) as pool:
            list(pool.map(put, [path for path in folder.rglob("*") if path.is_file()]))
        client.close()
        return f"s3://{BUCKET}/{prefix}"


@contextmanager
def serving(folder: Path, wanted: set[str]) -> Iterator[Sources | None]:
    """The sources wanted beside local files, or None when there is no other."""
    if not wanted - {"local"}:
        yield None
        return
    with ExitStack() as stack:
        server = stack.enter_context(running(folder))
        server.create_bucket(BUCKET)
        environments = {"local": {}, "s3": server.environment()}
        where = urlsplit(server.endpoint)
        for source, latency in LATENCY.items():
            if source in wanted:
                import fault_proxy

                assert where.hostname is not None
                assert where.port is not None
                port = stack.enter_context(fault_proxy.running(where.hostname, where.port, latency=latency))
                proxied = {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"}
                environments[source] = server.environment() | proxied
        yield Sources(server, environments)
