"""Pseudonyms are HMAC-SHA256, whatever the key: those of datasets packed long ago must come out again."""

import hmac

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ropeway_shardgen.pseudonyms import fraction, keyed, pseudonym, uid


@given(st.binary(max_size=200), st.binary(max_size=200))
@example(b"", b"")
@example(b"words", b"k" * 64)
@example(b"words", b"k" * 65)
def test_a_keyed_hash_is_that_of_the_standard_library(words: bytes, key: bytes) -> None:
    assert keyed(words, key) == hmac.digest(key, words, "sha256")
    assert keyed(words, key) == hmac.digest(key, words, "sha256"), "the key is taken in once, for many words"


def test_golden() -> None:
    assert pseudonym("P7", namespace="trial", kind="subject", secret=b"") == "65c6dd97e3889fba"
    assert pseudonym("P7", namespace="trial", kind="subject", secret=b"secret") == "665576204bf8550b"
    assert uid("1.2.840.1", b"key") == "2.25.119783205221192260705253302453962181957"
    assert fraction("P7", seed="ropeway") == pytest.approx(0.8293899922364218, abs=1e-15)
