"""Videos: passed on as they are, without what may tell who is in them; clips that show their frames and no others."""

from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from adapter_reading import read, rows
from raw_videos import decoded, video
from ropeway.decoders.video import decode_spread, decode_video
from ropeway_shardgen.problems import SampleError
from ropeway_shardgen.recipe import configured

# whole videos


@pytest.mark.parametrize("name", ["x.avi", "x.mp4", "x.mov"])
def test_videos_are_passed_on_byte_for_byte(tmp_path: Path, name: str) -> None:
    path = video(tmp_path / name, frames=13)
    payload = read("video", path)
    assert (payload.content, payload.format) == (path.read_bytes(), path.suffix[1:])
    assert (payload.shape, payload.sampling_rate) == ((13, 32, 48, 3), 25.0)
    assert (payload.fields["frames"], payload.fields["seconds"], payload.fields["blanked"]) == (13, 13 / 25, 0)
    header = {"fps": 25.0, "height": 32, "width": 48, "codec": payload.fields["codec"]}
    assert rows("video", path) == [header]


TAGS = {
    "title": "Jane Doe 1950",
    "comment": "MRN 12345",
    "creation_time": "2019-05-06T07:08:09Z",
    "artist": "Dr. Who",
    "date": "2019-05-06",
}


@pytest.mark.parametrize("name", ["x.avi", "x.mp4", "x.mov"])
def test_what_may_tell_who_it_is_is_blanked_in_place(tmp_path: Path, name: str) -> None:
    path = video(tmp_path / name, tags=TAGS)
    assert b"Jane Doe" in path.read_bytes()
    payload = read("video", path)
    assert len(payload.content) == path.stat().st_size
    assert all(value.encode() not in payload.content for value in TAGS.values())
    blanked = payload.fields["blanked"]
    assert isinstance(blanked, int)
    assert blanked >= 1
    np.testing.assert_array_equal(decoded(payload.content), decoded(path), strict=True)
    (tmp_path / f"again{path.suffix}").write_bytes(payload.content)
    with av.open(str(tmp_path / f"again{path.suffix}")) as container:
        assert not set(container.metadata) & set(TAGS)
        assert all("creation_time" not in stream.metadata for stream in container.streams)


def test_sound_is_taken_out_of_an_mp4(tmp_path: Path) -> None:
    path = video(tmp_path / "x.mp4", sound=True)
    payload = read("video", path)
    np.testing.assert_array_equal(decoded(payload.content), decoded(path), strict=True)
    assert decode_video(memoryview(payload.content), "mp4").shape == (12, 32, 48, 3)
    (tmp_path / "again.mp4").write_bytes(payload.content)
    with av.open(str(path)) as before, av.open(str(tmp_path / "again.mp4")) as after:
        assert (len(before.streams.audio), len(after.streams.audio)) == (1, 0)
        content = path.read_bytes()
        for entry in before.streams.audio[0].index_entries:
            assert any(content[entry.pos : entry.pos + entry.size])
            assert not any(payload.content[entry.pos : entry.pos + entry.size])


def test_an_avi_with_sound_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="an AVI with a stream of audio"):
        read("video", video(tmp_path / "x.avi", sound=True))


def test_unknown_boxes_are_blanked(tmp_path: Path) -> None:
    path = video(tmp_path / "x.mp4")
    secret = b"Jane Doe".ljust(24)
    path.write_bytes(path.read_bytes() + (8 + len(secret)).to_bytes(4) + b"uuid" + secret)
    payload = read("video", path)
    assert b"Jane" not in payload.content
    assert payload.fields["blanked"] == 1


@pytest.mark.parametrize("name", ["x.avi", "x.mp4", "x.mov"])
def test_videos_cut_short(tmp_path: Path, name: str) -> None:
    path = video(tmp_path / name, frames=20)
    whole = path.read_bytes()
    for part in (0, 10, len(whole) // 2, len(whole) - 20):
        path.write_bytes(whole[:part])
        with pytest.raises(ValueError, match=r"cut short|not a file of format|Error"):
            read("video", path)


@pytest.mark.parametrize("name", ["x.avi", "x.mp4"])
def test_damaged_videos_are_refused_or_keep_their_length(tmp_path: Path, name: str) -> None:
    path = video(tmp_path / name, tags=TAGS)
    whole, random = path.read_bytes(), np.random.default_rng(0)
    ends = [*range(400), *range(len(whole) - 900, len(whole))]
    for _ in range(60):
        content = bytearray(whole)
        for place in random.choice(ends, 2):
            content[place] = random.integers(256)
        path.write_bytes(content)
        try:
            assert len(read("video", path).content) == len(whole)
        except ValueError:
            continue


def test_other_files(tmp_path: Path) -> None:
    (tmp_path / "x.gif").write_bytes(b"GIF89a")
    with pytest.raises(ValueError, match=r"a video ending in '.gif'; packed are: .avi, .mp4"):
        read("video", tmp_path / "x.gif")
    (tmp_path / "x.mp4").write_bytes(b"no video at all" * 9)
    with pytest.raises(ValueError, match=r"cut short|not a file of format mp4"):
        read("video", tmp_path / "x.mp4")


# clips

PHASES = {"file": "../phases/{stem}-phase.txt", "column": "Phase"}
TOOLS = {"file": "../tools/{stem}-tool.txt", "flags": ["Grasper", "Hook"]}


def annotated(root: Path, **kind: Any) -> Path:
    """60 frames, a phase for each and tools for every tenth."""
    path = video(root / "videos/v1.mp4", frames=60, gop=25, **kind)
    for folder in ("phases", "tools"):
        (root / folder).mkdir()
    lines = [f"{frame}\t{'Preparation' if frame < 25 else 'Cutting'}\r\n" for frame in range(60)]
    (root / "phases/v1-phase.txt").write_text("Frame\tPhase\r\n" + "".join(lines))
    lines = [f"{frame}\t{int(frame == 20)}\t{int(frame in (20, 50))}\n" for frame in range(0, 60, 10)]
    (root / "tools/v1-tool.txt").write_text("Frame\tGrasper\tHook\n" + "".join(lines))
    return path


@pytest.mark.parametrize("between", [0, 2])
def test_clips_show_their_frames_and_no_others(tmp_path: Path, between: int) -> None:
    path = annotated(tmp_path, between=between)
    whole = decoded(path)
    found = rows("video-clip", path, intervals=7)
    assert [row["first_frame"] for row in found] == [i * 60 // 7 for i in range(7)]
    assert sum(row["frames"] for row in found) == 60
    for row in found:
        payload = read("video-clip", path, row, intervals=7)
        wanted = whole[row["first_frame"] :][: row["frames"]]
        np.testing.assert_array_equal(decoded(payload.content), wanted, strict=True)
        content = memoryview(payload.content)
        colours = decode_video(content, "mp4")
        assert colours.shape == payload.shape == (len(wanted), 32, 48, 3)
        for count in (1, 4, 11):  # fewer frames than the clip has, and more
            spread = np.rint(np.linspace(0, len(wanted) - 1, count)).astype(int)
            np.testing.assert_array_equal([frame for _, frame in decode_spread(content, "mp4", count)], colours[spread])


def test_clips_are_the_same_bytes_each_time_and_say_nothing_of_the_video(tmp_path: Path) -> None:
    path = annotated(tmp_path, tags=TAGS)
    first = read("video-clip", path, {"interval": 3}, intervals=7).content
    read("video-clip", path, {"interval": 1}, intervals=7)
    assert read("video-clip", path, {"interval": 3}, intervals=7).content == first
    assert not [value for value in TAGS.values() if value.encode() in first]


def test_words_of_intervals(tmp_path: Path) -> None:
    path = annotated(tmp_path)
    options: Any = {"intervals": 6, "tables": {"phases": PHASES, "tools": TOOLS}}
    found = rows("video-clip", path, **options)
    assert [row["phases"] for row in found] == [*["Preparation"] * 2, "Preparation;Cutting", *["Cutting"] * 3]
    assert [row["tools"] for row in found] == [None, None, "Grasper;Hook", None, None, "Hook"]
    adapter, told = configured("video-clip", options)
    names = [file.name for file in adapter.companions(path, told)]
    assert names == ["v1-phase.txt", "v1-tool.txt"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("Frame\tGrasper\n0\t1\n", "v1-tool.txt has no column 'Hook'"),
        ("Frame\tGrasper\tHook\n0\t1\t2\n", "v1-tool.txt, row 1: Hook is '2', neither 0 nor 1"),
        ("Frame\tGrasper\tHook\nx\t1\t0\n", "v1-tool.txt, row 1: 'x' is not a frame"),
        ("Frame\tGrasper\tHook\n", "v1-tool.txt says nothing of the 60 frames"),
    ],
)
def test_bad_tables_of_frames(tmp_path: Path, text: str, problem: str) -> None:
    path = annotated(tmp_path)
    (tmp_path / "tools/v1-tool.txt").write_text(text)
    with pytest.raises(ValueError, match=problem):
        rows("video-clip", path, intervals=6, tables={"tools": TOOLS})
    (tmp_path / "tools/v1-tool.txt").unlink()
    with pytest.raises(FileNotFoundError):
        rows("video-clip", path, intervals=6, tables={"tools": TOOLS})


def test_what_cannot_be_cut(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not an MP4"):
        rows("video-clip", video(tmp_path / "x.avi"), intervals=2)
    path = video(tmp_path / "x.mp4", frames=5)
    with pytest.raises(ValueError, match="6 intervals of a video of 5 frames"):
        rows("video-clip", path, intervals=6)


# rows of a table

TRACINGS = "FileName,X1,Y1,Frame\na.avi,1.5,2,46\nb.avi,3,4,7\na.avi,5.25,,46\n"


def test_the_rows_of_a_sample(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(TRACINGS)
    options: Any = {"on": {"FileName": "{file}.avi"}, "columns": ["X1", "Y1", "Frame"]}
    payload = read("table-rows", path, {"file": "a"}, **options)
    array = np.frombuffer(payload.content[-48:], "<f8").reshape(2, 3)
    np.testing.assert_array_equal(array, [[1.5, 2, 46], [5.25, np.nan, 46]])
    assert (payload.channels, payload.fields["rows"]) == (("X1", "Y1", "Frame"), 2)
    with pytest.raises(SampleError, match="no row has FileName as the sample does"):
        read("table-rows", path, {"file": "c"}, **options)
    assert read("table-rows", path, {"file": "c"}, **options, may_lack=True).shape == (0, 3)
    with pytest.raises(ValueError, match="there is no column 'Z'"):
        read("table-rows", path, {"file": "a"}, on={"FileName": "a"}, columns=["Z"])
    with pytest.raises(SampleError, match=r"'a\.avi' in one of FileName is not a number"):
        read("table-rows", path, {"file": "a"}, on={"FileName": "{file}.avi"}, columns=["FileName"])


def test_a_table_with_a_short_row(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(TRACINGS + "a.avi,1\n")
    with pytest.raises(ValueError, match="row 4 has 2 cells, the header 4"):
        read("table-rows", path, {"file": "a"}, on={"FileName": "{file}.avi"}, columns=["X1"])
