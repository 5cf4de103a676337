"""Adapters of recordings: stored values compared with the bytes they were written as, and bad files refused."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter_reading import Array, Fields, read, rows, values
from raw_signals import LEADS, challenge, checksum, header, leads
from ropeway_shardgen.recipe import configured

# WFDB


def packed(stored: Array, storage: int) -> bytes:
    """Stored integers [lead, time] as a signal file has them, written from the format's description."""
    frames = stored.T.ravel().astype(np.int64)
    if storage == 24:
        return b"".join(int(value).to_bytes(3, "little", signed=True) for value in frames)
    if storage != 212:
        dtype, zero = {16: ("<i2", 0), 61: (">i2", 0), 32: ("<i4", 0), 80: ("u1", 128), 160: ("<u2", 32768)}[storage]
        return (frames + zero).astype(dtype).tobytes()
    content = bytearray()
    for first, second in zip(frames[::2].tolist(), [*frames[1::2].tolist(), 0], strict=False):
        content += bytes([first & 0xFF, (first >> 8) & 0xF | ((second >> 8) & 0xF) << 4, second & 0xFF])
    return bytes(content)


@given(st.sampled_from([(16, 16), (24, 24), (32, 32), (61, 16), (80, 8), (160, 16), (212, 12)]), st.integers(1, 3),
       st.integers(1, 9), st.data())  # fmt: skip
def test_wfdb_storage_formats(
    tmp_path_factory: pytest.TempPathFactory, storage: tuple[int, int], number: int, length: int, data: st.DataObject
) -> None:
    name, bits = storage
    lowest = -(1 << (bits - 1))
    numbers = st.lists(st.integers(lowest, -lowest - 1), min_size=number * length, max_size=number * length)
    stored = np.array(data.draw(numbers), np.int64).reshape(number, length)
    folder = tmp_path_factory.mktemp("wfdb")
    (folder / "r.dat").write_bytes(b"??" + packed(stored, name))
    (folder / "r.hea").write_text(header("r", "r.dat", stored, storage=f"{name}+2", names=LEADS[:number]))
    payload = read("wfdb", folder / "r.hea")
    dtype = np.int16 if bits <= 16 else np.int32
    missing = np.iinfo(dtype).min
    due = np.where(stored == lowest, missing, stored).astype(dtype)
    np.testing.assert_array_equal(values(payload), due, strict=True)
    assert (payload.fields["missing"], payload.fields["missing_value"]) == ((stored == lowest).sum(), missing)


def test_wfdb_header_fields_and_lead_order(tmp_path: Path) -> None:
    stored = leads(0)
    names = ["AVR" if name == "aVR" else name for name in LEADS]
    challenge(tmp_path, "A0001", stored, "1,2", "93", "Male", names=names, gain="200.5(-7)/uV")
    row = rows("wfdb", tmp_path / "A0001.hea", leads=["aVR", "I"])[0]
    payload = read("wfdb", tmp_path / "A0001.hea", leads=["aVR", "I"])
    np.testing.assert_array_equal(values(payload), stored[[3, 0]], strict=True)
    assert payload.channels == ("aVR", "I")
    assert (payload.sampling_rate, payload.axes, payload.units) == (500.0, ("lead", "time"), "")
    assert row | {"missing": 0, "missing_value": -32768} == payload.fields
    told = {"gain": 200.5, "baseline": -7, "units": "uV", "age": 90, "sex": "Male", "dx": "1,2", "leads": "AVR;I"}
    assert row.items() >= told.items()


def test_wfdb_leads_of_two_files_and_gains(tmp_path: Path) -> None:
    one, two = leads(1, number=2), leads(2, number=1)
    (tmp_path / "a.dat").write_bytes(packed(one, 16))
    (tmp_path / "b.dat").write_bytes(packed(two, 16))
    first, *lines = header("r", "a.dat", one, storage="16", names=LEADS[:2]).splitlines()
    last = header("r", "b.dat", two, storage="16", gain="500/mV", names=["V1"]).splitlines()[1]
    (tmp_path / "r.hea").write_text("\n".join([first.replace(" 2 ", " 3 "), *lines, last, "# an unknown comment"]))
    payload = read("wfdb", tmp_path / "r.hea")
    np.testing.assert_array_equal(values(payload), np.concatenate([one, two]), strict=True)
    assert payload.fields["gain"] == "1000;1000;500"
    found, told = configured("wfdb", {})
    assert [path.name for path in found.companions(tmp_path / "r.hea", told)] == ["a.dat", "b.dat"]


@pytest.mark.parametrize(
    ("before", "after", "problem"),
    [
        ("500 40 05-Feb-2020 11:39:16", "500", "lacks the number of signals"),
        ("A1 12", "A1/3 12", "several segments"),
        ("A1 12", "A1 11", "11 signals has 12 lines"),
        ("A1 12", "A1 twelve", "not numbers"),
        ("500 40", "0 40", "0 Hz"),
        ("500 40", "500 4000000000", "cut short: 984 bytes"),
        ("16+24", "310+24", "storage 310 is not read"),
        ("16+24", "16x4+24", "several values per frame"),
        ("16+24", "?", "not a signal line"),
        ("A1.mat", "../A1.mat", "outside its folder"),
        ("A1.mat", "B1.mat", "B1.mat, which is not there"),
        (" V1\n", " II\n", "lead 'II' is there 2 times"),
        ("16+24", "16+22", "checksum differs"),
    ],
)
def test_bad_wfdb(tmp_path: Path, before: str, after: str, problem: str) -> None:
    challenge(tmp_path, "A1", leads(0), "1", "60", "Male")
    path = tmp_path / "A1.hea"
    assert before in path.read_text()
    path.write_text(path.read_text().replace(before, after))
    with pytest.raises(ValueError, match=problem):
        read("wfdb", path, leads=["I", "II"])


def test_wfdb_checksums_may_be_ignored(tmp_path: Path) -> None:
    stored = leads(0)
    challenge(tmp_path, "A1", stored, "1", "60", "Male")
    path = tmp_path / "A1.hea"
    path.write_text(path.read_text().replace(str(checksum(stored[0])), "11", 1))
    with pytest.raises(ValueError, match=r"lead I: the checksum differs from the header's: A1.mat is damaged"):
        read("wfdb", path)
    np.testing.assert_array_equal(values(read("wfdb", path, checksums="ignore")), stored)


@pytest.mark.parametrize("age", ["NaN", "Unknown", "", "-1"])
def test_wfdb_age_that_is_not_known(tmp_path: Path, age: str) -> None:
    challenge(tmp_path, "A1", leads(0), "1", age, "Male")
    assert rows("wfdb", tmp_path / "A1.hea")[0]["age"] is None


# NumPy


def test_numpy_entries_with_fields_beside(tmp_path: Path) -> None:
    stored, votes = np.random.default_rng(0).normal(size=(3, 2, 5)).astype(">f4"), np.array([[1, 0.5], [0, 2], [3, 3]])
    np.save(tmp_path / "X.npy", stored)
    np.save(tmp_path / "Y.npy", votes)
    options: Fields = {"rows": True, "beside": {"votes": "Y.npy"}, "axes": ["channel", "time"]}
    listed = rows("numpy", tmp_path / "X.npy", **options)
    assert listed == [{"entry": 0, "votes": "1;0.5"}, {"entry": 1, "votes": "0;2"}, {"entry": 2, "votes": "3;3"}]
    payload = read("numpy", tmp_path / "X.npy", listed[2], **options)
    np.testing.assert_array_equal(values(payload), stored[2].astype("<f4"), strict=True)
    np.testing.assert_array_equal(values(read("numpy", tmp_path / "X.npy")), stored.astype("<f4"), strict=True)
    found, told = configured("numpy", options)
    assert list(found.companions(tmp_path / "X.npy", told)) == [tmp_path / "Y.npy"]


def test_bad_numpy(tmp_path: Path) -> None:
    np.save(tmp_path / "objects.npy", np.array([{"pickled": 1}]), allow_pickle=True)
    np.save(tmp_path / "words.npy", np.array(["a"]))
    np.save(tmp_path / "good.npy", np.zeros((3, 4)))
    (tmp_path / "cut.npy").write_bytes((tmp_path / "good.npy").read_bytes()[:-1])
    (tmp_path / "empty.npy").write_bytes(b"")
    np.savez(tmp_path / "several.npz", a=np.zeros(3))
    for name in ("objects.npy", "words.npy", "cut.npy", "empty.npy", "several.npz"):
        with pytest.raises(ValueError, match=r"\w"):
            read("numpy", tmp_path / name)
    with pytest.raises(ValueError, match="3 entries for 1 samples"):
        rows("numpy", tmp_path / "good.npy", beside={"y": "good.npy"})
    with pytest.raises(ValueError, match=r"no y.npy beside"):
        rows("numpy", tmp_path / "good.npy", beside={"y": "y.npy"})


# Text


def test_text_runs(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("#Date 10-26\na\tb\tact\n1\t-5\t7\n2\t6\t7\n3\t7\t8\n\n4\t8\t7\n")
    options: Fields = {"channels": ["b", "a"], "dtype": "int16", "runs": "act"}
    listed = rows("text-signal", tmp_path / "x.txt", **options)
    assert [(row["run"], row["first"], row["points"], row["act"]) for row in listed] == [
        (0, 0, 2, "7"), (1, 2, 1, "8"), (2, 3, 1, "7"),
    ]  # fmt: skip
    assert values(read("text-signal", tmp_path / "x.txt", listed[0], **options)).tolist() == [[-5, 6], [1, 2]]
    assert [row["run"] for row in rows("text-signal", tmp_path / "x.txt", **options, shortest=2)] == [0]
    whole = values(read("text-signal", tmp_path / "x.txt", channels=["a"]))
    np.testing.assert_array_equal(whole, np.array([[1, 2, 3, 4]], np.float32), strict=True)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "no line of column names"),
        ("a\tb\n", "no line of numbers"),
        ("a\tb\n1\t2\n3\n", "number of columns changed"),
        ("a\n1\t2\n", "2 numbers under 1"),
        ("a\tb\n1\tx\n", "could not convert"),
        ("b\tb\n1\t2\n", "'a' is there 0 times; there is: b, b"),
        ("a\tb\n1.5\t2\n", "no uint8"),
        ("a\tb\nnan\t2\n", "no uint8"),
        ("a\tb\n256\t2\n", "no uint8"),
    ],
)
def test_bad_text(tmp_path: Path, text: str, problem: str) -> None:
    (tmp_path / "x.txt").write_text(text)
    with pytest.raises(ValueError, match=problem):
        read("text-signal", tmp_path / "x.txt", channels=["a"], dtype="uint8")
