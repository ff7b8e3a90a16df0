"""Compact forms: what was packed comes back, whatever it was; anything else is told."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kessai.storage.compact import pack, unpack

ANSWER = (
    b'{"_links":{"self":{"method":"GET","href":"/pts/v2/payments/7951735482076000103001"}},"clientReferenceInformation":'
    b'{"code":"order-1"},"id":"7951735482076000103001","paymentAccountInformation":{"card":{"type":"001"}},"status":'
    b'"AUTHORIZED","submitTimeUtc":"2026-11-20T11:19:08Z"}'
)


@given(st.binary(max_size=5_000))
def test_everything_comes_back(data: bytes) -> None:
    assert unpack(pack(data)) == data


def test_an_answer_takes_a_fraction_of_its_length() -> None:
    assert len(pack(ANSWER)) < len(ANSWER) * 2 / 5


def test_golden_bytes_still_open() -> None:
    """Rows that were written stay readable: the dictionary of a number never changes."""
    assert unpack(bytes.fromhex(GOLDEN)) == b'{"clientReferenceInformation":{"code":"order-1"},"status":"AUTHORIZED"}'


@pytest.mark.parametrize("broken", [b"\x02", b"\xff123", b"\x01", pack(ANSWER)[:-1], b"\x01\xff\xff"])
def test_what_was_not_packed_is_told(broken: bytes) -> None:
    with pytest.raises(ValueError, match=r"form|packed"):
        unpack(broken)


GOLDEN = "0128b52ffd2047850000087d04400071a09981228c1850af8401"
