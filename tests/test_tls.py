"""The development authority and the server's TLS. Covers R-54."""

import contextlib
import ipaddress
import socket
import ssl
import stat
import threading
import warnings
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from kessai import tls
from kessai.tls import CertificateUnusable, development_certificate, server_context

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def read(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def test_makes_an_authority_and_a_server_certificate(tmp_path: Path) -> None:
    cert_path, _, ca_path = development_certificate(tmp_path / "tls", NOW)
    certificate, authority = read(cert_path), read(ca_path)
    certificate.verify_directly_issued_by(authority)
    authority.verify_directly_issued_by(authority)
    for made in (certificate, authority):
        assert isinstance(made.public_key(), ec.EllipticCurvePublicKey)
        assert made.not_valid_before_utc < NOW
    assert certificate.not_valid_after_utc - certificate.not_valid_before_utc == timedelta(days=397)
    assert authority.not_valid_after_utc - authority.not_valid_before_utc == timedelta(days=3652)


def test_the_authority_may_sign_and_the_server_may_only_serve(tmp_path: Path) -> None:
    cert_path, _, ca_path = development_certificate(tmp_path / "tls", NOW)
    ca, server = read(ca_path).extensions, read(cert_path).extensions
    constraints = ca.get_extension_for_class(x509.BasicConstraints)
    assert (constraints.critical, constraints.value) == (True, x509.BasicConstraints(ca=True, path_length=0))
    usage = ca.get_extension_for_class(x509.KeyUsage)
    assert (usage.critical, usage.value.key_cert_sign, usage.value.digital_signature) == (True, True, False)
    assert not server.get_extension_for_class(x509.BasicConstraints).value.ca
    assert not server.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
    assert list(server.get_extension_for_class(x509.ExtendedKeyUsage).value) == [ExtendedKeyUsageOID.SERVER_AUTH]


def test_names_the_hosts_that_clients_are_pointed_away_from(tmp_path: Path) -> None:
    cert_path, _, _ = development_certificate(tmp_path / "tls", NOW)
    names = read(cert_path).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == [
        "localhost",
        "apitest.cybersource.com",
        "api-dev.paymentoptions.com",
    ]
    assert names.get_values_for_type(x509.IPAddress) == [ipaddress.ip_address("127.0.0.1"), ipaddress.ip_address("::1")]


def test_only_the_owner_reads_the_keys(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "tls"
    development_certificate(folder, NOW)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {
        path.name: oct(stat.S_IMODE(path.stat().st_mode)) for path in folder.iterdir() if path.suffix == ".key"
    } == {
        "ca.key": "0o600",
        "server.key": "0o600",
    }
    assert len(list(folder.iterdir())) == 4


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def changed(before: dict[str, bytes], after: dict[str, bytes]) -> set[str]:
    return {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}


SERVER = {"server.pem", "server.key"}
ALL = {*SERVER, "ca.pem", "ca.key"}

LATER = [
    (timedelta(0), set()),
    (timedelta(days=366), set()),
    (timedelta(days=367), SERVER),
    (timedelta(days=500), SERVER),
    (timedelta(days=3_600), SERVER),
    (timedelta(days=3_630), ALL),
]


@pytest.mark.parametrize(("later", "expected"), LATER)
def test_renews_what_lapses_within_30_days(tmp_path: Path, later: timedelta, expected: set[str]) -> None:
    development_certificate(tmp_path, NOW)
    before = contents(tmp_path)
    cert_path, _, ca_path = development_certificate(tmp_path, NOW + later)
    assert changed(before, contents(tmp_path)) == expected
    read(cert_path).verify_directly_issued_by(read(ca_path))
    assert read(cert_path).not_valid_after_utc - (NOW + later) >= timedelta(days=30)
    assert read(cert_path).not_valid_after_utc <= read(ca_path).not_valid_after_utc


def test_a_changed_list_of_names_renews_the_server_and_keeps_the_authority(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    development_certificate(tmp_path, NOW)
    before = contents(tmp_path)
    monkeypatch.setattr(tls, "NAMES", ("localhost", "pay.example"))
    development_certificate(tmp_path, NOW)
    assert changed(before, contents(tmp_path)) == SERVER


DAMAGED = [
    ("server.pem", b"", SERVER),
    ("server.pem", b"not a certificate", SERVER),
    ("server.key", b"not a key", SERVER),
    ("ca.key", b"not a key", ALL),
    ("ca.pem", b"", ALL),
]


@pytest.mark.parametrize(("name", "content", "expected"), DAMAGED)
def test_replaces_what_is_damaged(tmp_path: Path, name: str, content: bytes, expected: set[str]) -> None:
    cert_path, key_path, _ = development_certificate(tmp_path, NOW)
    before = contents(tmp_path)
    (tmp_path / name).write_bytes(content)
    development_certificate(tmp_path, NOW)
    assert changed(before, contents(tmp_path)) == expected
    server_context(cert_path, key_path)


def test_replaces_a_certificate_whose_key_is_anothers(tmp_path: Path) -> None:
    cert_path, key_path, ca_path = development_certificate(tmp_path / "a", NOW)
    _, other, _ = development_certificate(tmp_path / "b", NOW)
    key_path.write_bytes(other.read_bytes())
    authority = ca_path.read_bytes()
    development_certificate(tmp_path / "a", NOW)
    server_context(cert_path, key_path)
    assert ca_path.read_bytes() == authority


Cipher = tuple[str, str, int]


def handshake(server: ssl.SSLContext, client: ssl.SSLContext, name: str) -> tuple[str | None, Cipher | None]:
    """Version and cipher that a client gets over a real socket; raises what the client raises."""

    def accept() -> None:
        connection, _ = listener.accept()
        with connection, contextlib.suppress(OSError):  # what the server thinks of it is not asked
            server.wrap_socket(connection, server_side=True).close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        accepting = threading.Thread(target=accept)
        accepting.start()
        try:
            with (
                socket.create_connection(listener.getsockname(), timeout=5) as plain,
                client.wrap_socket(plain, server_hostname=name) as secured,
            ):
                return secured.version(), secured.cipher()
        finally:
            accepting.join()


@pytest.fixture
def made(tmp_path: Path) -> tuple[Path, Path, Path]:
    return development_certificate(tmp_path / "tls", datetime.now(UTC))


@pytest.mark.parametrize("name", ["apitest.cybersource.com", "api-dev.paymentoptions.com", "localhost", "127.0.0.1"])
def test_a_client_that_trusts_the_authority_verifies(made: tuple[Path, Path, Path], name: str) -> None:
    version, _ = handshake(server_context(*made[:2]), ssl.create_default_context(cafile=made[2]), name)
    assert version == "TLSv1.3"


def test_a_client_that_does_not_trust_the_authority_refuses(made: tuple[Path, Path, Path]) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(server_context(*made[:2]), ssl.create_default_context(), "localhost")


def test_another_name_does_not_verify(made: tuple[Path, Path, Path]) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        handshake(server_context(*made[:2]), ssl.create_default_context(cafile=made[2]), "api.cybersource.com")


def test_tls_1_2_is_spoken_with_aead_only(made: tuple[Path, Path, Path]) -> None:
    client = ssl.create_default_context(cafile=made[2])
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    version, cipher = handshake(server_context(*made[:2]), client, "localhost")
    assert version == "TLSv1.2"
    assert cipher is not None
    assert "GCM" in cipher[0] or "CHACHA20" in cipher[0]


def test_offers_no_suite_without_aead(made: tuple[Path, Path, Path]) -> None:
    assert all(suite["aead"] for suite in server_context(*made[:2]).get_ciphers())


def test_tls_1_2_without_aead_is_refused(made: tuple[Path, Path, Path]) -> None:
    """A-15."""
    client = ssl.create_default_context(cafile=made[2])
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    client.set_ciphers("ECDHE-ECDSA-AES128-SHA256")
    with pytest.raises(ssl.SSLError, match="HANDSHAKE_FAILURE"):
        handshake(server_context(*made[:2]), client, "localhost")


def test_tls_1_1_is_refused(made: tuple[Path, Path, Path]) -> None:
    """A-15."""
    client = ssl.create_default_context(cafile=made[2])
    client.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        client.minimum_version = client.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError, match="ALERT_PROTOCOL_VERSION"):
        handshake(server_context(*made[:2]), client, "localhost")


def test_files_that_do_not_belong_together_are_unusable(tmp_path: Path) -> None:
    cert_path, _, _ = development_certificate(tmp_path / "a", NOW)
    _, other, _ = development_certificate(tmp_path / "b", NOW)
    with pytest.raises(CertificateUnusable, match=r"are not a PEM certificate and its unencrypted key\.$"):
        server_context(cert_path, other)
    with pytest.raises(CertificateUnusable, match=r"cannot both be read: No such file or directory\.$"):
        server_context(cert_path, tmp_path / "none.key")
