"""One contract, every store; and what only S3 can get wrong."""

import json
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import monotonic
from urllib.parse import urlsplit

import boto3
import pytest
import urllib3

from forked import in_fork
from ropeway.errors import AccessDenied, AlreadyExists, Conflict, NotFound, StoreError, UsageError
from ropeway.stores import LocalStore, Store, open_store
from ropeway_shardgen.demo.seaweedfs import S3Server

pytestmark = pytest.mark.xdist_group("s3")

S3 = "s3"


@pytest.fixture(params=["local", "memory", S3])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == S3:
        return open_store(f"s3://{request.getfixturevalue('bucket')}/some/prefix")
    (tmp_path / "store").mkdir()
    return open_store(tmp_path / "store" if request.param == "local" else f"memory://{tmp_path.name}{os.getpid()}")


class TestEveryStore:
    """What `Store` promises, on each kind."""

    def test_reads_ranges_and_the_whole(self, store: Store) -> None:
        store.put("a/b.bin", bytes(range(256)))
        assert bytes(store.read("a/b.bin")) == bytes(range(256))
        assert bytes(store.read("a/b.bin", 10, 13)) == b"\x0a\x0b\x0c"
        assert bytes(store.read("a/b.bin", 250)) == bytes(range(250, 256))
        assert bytes(store.read("a/b.bin", 250, 256)) == bytes(range(250, 256))
        assert bytes(store.read("a/b.bin", 7, 7)) == b""

    def test_an_empty_object_is_an_object(self, store: Store) -> None:
        store.put("empty", b"")
        assert bytes(store.read("empty")) == b""
        assert store.stat("empty").size == 0

    @pytest.mark.parametrize(("start", "stop"), [(0, 11), (9, 11), (10, 11), (50, 60)])
    def test_a_short_object_is_an_error_not_short_bytes(self, store: Store, start: int, stop: int) -> None:
        store.put("short", bytes(10))
        with pytest.raises(StoreError, match=f"object ends at byte 10, bytes up to {stop} were asked for") as caught:
            store.read("short", start, stop)
        assert caught.value.url == f"{store.url}/short"

    @pytest.mark.parametrize(("start", "stop"), [(-1, 3), (3, 2)])
    def test_what_is_no_range_is_refused(self, store: Store, start: int, stop: int) -> None:
        store.put("x", bytes(10))
        with pytest.raises(StoreError, match="not a byte range"):
            store.read("x", start, stop)

    def test_what_is_missing_is_named(self, store: Store) -> None:
        store.put("folder/there", b"x")
        for path in ("nothing", "folder", "folder/nothing", "folder/there/below"):
            for ask in (store.stat, store.load, store.read):
                with pytest.raises(NotFound) as caught:
                    ask(path)
                assert f"{store.url}/{path}" in str(caught.value)
                assert isinstance(caught.value, FileNotFoundError)

    def test_lists_in_order_a_folder_not_a_prefix(self, store: Store) -> None:
        paths = ["ab/2", "ab/10", "ab/sub/x", "abc/1", "ab.txt", "z", "Z", "ab-c/1"]
        for path in paths:
            store.put(path, path.encode())
        assert [stat.path for stat in store.objects()] == sorted(paths)
        assert [stat.path for stat in store.objects("ab")] == ["ab/10", "ab/2", "ab/sub/x"]
        assert [stat.path for stat in store.objects("ab/")] == ["ab/10", "ab/2", "ab/sub/x"]
        assert [stat.size for stat in store.objects("ab")] == [5, 4, 8]
        assert list(store.objects("a")) == list(store.objects("nothing")) == list(store.objects("z")) == []
        assert store.folders() == ["ab", "ab-c", "abc"]
        assert store.folders("ab") == store.folders("ab/") == ["sub"]
        assert store.folders("abc") == store.folders("nothing") == []

    def test_an_empty_store_lists_nothing(self, store: Store) -> None:
        assert list(store.objects()) == []
        assert store.folders() == []

    def test_lists_more_than_a_page(self, store: Store) -> None:
        with ThreadPoolExecutor(16) as pool:
            list(pool.map(lambda number: store.put(f"many/{number:04d}", b""), range(1005)))
        assert [stat.path for stat in store.objects("many")] == [f"many/{number:04d}" for number in range(1005)]

    def test_put_replaces(self, store: Store) -> None:
        store.put("a", b"first, longer")
        before = store.stat("a")
        store.put("a", b"second")
        assert bytes(store.read("a")) == b"second"
        assert store.stat("a").tag != before.tag
        assert store.stat("a").size == 6

    def test_puts_a_file_larger_than_one_request(self, store: Store, tmp_path: Path) -> None:
        size = 23 << 20
        content = os.urandom(1 << 20) * 23
        (tmp_path / "big").write_bytes(content)
        store.put("big", tmp_path / "big")
        assert store.stat("big").size == size
        assert store.read("big") == content
        assert bytes(store.read("big", size - 5, size)) == content[-5:]

    def test_writes_piece_by_piece_and_shows_only_the_whole(self, store: Store) -> None:
        store.put("d/x", b"old")
        with store.writing("d/x") as file:
            for _ in range(3):
                file.write(b"new" * 50_000)
            assert bytes(store.read("d/x")) == b"old"
        assert bytes(store.read("d/x")) == b"new" * 150_000

        def fail(path: str) -> None:
            with store.writing(path) as file:
                file.write(b"half")
                raise ZeroDivisionError

        for path in ("d/x", "d/y"):
            with pytest.raises(ZeroDivisionError):
                fail(path)
        assert [(stat.path, stat.size) for stat in store.objects()] == [("d/x", 450_000)]

    def test_of_racing_creates_one_wins(self, store: Store) -> None:
        start = threading.Barrier(16)

        def create(number: int) -> int | None:
            start.wait()
            try:
                store.create("race", f"writer {number}".encode())
            except AlreadyExists:
                return None
            return number

        with ThreadPoolExecutor(16) as pool:
            winners = [number for number in pool.map(create, range(16)) if number is not None]
        assert len(winners) == 1
        assert bytes(store.read("race")) == f"writer {winners[0]}".encode()
        with pytest.raises(AlreadyExists) as caught:
            store.create("race", b"late")
        assert f"{store.url}/race" in str(caught.value)

    def test_racing_swaps_lose_nothing(self, store: Store) -> None:
        store.put("counter", b"0")

        def add(_: int) -> None:
            for _ in range(10):
                while True:
                    content, tag = store.load("counter")
                    try:
                        store.swap("counter", str(int(content) + 1).encode(), tag)
                        break
                    except Conflict:
                        continue

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(add, range(8)))
        assert bytes(store.read("counter")) == b"80"

    def test_a_swap_needs_the_tag_that_was_read(self, store: Store) -> None:
        store.put("a", b"one")
        _, tag = store.load("a")
        store.swap("a", b"two", tag)
        with pytest.raises(Conflict) as caught:
            store.swap("a", b"three", tag)
        assert f"{store.url}/a" in str(caught.value)
        assert bytes(store.read("a")) == b"two"
        assert [stat.path for stat in store.objects()] == ["a"]

    def test_a_swap_of_what_is_gone_is_an_error(self, store: Store) -> None:
        store.put("a", b"one")
        _, tag = store.load("a")
        store.delete("a")
        with pytest.raises(StoreError):
            store.swap("a", b"two", tag)
        assert list(store.objects()) == []

    def test_delete_is_idempotent(self, store: Store) -> None:
        store.put("folder/a", b"x")
        for path in ("folder/a", "folder/a", "folder", "never/there"):
            store.delete(path)
        assert list(store.objects()) == []

    @pytest.mark.parametrize(
        "path", ["", "/", "/etc/passwd", "../x", "a/../../x", "a/..", ".", "./a", "a//b", "a/", "..", "a\0b"]
    )
    def test_paths_stay_in_the_store(self, store: Store, path: str) -> None:
        verbs: list[Callable[[], object]] = [
            lambda: store.put(path, b"x"),
            lambda: store.create(path, b"x"),
            lambda: store.swap(path, b"x", "tag"),
            lambda: store.read(path),
            lambda: store.load(path),
            lambda: store.stat(path),
            lambda: store.delete(path),
        ]
        if path.rstrip("/") not in ("", "a"):  # as a folder these are fine
            verbs += [lambda: list(store.objects(path)), lambda: store.folders(path)]
        for verb in verbs:
            with pytest.raises(StoreError, match="not a path in a store"):
                verb()
        assert list(store.objects()) == []

    @pytest.mark.parametrize("path", ["Ä/ß 日本.json", "a%2Eb/c%", "a+b", "a#b?c", "a*~'\"b", "e\u0301", "\u00e9"])
    def test_any_name_comes_back_as_it_was(self, store: Store, path: str) -> None:
        store.put(path, path.encode())
        assert [stat.path for stat in store.objects()] == [path]
        assert bytes(store.read(path)).decode() == path
        if "/" in path:
            assert store.folders() == [path.partition("/")[0]]

    def test_is_rebuilt_by_pickle(self, store: Store) -> None:
        store.put("a", b"x")
        again: Store = pickle.loads(pickle.dumps(store))
        assert again.url == store.url
        assert bytes(again.read("a")) == b"x"

    def test_opens_again_by_its_url(self, store: Store) -> None:
        store.put("a", b"x")
        assert bytes(open_store(store.url).read("a")) == b"x"

    def test_reads_in_a_forked_child(self, store: Store) -> None:
        """A DataLoader's workers are forked after this process has read the index."""
        store.put("a", b"0123456789")

        def read() -> None:
            assert bytes(store.read("a")) == b"0123456789"
            assert bytes(store.read("a", 2, 5)) == b"234"
            with pytest.raises(NotFound, match="no such object"):
                store.read("b", 0, 1)
            with pytest.raises(StoreError, match="object ends at byte"):
                store.read("a", 5, 11)

        assert in_fork(read) == "ok"
        assert bytes(store.read("a", 2, 5)) == b"234"

    def test_is_safe_to_use_from_threads(self, store: Store) -> None:
        store.put("a", bytes(range(256)) * 64)
        fresh = open_store(store.url)
        with ThreadPoolExecutor(16) as pool:
            ranges = pool.map(lambda start: bytes(fresh.read("a", start, start + 256)), range(0, 1 << 13, 256))
            assert set(ranges) == {bytes(range(256))}


class TestLocal:
    """What only a directory can get wrong."""

    def test_a_killed_put_leaves_no_object(self, tmp_path: Path) -> None:
        """The child is killed while it writes: it says when it has begun, and is fed no end."""
        os.mkfifo(tmp_path / "endless")
        script = (
            "import sys; from pathlib import Path; from ropeway import open_store\n"
            f"open_store({str(tmp_path / 'store')!r}).put('d/object', Path({str(tmp_path / 'endless')!r}))"
        )
        child = subprocess.Popen([sys.executable, "-c", script])
        with (tmp_path / "endless").open("wb", buffering=0) as feed:  # opens once the child reads
            feed.write(bytes(4 << 20))
            child.kill()
            child.wait()
        store = open_store(tmp_path / "store")
        assert list(store.objects()) == []
        with pytest.raises(NotFound):
            store.stat("d/object")
        store.put("d/object", b"whole")
        assert [stat.path for stat in store.objects()] == ["d/object"]

    def test_a_failed_write_leaves_nothing(self, tmp_path: Path) -> None:
        store = LocalStore(tmp_path)
        with pytest.raises(NotFound):
            store.put("a", tmp_path / "no-such-file")
        store.put("a", b"x")
        with pytest.raises(AlreadyExists):
            store.create("a", b"y")
        assert [file.name for file in tmp_path.iterdir()] == ["a"]

    def test_a_file_in_the_way_of_a_folder_is_named(self, tmp_path: Path) -> None:
        store = LocalStore(tmp_path)
        store.put("a", b"x")
        with pytest.raises(StoreError, match="a file is where this object's folder should be"):
            store.create("a/b", b"y")

    def test_a_folder_without_permission_is_named(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*_: object, **__: object) -> None:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr("tempfile.mkstemp", refuse)
        with pytest.raises(AccessDenied, match="check the folder's owner and mode") as caught:
            LocalStore(tmp_path).put("a/b", b"x")
        assert str(tmp_path) in str(caught.value)

    def test_an_unreadable_folder_is_an_error_not_an_empty_listing(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store = LocalStore(tmp_path)
        store.put("a/b", b"x")

        def refuse(*_: object) -> None:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(os, "scandir", refuse)
        with pytest.raises(AccessDenied):
            list(store.objects())

    def test_files_have_the_usual_mode(self, tmp_path: Path) -> None:
        LocalStore(tmp_path).put("a", b"x")
        assert (tmp_path / "a").stat().st_mode & 0o777 == 0o644

    def test_gives_the_file_behind_an_object(self, tmp_path: Path) -> None:
        store = LocalStore(tmp_path)
        store.put("a/b", b"x")
        assert store.local_path("a/b") == tmp_path / "a/b"
        assert store.sign("a/b", 60) is None


class TestS3:
    """What only S3 can get wrong, on a real server that checks signatures."""

    def said(self, error: StoreError, url: str, server: S3Server) -> None:
        """One line, with the URL, without a secret."""
        text = str(error)
        assert url in text
        assert "\n" not in text
        for secret in (server.secret_key, server.reader_secret_key, "not-the-secret"):
            assert secret not in text

    def test_a_wrong_secret_is_refused(self, bucket: str, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-the-secret")
        store = open_store(f"s3://{bucket}/p")
        for verb in (lambda: store.read("a"), lambda: store.put("a", b"x"), lambda: list(store.objects())):
            with pytest.raises(AccessDenied, match="access denied: check the credentials") as caught:
                verb()
            self.said(caught.value, f"s3://{bucket}/p/", s3_server)

    def test_a_missing_bucket_is_named(self, bucket: str, s3_server: S3Server) -> None:
        store = open_store("s3://no-such-bucket/p")
        for verb in (lambda: store.load("a"), lambda: store.read("a", 0, 1), store.folders):  # a write makes it, here
            with pytest.raises(NotFound, match="no such bucket") as caught:
                verb()
            self.said(caught.value, "s3://no-such-bucket/p/", s3_server)

    def test_who_may_only_read_cannot_write(
        self, bucket: str, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        open_store(f"s3://{bucket}/p").put("a", b"x")
        for name, value in s3_server.environment(reader=True).items():
            monkeypatch.setenv(name, value)
        store = open_store(f"s3://{bucket}/p")
        assert bytes(store.read("a")) == b"x"
        verbs: list[Callable[[], object]] = [
            lambda: store.put("a", b"y"),
            lambda: store.create("b", b"y"),
            lambda: store.swap("a", b"y", store.load("a")[1]),
            lambda: store.delete("a"),
        ]
        for verb in verbs:
            with pytest.raises(AccessDenied) as caught:
                verb()
            self.said(caught.value, f"s3://{bucket}/p/", s3_server)
        assert bytes(store.read("a")) == b"x"

    def test_no_credentials_says_what_to_set(
        self, bucket: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.delenv(name)
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
        monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
        with pytest.raises(AccessDenied, match="set AWS_ACCESS_KEY_ID") as caught:
            open_store(f"s3://{bucket}/p").read("a")
        assert caught.value.url == f"s3://{bucket}/p/a"
        monkeypatch.setenv("AWS_PROFILE", "nobody")
        with pytest.raises(StoreError, match="nobody"):
            open_store(f"s3://{bucket}/p").read("a")

    def test_the_prefix_is_a_folder_of_the_bucket(self, bucket: str, s3_server: S3Server) -> None:
        open_store(f"s3://{bucket}/some/prefix/").put("a%2Eb/c", b"x")
        open_store(f"s3://{bucket}").put("top", b"x")
        client = boto3.client("s3")
        keys = [found["Key"] for found in client.list_objects_v2(Bucket=bucket)["Contents"]]
        client.close()
        assert keys == ["some/prefix/a%2Eb/c", "top"]

    def test_a_signed_url_is_all_that_a_reader_needs(self, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
        store = open_store(f"s3://{bucket}/p")
        store.put("a b/ü%2E", b"0123456789")
        url = store.sign("a b/ü%2E", 60)
        assert url is not None
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.delenv(name)
        with urllib3.PoolManager() as http:
            whole = http.request("GET", url)
            assert (whole.status, whole.data) == (200, b"0123456789")
            part = http.request("GET", url, headers={"Range": "bytes=2-4"})
            assert (part.status, part.data) == (206, b"234")
            assert http.request("GET", url.partition("?")[0]).status == 403
            assert http.request("PUT", url, body=b"y").status == 403
            assert http.request("GET", url.replace("X-Amz-Expires=60", "X-Amz-Expires=600")).status == 403
            assert http.request("GET", url.replace(urlsplit(url).path, f"/{bucket}/p/other")).status == 403

    def test_a_signed_url_ends(self, bucket: str, s3_server: S3Server) -> None:
        store = open_store(f"s3://{bucket}/p")
        store.put("a", b"x")
        url = store.sign("a", 1)
        assert url is not None
        with urllib3.PoolManager() as http:
            until = monotonic() + 20
            answer = http.request("GET", url)
            while answer.status == 200 and monotonic() < until:
                answer = http.request("GET", url)
        assert answer.status == 403
        assert b"xpired" in answer.data

    def test_a_forked_child_is_told_what_it_cannot_do(self, bucket: str) -> None:
        store = open_store(f"s3://{bucket}/p")
        store.put("a", b"x")
        said = in_fork(lambda: store.put("b", b"y"))
        assert said.startswith("StoreError: a forked process cannot do this: start it with 'spawn' or 'forkserver'")
        assert store.url in said

    def test_a_server_that_is_not_there_is_one_line_within_seconds(
        self, bucket: str, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """With the retries that users get, and in a forked child too, which has another client."""
        begun = monotonic()
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        with pytest.raises(StoreError, match="request failed") as caught:
            open_store(f"s3://{bucket}/p").read("a")
        self.said(caught.value, f"s3://{bucket}/p/a", s3_server)
        said = in_fork(lambda: open_store(f"s3://{bucket}/p").read("a"))
        assert said.startswith("StoreError: request failed: connection refused (gave up after ")
        assert f"s3://{bucket}/p/a" in said
        for host, why in (("127.0.0.1:9", "connection refused"), ("no-such-host.invalid", "name or service not known")):
            monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}")
            with pytest.raises(StoreError, match=rf"nothing was reached at {host} \(.*{why}\): is the address right"):
                open_store(f"s3://{bucket}/p").stat("a")
        assert monotonic() - begun < 30


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("ftp://host/x", "not a store URL"),
        ("", "no store is named"),
        ("http://host/x", "the store itself .* not an index service"),
        ("s3:bucket/x", "no bucket"),
        ("s3://", "no bucket"),
        ("s3:///prefix", "no bucket"),
        ("gs://", "no bucket"),
        ("memory://", "no bucket"),
        ("file://host/dir", "three slashes"),
        ("file:", "three slashes"),
    ],
)
def test_a_bad_url_is_named(url: str, says: str) -> None:
    with pytest.raises(UsageError, match=says) as caught:
        open_store(url)
    assert url in str(caught.value)


def test_a_directory_that_is_not_there_is_named(tmp_path: Path) -> None:
    """As a missing bucket is: a mistyped path must not look like an empty store."""
    store = open_store(tmp_path / "typo")
    with pytest.raises(NotFound) as caught:
        store.folders()
    assert "typo" in str(caught.value)
    store.put("d/x", b"1")  # whoever writes means it
    assert store.folders() == ["d"]


def test_a_directory_has_many_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "a b#ü%20"
    LocalStore(folder).put("x", b"1")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for url in (folder, str(folder), folder.as_uri(), folder.name, f"~/{folder.name}"):
        assert bytes(open_store(url).read("x")) == b"1"


def test_a_memory_store_is_one_per_url(tmp_path: Path) -> None:
    open_store(f"memory://{tmp_path.name}").put("a", json.dumps(1).encode())
    assert [stat.path for stat in open_store(f"memory://{tmp_path.name}").objects()] == ["a"]
    assert list(open_store(f"memory://{tmp_path.name}-other").objects()) == []
