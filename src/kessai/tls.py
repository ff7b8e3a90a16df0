"""TLS: a development certificate authority of our own, and the server's side of the handshake.

The authority exists so that a merchant's client can be pointed at this machine with certificate checks left on: trust
`ca.pem` and the names below verify. Writes files in one folder; reads no clock.
"""

import ipaddress
import os
import ssl
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

NAMES: Final = ("localhost", "apitest.cybersource.com", "api-dev.paymentoptions.com")
ADDRESSES: Final = ("127.0.0.1", "::1")
"""What the development certificate is for."""

CA_LIFE: Final = timedelta(days=3652)
SERVER_LIFE: Final = timedelta(days=397)  # CA/Browser Forum Baseline Requirements, 6.3.2: 398 days at most
RENEW_BEFORE: Final = timedelta(days=30)
_SKEW: Final = timedelta(minutes=5)  # a client's clock may be behind ours

# TLS 1.2 suites: forward secrecy and AEAD only. Those of TLS 1.3 are all so.
_CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"

_Pair = tuple[x509.Certificate, ec.EllipticCurvePrivateKey]


class CertificateUnusable(Exception):
    """Certificate files that no server can use; the text is one sentence for the operator."""


def development_certificate(folder: Path, now: datetime) -> tuple[Path, Path, Path]:
    """Paths of a server certificate, its key and the authority to trust (PEM), made or renewed where needed.

    The server certificate is made anew when it lapses within 30 days, does not carry exactly `NAMES` and `ADDRESSES`,
    or does not belong to its key or authority. The authority is kept until it lapses within 30 days itself. A new
    folder is 0700, keys are 0600. `now` is aware.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    ca_path, ca_key_path = folder / "ca.pem", folder / "ca.key"
    cert_path, key_path = folder / "server.pem", folder / "server.key"
    ca = _load(ca_path, ca_key_path)
    if ca is None or _lapses(ca[0], now):
        ca = _new_authority(now)
        _save(ca, ca_path, ca_key_path)
    server = _load(cert_path, key_path)
    if server is None or _lapses(server[0], now) or not _fits(server[0], ca[0]):
        _save(_new_server(ca, now), cert_path, key_path)
    return cert_path, key_path, ca_path


def server_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """A server's TLS: 1.2 or later, AEAD suites only, HTTP/1.1.

    Raises CertificateUnusable where the files are missing, unreadable, encrypted or do not belong together.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_ciphers(_CIPHERS)
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(certificate, key, password=_no_password)
    except ssl.SSLError as error:
        raise CertificateUnusable(
            f"{certificate} and {key} are not a PEM certificate and its unencrypted key."
        ) from error
    except OSError as error:
        raise CertificateUnusable(f"{certificate} and {key} cannot both be read: {error.strerror}.") from error
    return context


def _no_password() -> str:
    return ""  # or OpenSSL would ask at the terminal


def _lapses(certificate: x509.Certificate, now: datetime) -> bool:
    return certificate.not_valid_after_utc - now < RENEW_BEFORE


def _fits(certificate: x509.Certificate, ca: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(ca)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
        return False
    return names == _alternative_names()


def _alternative_names() -> x509.SubjectAlternativeName:
    addresses = [x509.IPAddress(ipaddress.ip_address(address)) for address in ADDRESSES]
    return x509.SubjectAlternativeName([*(x509.DNSName(name) for name in NAMES), *addresses])


def _new_authority(now: datetime) -> _Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Kessai"),
            x509.NameAttribute(NameOID.COMMON_NAME, "Kessai development CA"),
        ]
    )
    builder = _builder(name, name, key, now, now - _SKEW + CA_LIFE)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_usage(is_ca=True), critical=True)
    return builder.sign(key, hashes.SHA256()), key


def _new_server(ca: _Pair, now: datetime) -> _Pair:
    authority, ca_key = ca
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAMES[0])])
    until = min(now - _SKEW + SERVER_LIFE, authority.not_valid_after_utc)
    issuer_key_id = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key())
    builder = _builder(name, authority.subject, key, now, until)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_usage(is_ca=False), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    builder = builder.add_extension(_alternative_names(), critical=False)
    builder = builder.add_extension(issuer_key_id, critical=False)
    return builder.sign(ca_key, hashes.SHA256()), key


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, now: datetime, until: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(until)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _usage(*, is_ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not is_ca,
        key_cert_sign=is_ca,
        crl_sign=is_ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _load(cert_path: Path, key_path: Path) -> _Pair | None:
    """A certificate with its own key; None where one is missing, damaged or another's."""
    try:
        certificate = x509.load_pem_x509_certificate(cert_path.read_bytes())
        key = serialization.load_pem_private_key(key_path.read_bytes(), password=None)
    except (FileNotFoundError, ValueError, TypeError, UnsupportedAlgorithm):
        return None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or certificate.public_key() != key.public_key():
        return None
    return certificate, key


def _save(pair: _Pair, cert_path: Path, key_path: Path) -> None:
    certificate, key = pair
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    _replace(key_path, pem, 0o600)
    _replace(cert_path, certificate.public_bytes(serialization.Encoding.PEM), 0o644)


def _replace(path: Path, content: bytes, mode: int) -> None:
    """Write a file that nobody ever sees half-written or with other rights than these."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)
    draft.replace(path)
