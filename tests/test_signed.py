"""S3 and the service's proxy are read by range through a bad network, with credentials that change."""

import json
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import sleep
from urllib.parse import parse_qs, urlsplit

import pytest
import urllib3

import packed
import ropeway
import tiny_store
from fault_proxy import Fault, Faults, faulty, running
from forked import in_fork
from range_server import CONTENT, serving_ranges
from ropeway.errors import AccessDenied, NotFound, StoreError
from ropeway.ranges import Counters, Counts
from ropeway.samples import ShardRef
from ropeway.shard_bytes import Counting, StoreBytes
from ropeway.stores import LocalStore, open_store, signed
from ropeway_shardgen.demo.seaweedfs import S3Server
from serving import serving

pytestmark = pytest.mark.xdist_group("s3")


def shards(*paths: str) -> list[ShardRef]:
    return [ShardRef("tiny", tiny_store.VERSION, path, len(CONTENT), "0" * 64) for path in paths]


@pytest.fixture
def far(bucket: str, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Faults]]:
    """A store with one object `a`, behind a bad network."""
    url = f"s3://{bucket}/p"
    open_store(url).put("a", CONTENT)
    server = urlsplit(s3_server.endpoint)
    with faulty(server.hostname or "", server.port or 0) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{proxy.port}")
        yield url, proxy


def test_s3_is_read_through_a_bad_network(far: tuple[str, Faults]) -> None:
    url, proxy = far
    reader = StoreBytes(open_store(url), shards("a"))
    proxy.add(Fault(cut=100_000), Fault(status=503), Fault(status=429, headers="Retry-After: 0\r\n"), Fault(cut=5))
    assert reader.read(0, 1000, 900_000) == CONTENT[1000:900_000]
    assert reader.counters == Counts(requests=5, bytes=899_000, retries=4)
    proxy.add(Fault(cut=200_000))
    assert open_store(url).read("a") == CONTENT


def test_a_loader_counts_what_a_bad_network_cost_and_asks_as_it_is_told(far: tuple[str, Faults]) -> None:
    url, proxy = far
    packed.publish(open_store(url), samples=60, per_shard=60, shape=(64, 256))
    view = ropeway.connect(url).query()
    asked = len(proxy.heads)
    proxy.add(Fault(cut=1000), Fault(status=503), Fault(cut=70_000))
    loader = ropeway.StreamingLoader(view, 10, parts=["x"], requests=2, request_bytes=200_000)
    given = {key: int(x[0, 0]) for batch in loader for key, x in zip(batch["__key__"], batch["x"], strict=True)}
    assert given == {f"k{number:06d}": number for number in range(60)}
    stats, ranges = loader.stats(), [found for found in proxy.ranges[asked:] if found]
    assert stats.traffic.retries == stats.flat()["data/store_retries"] == 3
    assert stats.traffic.bytes == stats.bytes == view.bytes
    assert stats.traffic.requests == len(ranges) >= view.bytes // 200_000 + 3
    for first, last in (found.removeprefix("bytes=").split("-") for found in ranges):
        assert int(last) - int(first) < 200_000


def test_counts_are_a_readers_own(far: tuple[str, Faults]) -> None:
    store = open_store(far[0])
    one, other = StoreBytes(store, shards("a")), StoreBytes(store, shards("a"))
    for reader in (one, one, other):
        assert isinstance(reader, Counting)
        reader.read(0, 0, 100)
    assert one.counters == Counts(requests=2, bytes=200)
    assert other.counters == Counts(requests=1, bytes=100)
    again = pickle.loads(pickle.dumps(one))
    assert again.counters == Counts()
    assert bytes(again.read(0, 5, 9)) == CONTENT[5:9]


def test_a_forked_child_reads_through_a_bad_network(far: tuple[str, Faults]) -> None:
    """In the parent, obstore has started threads and connections are open."""
    url, proxy = far
    store = open_store(url)
    store.stat("a")
    reader = StoreBytes(store, shards("a"))
    reader.read(0, 0, 10)

    def work() -> None:
        assert reader.read(0, 0, 900_000) == CONTENT[:900_000]
        with pytest.raises(NotFound, match="no such object"):
            store.read("b", 0, 1)

    proxy.add(Fault(cut=1000), Fault(status=500))
    assert in_fork(work) == "ok"
    assert not proxy.coming


def test_s3_far_away_is_read_whole(bucket: str, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    server = urlsplit(s3_server.endpoint)
    with running(server.hostname or "", server.port or 0, latency=0.02) as port:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
        store = open_store(f"s3://{bucket}/p")
        store.put("a", CONTENT)
        assert store.read("a", 7, 900_000) == CONTENT[7:900_000]


def test_a_signed_url_that_has_ended_is_renewed(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    open_store(f"s3://{bucket}/p").put("a", CONTENT)
    reader, counters = signed.SignedReader(f"s3://{bucket}/p"), Counters()
    monkeypatch.setattr(signed, "monotonic", lambda: 0.0)  # this host does not notice that time passes
    with monkeypatch.context() as brief:
        brief.setattr(signed, "LIVES", (1,))
        url = reader.urls("a")("")
    while urllib3.request("GET", url).status != 403:  # the server does
        sleep(0.1)
    assert reader.read("a", 3, 9, counters) == CONTENT[3:9]
    assert counters.snapshot().renewals == 1


def test_changed_credentials_are_found(bucket: str, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(f"s3://{bucket}/p")
    store.put("a", CONTENT)
    fresh = open_store(f"s3://{bucket}/p")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-the-secret")
    for _ in range(2):
        with pytest.raises(AccessDenied, match="check the credentials and what they may do"):
            fresh.read("a", 0, 9)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3_server.secret_key)
    assert fresh.read("a", 0, 9) == CONTENT[:9]


@pytest.mark.parametrize(("left", "life"), [(7200, 3600), (3000, 1800), (1000, 900), (700, 540)])
def test_a_signed_url_ends_before_its_credentials_do(
    bucket: str, s3_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left: int, life: int
) -> None:
    """Credentials of a process, as AWS tools take them, that end in so many seconds."""
    ends = datetime.now(UTC) + timedelta(seconds=left)
    (tmp_path / "credentials.json").write_text(
        json.dumps({
            "Version": 1, "AccessKeyId": s3_server.access_key, "SecretAccessKey": s3_server.secret_key,
            "SessionToken": "", "Expiration": ends.isoformat(),
        })
    )  # fmt: skip
    (tmp_path / "config").write_text(f"[default]\ncredential_process = cat {tmp_path / 'credentials.json'}\n")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    url = urlsplit(signed.SignedReader(f"s3://{bucket}/p").urls("a")(""))
    assert parse_qs(url.query)["X-Amz-Expires"] == [str(life)]


def test_adopted_shards_are_read_from_web_servers(tmp_path: Path) -> None:
    with serving_ranges() as server:
        (tmp_path / "near").write_bytes(CONTENT)
        urls = [server.url("right"), server.url("no-ranges"), server.url("gone"), "near"]
        reader = StoreBytes(LocalStore(tmp_path), shards(*urls))
        for each in (reader, pickle.loads(pickle.dumps(reader))):
            assert [bytes(each.read(number, 5, 10)) for number in (0, 1, 3)] == [CONTENT[5:10]] * 3
            assert [each.size(number) for number in (0, 1, 3)] == [len(CONTENT)] * 3
            assert [each.map(number) for number in range(3)] == [None] * 3
            assert each.counters == Counts(requests=4, bytes=12)
            with pytest.raises(NotFound, match="no such object") as caught:
                each.read(2, 0, 1)
            assert "token" not in str(caught.value)
        with pytest.raises(StoreError, match="object ends at byte"):
            reader.read(0, 0, len(CONTENT) + 1)


def test_local_shards_count_nothing(tmp_path: Path) -> None:
    (tmp_path / "near").write_bytes(CONTENT)
    reader = StoreBytes(LocalStore(tmp_path), shards("near"))
    reader.read(0, 0, 100)
    assert reader.counters == Counts()


@contextmanager
def service(store: str) -> Iterator[tuple[str, Faults]]:
    """A service behind a bad network: its URL there."""
    with serving(store) as url, faulty("127.0.0.1", urlsplit(url).port or 0) as proxy:
        yield f"http://127.0.0.1:{proxy.port}", proxy


def test_the_services_own_ranges_are_read_through_a_bad_network(tmp_path: Path) -> None:
    tiny_store.build(open_store(tmp_path))
    with service(str(tmp_path)) as (url, proxy):
        view = ropeway.connect(url).query()
        reader = view.reader()
        assert isinstance(reader, Counting)
        shard = view.table().shards[0]
        expected = LocalStore(tmp_path).read(shard.path)
        reader.read(0, 0, 1)
        proxy.add(Fault(cut=1000), Fault(status=503), Fault(stall=0, cut=0), Fault(cut=1))
        assert reader.read(0, 512, shard.bytes) == expected[512:]
        assert not proxy.coming
        assert reader.counters == Counts(requests=6, bytes=shard.bytes - 511, retries=4)
