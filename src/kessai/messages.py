"""Keys of encrypted messages: the gateway's own pair, and the files that hand its certificate to merchants.

The private half is made when its certificate is first asked for, is kept sealed under the key-encryption key, and is
opened by every process of the installation. Clients find the certificate by its common name inside of their key store,
and name it by the serialNumber of its subject.
"""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import NameOID
from joserfc.jwk import RSAKey

from kessai.storage.database import Database
from kessai.storage.keys import AddMessageKey
from kessai.vault import Vault

COMMON_NAME: Final = "CyberSource_SJC_US"
"""By which clients find the gateway's certificate."""
LIFE: Final = timedelta(days=3_650)
CLIENTS_LIFE: Final = timedelta(days=1_095)
_EARLIER: Final = timedelta(minutes=5)
"""For clients whose clock is behind."""


@dataclass(frozen=True, slots=True)
class KeyStore:
    """A key store (PKCS #12) made for a client, and the certificate (PEM) in it that it signs with."""

    content: bytes
    certificate: bytes


class Messages:
    """The pairs that requests may be encrypted to; one, unless two processes made theirs in the same moment."""

    def __init__(self, database: Database, vault: Vault) -> None:
        self._database = database
        self._vault = vault
        self.keys: dict[str, RSAKey] = {}
        """By the ids that requests name, oldest first."""

    async def load(self) -> None:
        """Read the pairs that are stored. What the vault raises."""
        for kid, sealed, _ in await self._database.read("message_keys", {}):
            if kid not in self.keys:
                der = self._vault.open_of_installation(f"message key {kid}", bytes(sealed))
                loaded = serialization.load_der_private_key(der, None)
                assert isinstance(loaded, rsa.RSAPrivateKey)
                self.keys[kid] = RSAKey.import_key(loaded)

    async def certificate(self, now: datetime) -> bytes:
        """The certificate (PEM) of the gateway's pair, which is made where there is none yet."""
        rows = await self._database.read("message_keys", {})
        if not rows:
            await self._database.write(self._made(now))
            rows = await self._database.read("message_keys", {})
            await self.load()
        return bytes(rows[0][2])

    def _made(self, now: datetime) -> AddMessageKey:
        kid = str(10**18 + secrets.randbelow(9 * 10**18))
        key = rsa.generate_private_key(public_exponent=65_537, key_size=2048)
        der = key.private_bytes(
            serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return AddMessageKey(
            id=kid,
            sealed=self._vault.seal_of_installation(f"message key {kid}", der),
            certificate=_certified(key, COMMON_NAME, kid, now, LIFE).public_bytes(serialization.Encoding.PEM),
            now=now,
        )

    async def key_store(self, merchant_id: str, password: str, now: datetime) -> KeyStore:
        """A new key for a client and its certificate, with the gateway's certificate, under a password."""
        key = rsa.generate_private_key(public_exponent=65_537, key_size=2048)
        own = _certified(key, merchant_id, str(10**21 + secrets.randbelow(9 * 10**21)), now, CLIENTS_LIFE)
        gateways = x509.load_pem_x509_certificate(await self.certificate(now))
        encryption = serialization.BestAvailableEncryption(password.encode())
        name = f"CN={merchant_id}".encode()  # some clients look for the alias here, others in the certificate
        content = pkcs12.serialize_key_and_certificates(name, key, own, [gateways], encryption)
        return KeyStore(content, own.public_bytes(serialization.Encoding.PEM))


def _certified(
    key: rsa.RSAPrivateKey, common_name: str, serial_number: str, now: datetime, life: timedelta
) -> x509.Certificate:
    """A certificate that its own key has signed."""
    number = x509.NameAttribute(NameOID.SERIAL_NUMBER, serial_number)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name), number])
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    dated = made.not_valid_before(now - _EARLIER).not_valid_after(now + life)
    return dated.serial_number(x509.random_serial_number()).sign(key, hashes.SHA256())
