"""Sample keys: reversible, and cut by stock readers where ours cut."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from webdataset.tariterators import base_plus_ext

from ropeway.errors import FormatError
from ropeway.keys import check_dataset, check_key, check_part, check_task, escape_key, unescape_key

SEGMENT = st.text(st.characters(exclude_characters="/", exclude_categories=["Cs"]), min_size=1, max_size=20)
RAW = st.lists(SEGMENT, min_size=1, max_size=4).map("/".join)


@given(RAW)
@example("1.2.840.113619.2.5")
@example("a%2Eb")
@example("../../etc/passwd")
@example("~/x y+z")
@example("__meta__/x")
@example("____/__a__/b")
def test_a_raw_id_comes_back(raw: str) -> None:
    key = escape_key(raw)
    assert check_key(key) == key
    assert unescape_key(key) == raw
    assert key.count("/") == raw.count("/")
    assert key.isascii()


@given(RAW, RAW)
def test_two_raw_ids_have_two_keys(one: str, other: str) -> None:
    assert (escape_key(one) == escape_key(other)) == (one == other)


@given(RAW)
@example("__meta__/x")
def test_stock_readers_cut_where_we_cut(raw: str) -> None:
    key = escape_key(raw)
    assert base_plus_ext(f"{key}.part.nii.gz") == (key, "part.nii.gz")


@given(st.from_regex(r"[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*", fullmatch=True).filter(lambda key: not key.startswith("__")))
def test_plain_ids_are_their_own_keys(raw: str) -> None:
    assert escape_key(raw) == raw


@pytest.mark.parametrize("raw", ["", "/", "a//b", "/a", "a/", "\ud800"])
def test_what_is_no_raw_id_is_refused(raw: str) -> None:
    with pytest.raises(FormatError, match="a raw id"):
        escape_key(raw)


@pytest.mark.parametrize(
    "key", ["", "a.b", "a b", "a/", "/a", "a//b", "..", "%2e", "%", "%G0", "ü", "a\n", "__meta__/x", "a\\b"]
)
def test_what_is_no_key_is_refused(key: str) -> None:
    with pytest.raises(FormatError, match="not a sample key"):
        check_key(key)
    with pytest.raises(FormatError, match="not a sample key"):
        unescape_key(key)


def test_escapes_that_are_no_text_are_refused() -> None:
    with pytest.raises(FormatError, match="not UTF-8"):
        unescape_key("a%FF")


@pytest.mark.parametrize("name", ["", "A", "1a", "a.b", "a b", "task", "meta", "a/b", "ä"])
def test_what_cannot_name_a_part_is_refused(name: str) -> None:
    with pytest.raises(FormatError, match="part"):
        check_part(name)


@pytest.mark.parametrize("name", ["", "A", "a.b", "../a", "_a", "a/b", "a\n"])
def test_what_cannot_name_a_dataset_or_task_is_refused(name: str) -> None:
    with pytest.raises(FormatError, match="not a dataset id"):
        check_dataset(name)
    with pytest.raises(FormatError, match="not a task id"):
        check_task(name)


def test_names_that_are_fine() -> None:
    assert check_part("ecg") == "ecg"
    assert check_part("lead-2_x") == "lead-2_x"
    assert check_dataset("ptb-xl") == "ptb-xl"
    assert check_dataset("12lead") == "12lead"
    assert check_task("ecg-diagnosis") == "ecg-diagnosis"
