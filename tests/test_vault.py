"""The vault: what goes in comes out at its place and nowhere else, and nothing shows. A-62 to A-66, A-69."""

import base64
import copy
import json
import pickle
from collections.abc import Callable
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kessai import known_answers
from kessai.known_answers import self_test
from kessai.payment.bank import AccountType, BankAccount
from kessai.payment.card import AccountNumber, Card, Expiry, Pan, Secret, SecurityCode
from kessai.vault import (
    SEALS_PER_KEY,
    CannotOpen,
    KeyEncryptionKey,
    KeyExhausted,
    NotLoaded,
    Purpose,
    SelfTestFailed,
    Vault,
    WrongKey,
    parse_kek,
)

RAW = bytes(range(32))
DIGITS = "4111111111111111"
PAN = Pan(DIGITS)
EXPIRY = Expiry(2031, 12)
ACCOUNT = BankAccount(number=AccountNumber("4100271828"), routing_number="071923284", type=AccountType.SAVINGS)
RING = Vault(KeyEncryptionKey(RAW))
SHOP = RING.create_keys("shop")
OTHER = RING.create_keys("other")
RING.load("shop", SHOP)
RING.load("other", OTHER)


# Cards and secrets


@pytest.mark.parametrize("expiry", [EXPIRY, None, Expiry(1, 0), Expiry(65_535, 255)])
@pytest.mark.parametrize("digits", [DIGITS, "378282246310005", "4", "0", "00012345678901234567"])
def test_a_card_opens_as_it_was_sealed(digits: str, expiry: Expiry | None) -> None:
    sealed = RING.seal_card("shop", 7, Pan(digits), expiry)
    assert RING.open_card("shop", 7, sealed) == Card(pan=Pan(digits), expiry=expiry)


@given(
    plaintext=st.binary(max_size=300),
    row=st.text(st.characters(codec="utf-8"), max_size=20),
    column=st.sampled_from(["", "secret", "日"]),
)
def test_a_secret_opens_as_it_was_sealed(plaintext: bytes, row: str, column: str) -> None:
    sealed = RING.seal_secret("shop", row, column, plaintext)
    assert RING.open_secret("shop", row, column, sealed) == plaintext


def test_a_sealed_card_shows_neither_the_number_nor_its_length() -> None:
    """A-66."""
    sealed = [RING.seal_card("shop", 1, Pan(digits), EXPIRY) for digits in (DIGITS, "4", "6" * 20)]
    assert len({len(one) for one in sealed}) == 1
    assert all(form not in sealed[0] for form in (DIGITS.encode(), bytes.fromhex(DIGITS)))


def test_a_sealed_card_does_not_open_as_a_secret() -> None:
    sealed = RING.seal_card("shop", 1, PAN, EXPIRY)
    with pytest.raises(CannotOpen):
        RING.open_secret("shop", "1", "card", sealed)


@pytest.mark.parametrize(
    "expiry", [Expiry(0, 1), Expiry(65_536, 1), Expiry(-1, 1), Expiry(2030, 256), Expiry(2030, -1)]
)
def test_an_expiry_that_does_not_fit_is_refused(expiry: Expiry) -> None:
    with pytest.raises(ValueError, match="an expiry is"):
        RING.seal_card("shop", 1, PAN, expiry)


# A security code has no way in


@pytest.mark.parametrize(
    "seal",
    [
        lambda code: RING.seal_card("shop", 1, code, EXPIRY),
        lambda code: RING.seal_card("shop", 1, PAN, code),
        lambda code: RING.seal_card("shop", 1, Card(pan=PAN, security_code=code), EXPIRY),  # type: ignore[arg-type]
        lambda code: RING.seal_secret("shop", "1", "secret", code),
        lambda code: RING.fingerprint("shop", code),
    ],
)
@pytest.mark.parametrize("code", [SecurityCode("737"), Secret("737")])
def test_a_security_code_cannot_be_sealed(seal: Callable[[Secret], object], code: Secret) -> None:
    with pytest.raises(TypeError) as refused:
        seal(code)
    assert "737" not in str(refused.value)


def test_an_account_opens_as_it_was_sealed_and_is_no_card() -> None:
    sealed = RING.seal_account("shop", 7, ACCOUNT)
    assert RING.open_account("shop", 7, sealed) == ACCOUNT
    assert b"4100271828" not in sealed
    for merchant, row in (("other", 7), ("shop", 8)):
        with pytest.raises(CannotOpen):
            RING.open_account(merchant, row, sealed)
    with pytest.raises(CannotOpen):
        RING.open_card("shop", 7, sealed)
    with pytest.raises(CannotOpen):
        RING.open_account("shop", 7, RING.seal_card("shop", 7, PAN, EXPIRY))


def test_an_opened_card_has_no_security_code() -> None:
    assert RING.open_card("shop", 1, RING.seal_card("shop", 1, PAN, EXPIRY)).security_code is None


# another place


@pytest.mark.parametrize(("merchant", "row"), [("other", 7), ("shop", 8), ("shop", 70), ("shop", -7)])
def test_a_moved_card_does_not_open(merchant: str, row: int) -> None:
    """A-62."""
    sealed = RING.seal_card("shop", 7, PAN, EXPIRY)
    with pytest.raises(CannotOpen):
        RING.open_card(merchant, row, sealed)


@pytest.mark.parametrize(
    ("merchant", "row", "column"),
    [
        ("other", "12", "secret"),
        ("shop", "1", "secret"),
        ("shop", "12", "other"),
        ("shop", "1", "2secret"),
        ("shop", "secret", "12"),
    ],
)
def test_a_moved_secret_does_not_open(merchant: str, row: str, column: str) -> None:
    """A-62."""
    sealed = RING.seal_secret("shop", "12", "secret", b"shared")
    with pytest.raises(CannotOpen):
        RING.open_secret(merchant, row, column, sealed)


def test_a_keyset_of_one_merchant_does_not_load_for_another() -> None:
    """A-62."""
    ring = Vault(KeyEncryptionKey(RAW))
    with pytest.raises(CannotOpen):
        ring.load("shop2", SHOP)
    assert not ring.knows("shop2")


def test_a_keyset_does_not_serve_another_purpose() -> None:
    swapped = {**SHOP, Purpose.CARD: SHOP[Purpose.SECRET]}
    with pytest.raises(CannotOpen):
        Vault(KeyEncryptionKey(RAW)).load("shop", swapped)


@pytest.mark.parametrize("purpose", list(Purpose))
def test_a_missing_keyset_is_said_by_its_purpose(purpose: Purpose) -> None:
    keysets = {name: sealed for name, sealed in SHOP.items() if name is not purpose}
    with pytest.raises(CannotOpen, match=f"the {purpose} keyset is missing"):
        Vault(KeyEncryptionKey(RAW)).load("shop", keysets)


# changed, cut short, empty


def test_no_flipped_bit_opens_a_card() -> None:
    """A-63."""
    sealed = RING.seal_card("shop", 7, PAN, EXPIRY)
    for place in range(len(sealed) * 8):
        flipped = bytearray(sealed)
        flipped[place // 8] ^= 1 << place % 8
        with pytest.raises(CannotOpen):
            RING.open_card("shop", 7, bytes(flipped))
    assert RING.open_card("shop", 7, sealed).pan == PAN


def test_nothing_cut_short_or_made_longer_opens() -> None:
    """A-63."""
    sealed = RING.seal_secret("shop", "1", "secret", b"shared")
    for changed in [sealed[:length] for length in range(len(sealed))] + [sealed + b"\0", b"\0" + sealed]:
        with pytest.raises(CannotOpen):
            RING.open_secret("shop", "1", "secret", changed)


def test_no_flipped_bit_loads_a_keyset() -> None:
    ring = Vault(KeyEncryptionKey(RAW))
    sealed = SHOP[Purpose.CARD]
    for place in range(len(sealed) * 8):
        flipped = bytearray(sealed)
        flipped[place // 8] ^= 1 << place % 8
        with pytest.raises(CannotOpen):
            ring.load("shop", {**SHOP, Purpose.CARD: bytes(flipped)})
    assert not ring.knows("shop")


@given(sealed=st.binary(max_size=80))
def test_no_made_up_bytes_open(sealed: bytes) -> None:
    for attempt in (sealed, b"\x01" + sealed, b"\x01\x01" + sealed):
        with pytest.raises(CannotOpen):
            RING.open_card("shop", 7, attempt)


def test_a_failure_to_open_carries_no_value() -> None:
    with pytest.raises(CannotOpen) as failed:
        RING.open_card("shop", 4_711, b"\x01" + DIGITS.encode() * 3)
    assert DIGITS not in repr(failed.value)
    assert failed.value.__cause__ is None
    assert failed.value.__suppress_context__


# nonces, and the use of a key


def test_the_same_card_is_never_sealed_the_same_and_every_seal_counts() -> None:
    """A-64."""
    ring = Vault(KeyEncryptionKey(RAW))
    ring.load("shop", SHOP, used={Purpose.CARD: 500})
    sealed = {ring.seal_card("shop", 7, PAN, EXPIRY) for _ in range(10_000)}
    nonces = {one[6:18] for one in sealed}
    assert (len(sealed), len(nonces)) == (10_000, 10_000)
    assert ring.seals("shop") == {Purpose.CARD: 10_500, Purpose.SECRET: 0}


def test_a_key_refuses_to_seal_at_its_limit_but_opens() -> None:
    ring = Vault(KeyEncryptionKey(RAW))
    ring.load("shop", SHOP, used={Purpose.CARD: SEALS_PER_KEY - 1})
    last = ring.seal_card("shop", 7, PAN, EXPIRY)
    with pytest.raises(KeyExhausted):
        ring.seal_card("shop", 7, PAN, EXPIRY)
    assert ring.open_card("shop", 7, last).pan == PAN
    assert ring.open_secret("shop", "1", "secret", ring.seal_secret("shop", "1", "secret", b"x")) == b"x"


# the key-encryption key


def test_a_wrong_key_is_called_wrong_and_loads_nothing() -> None:
    """A-65."""
    ring = Vault(KeyEncryptionKey(bytes(32)))
    with pytest.raises(WrongKey) as refused:
        ring.load("shop", SHOP)
    assert KeyEncryptionKey(RAW).id.hex() in str(refused.value)
    assert not ring.knows("shop")


def test_the_same_key_read_again_opens_what_was_sealed() -> None:
    sealed = RING.seal_card("shop", 7, PAN, EXPIRY)
    again = Vault(parse_kek(RAW.hex()))
    again.load("shop", SHOP)
    assert again.open_card("shop", 7, sealed).pan == PAN


@pytest.mark.parametrize(
    "text",
    [
        bytes(range(224, 256)).hex(),
        bytes(range(224, 256)).hex().upper() + "\n",
        base64.b64encode(bytes(range(224, 256))).decode(),
        " " + base64.urlsafe_b64encode(bytes(range(224, 256))).decode().rstrip("=") + "\r\n",
    ],
)
def test_a_key_is_read_from_hexadecimal_and_from_base64(text: str) -> None:
    assert parse_kek(text).id == KeyEncryptionKey(bytes(range(224, 256))).id


@pytest.mark.parametrize(
    "text",
    [
        "",
        "short",
        RAW.hex()[:-1],
        RAW.hex() + "0",
        base64.b64encode(RAW[:31]).decode(),
        base64.b64encode(RAW + RAW).decode(),
        "é" * 44,
        "*" * 43,
    ],
)
def test_a_text_that_is_no_key_is_refused_without_showing_it(text: str) -> None:
    with pytest.raises(ValueError, match="a key-encryption key is 32 bytes") as refused:
        parse_kek(text)
    assert text == "" or text not in str(refused.value)


@pytest.mark.parametrize("length", [0, 16, 31, 33, 64])
def test_a_key_of_another_length_is_refused_with_its_length(length: int) -> None:
    with pytest.raises(ValueError, match=f"32 bytes, not {length}"):
        KeyEncryptionKey(bytes(length))


# The ring


@pytest.mark.parametrize(
    "use",
    [
        lambda ring: ring.seal_card("shop", 1, PAN, EXPIRY),
        lambda ring: ring.open_card("shop", 1, b"\x01"),
        lambda ring: ring.seal_secret("shop", "1", "secret", b""),
        lambda ring: ring.open_secret("shop", "1", "secret", b"\x01"),
        lambda ring: ring.fingerprint("shop", PAN),
        lambda ring: ring.seals("shop"),
    ],
)
def test_nothing_works_for_a_merchant_that_is_not_loaded(use: Callable[[Vault], object]) -> None:
    ring = Vault(KeyEncryptionKey(RAW))
    ring.load("shop", SHOP)
    ring.forget("shop")
    with pytest.raises(NotLoaded):
        use(ring)


def test_whoever_was_not_needed_for_longest_leaves_a_full_ring() -> None:
    ring = Vault(KeyEncryptionKey(RAW), capacity=2)
    ring.load("shop", SHOP)
    ring.load("other", OTHER)
    ring.fingerprint("shop", PAN)
    ring.load("third", ring.create_keys("third"))
    assert [ring.knows(name) for name in ("shop", "other", "third")] == [True, False, True]


def test_a_failed_reload_leaves_the_ring_as_it_was() -> None:
    ring = Vault(KeyEncryptionKey(RAW))
    ring.load("shop", SHOP)
    sealed = ring.seal_card("shop", 1, PAN, EXPIRY)
    with pytest.raises(CannotOpen):
        ring.load("shop", OTHER)
    assert ring.open_card("shop", 1, sealed).pan == PAN


# Fingerprints


def test_a_fingerprint_finds_the_same_card_at_the_same_merchant_only() -> None:
    again = Vault(KeyEncryptionKey(RAW))
    again.load("shop", SHOP)
    taken = RING.fingerprint("shop", PAN)
    assert taken == again.fingerprint("shop", Pan(DIGITS))
    assert len(taken) == 16
    assert taken != RING.fingerprint("other", PAN)
    assert taken != RING.fingerprint("shop", Pan("4242424242424242"))


# nothing shows


@pytest.mark.parametrize("thing", [KeyEncryptionKey(RAW), PAN, SecurityCode("737")])
def test_no_secret_type_shows_or_copies_itself(thing: object) -> None:
    shown = [repr(thing), str(thing), f"{thing}", f"{[thing]}"]
    for secret in (RAW.hex(), base64.b64encode(RAW).decode(), repr(RAW)[2:-1], DIGITS, "737"):
        assert all(secret not in text for text in shown)
    for write in (pickle.dumps, copy.copy, copy.deepcopy, json.dumps, vars):
        with pytest.raises(TypeError):
            cast(Callable[[Any], object], write)(thing)


@pytest.mark.parametrize("write", [pickle.dumps, copy.deepcopy, json.dumps, vars])
def test_the_ring_is_not_written_anywhere(write: Callable[[Any], object]) -> None:
    with pytest.raises(TypeError):
        write(RING)


# The self-test, and the format we have promised


def test_the_self_test_passes_here() -> None:
    self_test()
    assert KeyEncryptionKey(RAW).id.hex() == "4c0631f3"


@pytest.mark.parametrize(("vector", "says"), [("_GCM", "AES"), ("_HMAC", "HMAC")])
def test_the_self_test_finds_a_wrong_answer(vector: str, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    known: str | bytes = getattr(known_answers, vector)
    wrong = known.replace("ab\n", "ac\n") if isinstance(known, str) else known[:-1] + b"\0"
    monkeypatch.setattr(known_answers, vector, wrong)
    with pytest.raises(SelfTestFailed, match=says):
        self_test()


GOLDEN_KEYSETS = {
    Purpose.CARD: bytes.fromhex(
        "01014c0631f3d70e1834e5165289ee4f6503818fe766af44bb762fa59e04909295a51f931c8e85d92252a8509cd05e70c18983f75e37"
        "d236c303c0ae1ea973a061fc9c26e94038b27d4ec95e8b5fdfa9e16cdf59290115d3ff042c9eb477e23b998bbc24c458b8e960eff9dc"
        "f737fe4406729b9b53876da463dcf6b59e3ac80d2132515eb7b68d48cfd20669de62"
    ),
    Purpose.SECRET: bytes.fromhex(
        "01014c0631f3e19523aef52f9e224ac087558e4594e2a6e033603900d3f6a88016df37f76814533489e820a8a921d264f7e5abf989c2"
        "8d0c1f64b8ce8cc8afb584aa8f6b5aa2b6d498466f78980c7533369083394a1652ebe229df42efca11c88b67f81b47ad513f9a717b5b"
        "a5982ba3aa13e6fafd06e35dc94ffcc5612057ae505c38e08f695cb66fc02a5a5916"
    ),
    Purpose.FINGERPRINT: bytes.fromhex(
        "01014c0631f30e571ccdd5e35e5835dbb00eb6711621159b56029afb26ba54e7c3d2b6bd176141895d5c537c02b0d3f4615c79600ecb"
        "6f0329368afd56af1751dd2806f254f0595f9d0a2c65aa2be7874103b40115aad54f9caca5da1111efa4a918d9b6f19f2b9367e0da7a"
        "7cb36ba4c36069f106287a842788a5bc8dc16fb5de2f5fc7354c81bc1d02ddc9cc9a01d4f47fe1"
    ),
}
GOLDEN_CARD = bytes.fromhex(
    "010171a11a29593fafd12b7788de01ee72b605d513888be27a4cb48628aa3443fe9a77f2dafc746712bd6c6ba9ee07"
)
GOLDEN_SECRET = bytes.fromhex("010169b248f256ec79c33659ad393008095b8150f6f8960fc4e108d80f0358b3cba8d7a2d4a23260")
GOLDEN_FINGERPRINT = bytes.fromhex("c118f4129856927c4ea51996eaf46d7c")


def test_what_format_1_sealed_opens_for_ever() -> None:
    ring = Vault(KeyEncryptionKey(RAW))
    ring.load("golden", GOLDEN_KEYSETS)
    assert ring.open_card("golden", 42, GOLDEN_CARD) == Card(pan=PAN, expiry=EXPIRY)
    assert ring.open_secret("golden", "42", "secret", GOLDEN_SECRET) == b"shared"
    assert ring.fingerprint("golden", PAN) == GOLDEN_FINGERPRINT
