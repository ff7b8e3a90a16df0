"""Keys for encrypted messages, by command: a key store, the gateway's certificate, a certificate for answers."""

import json
import stat
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, pkcs12

from kessai.messages import COMMON_NAME
from tests.commands import in_turn

SHOP = "shop"


def named(certificate: x509.Certificate, oid: x509.ObjectIdentifier = x509.NameOID.COMMON_NAME) -> str:
    return str(certificate.subject.get_attributes_for_oid(oid)[0].value)


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[tuple[int, str, str]]]:
    """A folder, and what the commands said in it, in turn."""
    folder = tmp_path_factory.mktemp("messages")
    (folder / "password").write_text("correct horse\n")
    store, other = str(folder / "a.p12"), str(folder / "b.p12")
    first = in_turn(
        folder,
        [
            ["merchant", "add", SHOP, "--personality", "vpc"],
            ["merchant", "p12", SHOP, "--out", store, "--password-file", str(folder / "password"), "--json"],
            ["merchant", "p12", SHOP, "--out", store],
            ["merchant", "p12", SHOP, "--out", other, "--json"],
            ["vault", "certificate"],
            ["vault", "certificate", "--json"],
            ["merchant", "p12", "nobody", "--out", str(folder / "c.p12")],
        ],
    )
    _, own, _ = pkcs12.load_key_and_certificates((folder / "b.p12").read_bytes(), password_of(first[3]))
    assert own is not None
    (folder / "own.pem").write_bytes(own.public_bytes(Encoding.PEM))
    serial = named(own, x509.NameOID.SERIAL_NUMBER)
    second = in_turn(
        folder,
        [
            ["merchant", "key", "answers", SHOP, "--certificate", str(folder / "own.pem")],
            ["merchant", "key", "answers", SHOP, "--certificate", str(folder / "own.pem"), "--key-id", "a", "--json"],
            ["merchant", "key", "answers", SHOP, "--certificate", str(folder / "password")],
            ["merchant", "list", "--json"],
            ["merchant", "key", "revoke", SHOP, "a"],
            ["merchant", "key", "revoke", SHOP, serial],
            ["merchant", "list", "--json"],
        ],
    )
    return folder, first + second


def password_of(made: tuple[int, str, str]) -> bytes:
    password: str = json.loads(made[1])["password"]
    return password.encode()


def test_a_key_store_has_a_key_that_signs_and_the_gateways_certificate(
    said: tuple[Path, list[tuple[int, str, str]]],
) -> None:
    folder, lines = said
    assert json.loads(lines[1][1]) == {"merchant": SHOP, "file": str(folder / "a.p12")}
    assert stat.S_IMODE((folder / "a.p12").stat().st_mode) == 0o600
    key, own, (gateways,) = pkcs12.load_key_and_certificates((folder / "a.p12").read_bytes(), b"correct horse")
    assert key is not None
    assert own is not None
    assert (named(own), named(gateways)) == (SHOP, COMMON_NAME)
    assert key.public_key() == own.public_key()
    (shop,) = [each for each in json.loads(lines[10][1]) if each["id"] == SHOP]
    assert named(own, x509.NameOID.SERIAL_NUMBER) in shop["keys"]


def test_the_gateways_certificate_is_one_and_the_same(said: tuple[Path, list[tuple[int, str, str]]]) -> None:
    folder, lines = said
    _, _, (gateways,) = pkcs12.load_key_and_certificates((folder / "b.p12").read_bytes(), password_of(lines[3]))
    assert x509.load_pem_x509_certificate(lines[4][1].encode()) == gateways
    assert json.loads(lines[5][1]) == {"certificate": lines[4][1]}


def test_a_file_that_is_there_is_left_alone_and_a_merchant_has_to_be(
    said: tuple[Path, list[tuple[int, str, str]]],
) -> None:
    folder, lines = said
    assert lines[2] == (1, "", f"kessai: the file {folder / 'a.p12'} exists already.\n")
    assert lines[6] == (1, "", "kessai: there is no merchant nobody.\n")
    assert not (folder / "c.p12").exists()


def test_a_certificate_for_answers_is_registered_and_revoked(said: tuple[Path, list[tuple[int, str, str]]]) -> None:
    """One that signs is good for answers already, under its own id."""
    _, lines = said
    assert lines[7][0] == 1
    assert "has, or had, a key" in lines[7][2]
    assert json.loads(lines[8][1]) == {"merchant": SHOP, "key_id": "a", "kind": "answers"}
    assert lines[9][0] == 1
    before, after = (next(each for each in json.loads(lines[place][1]) if each["id"] == SHOP) for place in (10, 13))
    assert before["answer_keys"] == ["a"]
    assert after["answer_keys"] == []
    assert len(before["keys"]) == len(after["keys"]) + 1
