"""Mounts of the real command: what other programs see through the kernel, and how mounts begin, fail and end."""

import errno
import gc
import gzip
import hashlib
import io
import json
import os
import signal
import socket
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import nibabel as nib
import numpy as np
import pydicom
import pytest
import webdataset as wds
from PIL import Image
from pydicom.data import get_testdata_file

import guarded
import indexed
import mounted as mounts
import packed
import ropeway
import tiny_store
from fault_proxy import Fault, faulty
from mounted import COMMAND, mounted, wait
from ropeway.catalog import connect
from ropeway.manifest import Task
from ropeway.remote import ServiceCatalog
from ropeway.stores import LocalStore, open_store
from ropeway_shardgen.demo.seaweedfs import S3Server
from serving import serving

OTHERS = Path(__file__).parent / "others"
VISION = Path(sys.prefix, "vision")
"""Where `make` puts torchvision, apart: beside a torch for CPUs it does not import, and other libraries try to."""

pytestmark = pytest.mark.skipif(bool(mounts.missing()), reason=mounts.missing() or "FUSE is here")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small samples of every kind, pictures with labels, a volume and a DICOM file."""
    folder = tmp_path_factory.mktemp("store")
    tiny_store.build(LocalStore(folder))
    colour = Task(id="colour", type="multiclass", classes=("red", "green", "blue/violet"))
    pictures = [
        tiny_store.Sample(key=f"{i:03d}", parts={"image": ("png", _png(i % 3))}, labels={"colour": i % 3})
        for i in range(12)
    ]
    tiny_store.build(LocalStore(folder), "pictures", pictures, tasks=[colour], meta={})
    dicom = get_testdata_file("CT_small.dcm")
    assert isinstance(dicom, str)
    scan = {"image": ("dcm", Path(dicom).read_bytes()), "volume": ("nii.gz", _nifti())}
    tiny_store.build(LocalStore(folder), "scans", [tiny_store.Sample(key="ct/1", parts=scan)], tasks=(), meta={})
    packed.publish(LocalStore(folder), "signals", samples=300, per_shard=100, shape=(12, 500))
    return folder


@pytest.fixture(scope="module")
def mount(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("mount")
    with mounted(str(store), folder):
        yield folder


def _png(channel: int) -> bytes:
    pixels = np.zeros((8, 8, 3), np.uint8)
    pixels[..., channel] = 255
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png")
    return file.getvalue()


def _nifti() -> bytes:
    volume = np.arange(4 * 5 * 6, dtype=np.int16).reshape(4, 5, 6)
    image = nib.Nifti1Image(volume, np.diag([1.0, 2.0, 3.0, 1.0]))  # type: ignore[no-untyped-call]
    return gzip.compress(image.to_bytes())


def test_files_are_the_members_with_exactly_their_names(mount: Path, store: Path) -> None:
    found = 0
    for shard in store.glob("tiny/*/*.tar"):
        split = shard.name.partition("-")[0]
        with tarfile.open(shard) as archive:
            for member in archive:
                content = archive.extractfile(member)
                assert content is not None
                assert (mount / "samples/tiny" / split / member.name).read_bytes() == content.read()
                found += 1
    listed = [path for path in (mount / "samples/tiny").rglob("*") if path.is_file()]
    assert len(listed) == found


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # webdataset leaves files to be collected
def test_shards_are_the_tars_and_webdataset_reads_them(mount: Path, store: Path) -> None:
    shards = sorted((mount / "shards/signals" / packed.VERSION).glob("*.tar"))
    assert [shard.read_bytes() for shard in shards] == [
        path.read_bytes() for path in sorted(store.glob("signals/*/*.tar"))
    ]
    dataset = wds.WebDataset([str(shard) for shard in shards], shardshuffle=False)
    values = [np.load(io.BytesIO(sample["x.npy"])) for sample in dataset]
    assert [int(value[0, 0]) for value in values] == list(range(300))
    del dataset
    gc.collect()  # while they are put up with


@pytest.mark.skipif(not VISION.is_dir(), reason="no .venv/vision: `make test` makes it")
def test_torchvisions_image_folder_reads_by_label_what_the_loader_gives(mount: Path, store: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(VISION)}
    command = [sys.executable, str(OTHERS / "read_image_folder.py"), str(mount / "by-label/colour")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout)
    view = connect(str(store)).query(task="colour")
    classes = ("red", "green", "blue/violet")
    expected = {}
    for batch in ropeway.NumpyLoader(view, 12, parts=["image"]):
        for key, label, picture in zip(batch["__key__"], batch["task.colour"], batch["image"], strict=True):
            folder = classes[label].replace("/", "%2F")
            number = found["classes"].index(folder)
            expected[f"{folder}/pictures/train/{key}.image.png"] = [
                number,
                hashlib.sha256(picture.tobytes()).hexdigest(),
            ]
    assert found == {"classes": ["blue%2Fviolet", "green", "red"], "pictures": expected}
    assert len(expected) == 12


def test_medical_viewers_libraries_read_from_it(mount: Path) -> None:
    scan = mount / "samples/scans/train/ct/1.image.dcm"
    assert pydicom.dcmread(scan).pixel_array.shape == (128, 128)
    volume = nib.nifti1.load(mount / "samples/scans/train/ct/1.volume.nii.gz")  # type: ignore[no-untyped-call]
    assert np.array_equal(volume.get_fdata(), np.arange(120).reshape(4, 5, 6))


def test_arrays_can_be_mapped_into_memory(mount: Path) -> None:
    array = np.load(mount / "samples/signals/train/k000123.x.npy", mmap_mode="r")
    assert array.shape == (12, 500)
    assert (array == 123).all()


def test_nothing_can_be_written_and_nobody_else_reads(mount: Path) -> None:
    file = mount / "samples/signals/train/k000001.x.npy"
    for act in (
        lambda: file.write_bytes(b"x"),
        file.unlink,
        (mount / "new").mkdir,
        lambda: file.chmod(0o777),
    ):
        with pytest.raises(OSError) as caught:  # noqa: PT011
            act()
        assert caught.value.errno == errno.EROFS
    with pytest.raises(FileNotFoundError):
        (mount / "samples/signals/train/k999999.x.npy").read_bytes()
    told = next(line for line in Path("/proc/self/mounts").read_text().splitlines() if str(mount) in line)
    assert "allow_other" not in told
    assert {"ro", "nosuid", "nodev", "noexec"} <= set(told.split()[3].split(","))
    if os.geteuid() == 0:
        done = subprocess.run(["setpriv", "--reuid=65534", "--clear-groups", "ls", str(mount)], check=False,
                              capture_output=True, text=True)  # fmt: skip
        assert done.returncode != 0
        assert "Permission denied" in done.stderr


def test_many_readers_at_once(mount: Path) -> None:
    def read(number: int) -> bool:
        file = mount / f"samples/signals/train/k{number:06d}.x.npy"
        return bool((np.load(file) == number).all())

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(read, [number % 300 for number in range(600)]))


def test_a_large_folder_lists_all_and_the_first_look_is_short(tmp_path: Path) -> None:
    rows = [indexed.row(number) for number in range(20_000)]
    indexed.publish(LocalStore(tmp_path / "store"), "large", rows)
    with mounted(str(tmp_path / "store"), tmp_path / "mount"):
        split = tmp_path / "mount/samples/large/train"
        begun = time.perf_counter()
        assert (split / "k12345.x.npy").stat().st_size == 100 + 12345
        assert time.perf_counter() - begun < 0.5  # a few milliseconds, on a machine that does nothing else
        assert {entry.name for entry in os.scandir(split)} == {f"k{number}.x.npy" for number in range(20_000)}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_unmounts(store: Path, tmp_path: Path, number: signal.Signals) -> None:
    with mounted(str(store), tmp_path / "mount") as process:
        assert (tmp_path / "mount/manifest.json").stat().st_size > 0
        process.send_signal(number)
        assert process.wait(30) == 0
        assert process.stderr is not None
        assert len(process.stderr.read().splitlines()) == 1  # that it was mounted, and how to end it
        assert not (tmp_path / "mount").is_mount()


def test_an_interrupt_while_a_service_does_not_answer_ends_at_once(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # connections are made, and nothing is ever said
        command = [*COMMAND, "mount", f"http://127.0.0.1:{silent.getsockname()[1]}", str(tmp_path)]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
            silent.accept()[0].close()  # the first try
            again, _ = silent.accept()
            process.send_signal(signal.SIGINT)
            assert process.wait(10) == 130
            again.close()
            assert process.stderr is not None
            assert process.stderr.read().splitlines()[-1] == "ropeway: interrupted"


def test_unmounting_ends_the_process_also_when_it_was_killed(store: Path, tmp_path: Path) -> None:
    folder = tmp_path / "mount"
    with mounted(str(store), folder) as process:
        subprocess.run([*COMMAND, "unmount", str(folder)], check=True)
        assert process.wait(30) == 0
    with mounted(str(store), folder) as process:
        process.kill()
        process.wait()
        again = subprocess.run(
            [*COMMAND, "mount", str(store), str(folder)], check=False, capture_output=True, text=True
        )
        assert "ropeway unmount" in again.stderr
        subprocess.run([*COMMAND, "unmount", str(folder)], check=True)
        assert os.listdir(folder) == []  # noqa: PTH208
    done = subprocess.run([*COMMAND, "unmount", str(folder)], check=False, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == f"ropeway: nothing is mounted there [url {folder.as_uri()}]\n"


def test_a_service_that_is_not_there_is_told_in_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
    done = subprocess.run([*COMMAND, "mount", url, str(tmp_path)], check=False, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("ropeway: no answer")
    assert len(done.stderr.splitlines()) == 1


def test_a_daemon_goes_on_and_tells_what_was_wrong(store: Path, tmp_path: Path) -> None:
    folder, log = tmp_path / "mount", tmp_path / "log/mount.log"
    folder.mkdir()
    command = [*COMMAND, "mount", str(store), str(folder), "--daemon", "--log", str(log)]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    try:
        assert str(log) in told
        assert (folder / "samples/signals/train/k000001.note.txt").read_text() == "sample 1"
    finally:
        subprocess.run([*COMMAND, "unmount", str(folder)], check=True)
    process = int(told.split("process ")[1].split(",")[0])
    wait(lambda: not Path(f"/proc/{process}").exists() or "Z" in Path(f"/proc/{process}/stat").read_text())
    failed = subprocess.run([*COMMAND, "mount", str(tmp_path / "none"), str(folder), "--daemon", "--log", str(log)],
                            check=False, capture_output=True, text=True)  # fmt: skip
    assert failed.returncode == 1
    assert "no such folder" in failed.stderr
    alone = subprocess.run(
        [word for word in command if word != "--daemon"], check=False, capture_output=True, text=True
    )
    assert alone.returncode == 1
    assert "leave --log out, or add --daemon" in alone.stderr


def test_a_folder_that_is_not_empty_is_refused(store: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("x")
    done = subprocess.run([*COMMAND, "mount", str(store), str(tmp_path)], check=False, capture_output=True, text=True)
    assert done.returncode == 1
    assert "not empty" in done.stderr


def test_s3_is_read_by_range_and_an_outage_is_an_error_that_passes(
    s3_server: S3Server, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed.publish(open_store(f"s3://{bucket}/store"), "signals", samples=60, per_shard=20, shape=(12, 500))
    where = urlsplit(s3_server.endpoint)
    assert where.hostname is not None
    assert where.port is not None
    with faulty(where.hostname, where.port) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{proxy.port}")
        with mounted(f"s3://{bucket}/store", tmp_path / "mount", "--deadline", "1.5"):
            split = tmp_path / "mount/samples/signals/train"
            wait(lambda: _is_there(split))
            proxy.heads.clear()
            assert (np.load(split / "k000042.x.npy") == 42).all()
            assert len(proxy.ranges) == 1  # no tar was scanned
            proxy.add(*[Fault(hang_up=True)] * 10_000)
            begun = time.monotonic()
            with pytest.raises(OSError, match="Input/output error") as caught:
                (split / "k000007.x.npy").read_bytes()
            assert caught.value.errno == errno.EIO
            assert time.monotonic() - begun < 10
            assert (np.load(split / "k000042.x.npy") == 42).all()  # the kernel has it
            proxy.coming.clear()
            wait(lambda: _reads(split / "k000007.x.npy"))
            assert (np.load(split / "k000007.x.npy") == 7).all()


def _is_there(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        return False


def _reads(path: Path) -> bool:
    try:
        path.read_bytes()
    except OSError:
        return False
    return True


def test_credentials_that_may_not_read_are_denied(s3_server: S3Server, bucket: str, tmp_path: Path) -> None:
    packed.publish(open_store(f"s3://{bucket}/store"), "signals", samples=4, shape=(2,))
    (tmp_path / "mount").mkdir()
    wrong = os.environ | {"AWS_SECRET_ACCESS_KEY": "wrong"}
    done = subprocess.run([*COMMAND, "mount", f"s3://{bucket}/store", str(tmp_path / "mount")], env=wrong, check=False,
                          capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 1
    assert "access denied" in done.stderr


def test_a_view_of_a_service_shows_its_samples_alone(bucket: str, tmp_path: Path) -> None:
    store = f"s3://{bucket}/store"
    tiny_store.build(open_store(store))
    with serving(store) as url:
        view = connect(url).query(task="sick", split="train", where="label = 'yes'")
        with mounted(f"{url}/v1/views/{view.id}", tmp_path / "mount"):
            samples = tmp_path / "mount/samples/tiny"
            assert os.listdir(samples) == ["train"]  # noqa: PTH208
            keys = {path.relative_to(samples / "train").as_posix() for path in samples.rglob("*.scan.bin")}
            assert keys == {f"{key}.scan.bin" for key in view.table().keys.to_pylist()}
            expected = {s.key: s.parts["scan"][1] for s in tiny_store.samples()}
            for key in keys:
                assert (samples / "train" / key).read_bytes() == expected[key.removesuffix(".scan.bin")]
        with mounted("tiny", tmp_path / "mount", "--store", url):
            assert len(list((tmp_path / "mount/samples").rglob("*.scan.bin"))) == 60


def test_a_saved_view_of_a_plain_store_is_mounted_by_its_name(store: Path, tmp_path: Path) -> None:
    saved = [*COMMAND, "view", "save", "red.v1", "--store", str(store), "--task", "colour", "--where", "label = 'red'"]
    subprocess.run(saved, check=True, capture_output=True)
    with mounted("red.v1", tmp_path / "mount", "--store", str(store)):
        found = [path.relative_to(tmp_path / "mount/samples") for path in (tmp_path / "mount/samples").rglob("*.png")]
        assert sorted(map(str, found)) == [f"pictures/train/{i:03d}.image.png" for i in (0, 3, 6, 9)]


def test_a_service_gives_what_the_token_may_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    guarded.build_all(LocalStore(tmp_path / "store"))
    database = f"sqlite:///{tmp_path / 'state.db'}"
    with serving(str(tmp_path / "store"), database) as url:
        monkeypatch.setenv("ROPEWAY_TOKEN", guarded.make_token(database))
        grant = guarded.make_grant(database, dataset="signup")
        with mounted(url, tmp_path / "mount"):
            mount = tmp_path / "mount"
            for top in ("samples", "by-subject", "shards"):
                assert os.listdir(mount / top) == ["alike", "free", "signup"]  # noqa: PTH208
            assert len(os.listdir(mount / "tables")) == 3  # noqa: PTH208
            file = mount / "samples/signup/train/key-signup-03-1.part-signup.txt"
            with pytest.raises(PermissionError):  # its terms are to be accepted first
                file.read_text()
            catalog = connect(url)
            assert isinstance(catalog, ServiceCatalog)
            catalog.accept(catalog.query(datasets=["signup"]).id)
            assert file.read_text() == "content-signup-3-1"
            admin = guarded.make_token(database, "root", admin=True)
            assert guarded.call("DELETE", f"{url}/v1/grants/{grant}", admin).status == 200
            with pytest.raises(FileNotFoundError):  # from the next read on, of what the kernel does not hold
                (mount / "samples/signup/train/key-signup-09-1.part-signup.txt").read_text()
            everything = subprocess.run(["grep", "-rlE", "closed|trained", str(mount)], check=False,
                                        capture_output=True, text=True)  # fmt: skip
            assert everything.stdout == ""
            with pytest.raises(FileNotFoundError):
                (mount / "samples/closed").stat()


def test_a_disk_cache_serves_the_next_mount(bucket: str, tmp_path: Path, s3_server: S3Server) -> None:
    packed.publish(open_store(f"s3://{bucket}/store"), "signals", samples=20, shape=(12, 500))
    options = ("--cache", str(tmp_path / "cache"), "--cache-limit", "1")
    file = tmp_path / "mount/samples/signals/train/k000007.x.npy"
    with mounted(f"s3://{bucket}/store", tmp_path / "mount", *options):
        assert (np.load(file) == 7).all()
    shards = open_store(f"s3://{bucket}/store")
    shards.put(f"signals/{packed.VERSION}/train-000000.tar", bytes(1 << 20))  # what would be read, without the cache
    with mounted(f"s3://{bucket}/store", tmp_path / "mount", *options):
        assert (np.load(file) == 7).all()
