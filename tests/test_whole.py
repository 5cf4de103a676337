"""Raw files read whole: what `Path.read_bytes` gives, for files of any kind and size."""

import os
from pathlib import Path

import pytest

from ropeway_shardgen.adapters import adapter, adapters
from ropeway_shardgen.adapters.whole import whole
from shardgen_raw import png


@pytest.mark.parametrize("size", [0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1])
def test_a_file_is_read_whole(tmp_path: Path, size: int) -> None:
    file = tmp_path / "file"
    file.write_bytes(os.urandom(size))
    assert whole(file) == whole(str(file)) == file.read_bytes()


def test_a_file_whose_size_the_system_does_not_know_is_read_whole() -> None:
    file = Path("/proc/self/environ")
    assert file.stat().st_size == 0
    assert whole(file) == file.read_bytes() != b""


def test_what_is_no_file_is_an_error_as_everywhere(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        whole(tmp_path / "missing")
    with pytest.raises(IsADirectoryError):
        whole(tmp_path)


def test_a_file_s_bytes_make_the_payload_that_reading_the_file_makes(tmp_path: Path) -> None:
    files = {"image": png(9), "text": "Größe".encode()}
    assert set(files) == {name for name in adapters() if adapter(name).of_bytes is not None}
    for name, content in files.items():
        file, found = tmp_path / name, adapter(name)
        file.write_bytes(content)
        assert found.of_bytes is not None
        assert found.of_bytes(content, found.options()) == found.read(file, {}, found.options())
