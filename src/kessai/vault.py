"""The vault: the key ring, and the only room where a PAN and a key meet. No I/O.

Three levels. A key-encryption key (KEK) from outside opens the keysets of a merchant; a keyset seals that merchant's
values; the sealed values and the sealed keysets are what storage keeps. Each merchant has one keyset a purpose: `card`
and `secret` are AES-256-GCM (random 96-bit nonce, 128-bit tag), `fingerprint` is HMAC-SHA-256. No key has two purposes.

    sealed value    format (1 byte) · 01 · key id (4) · nonce (12) · text · tag (16)
    sealed keyset   the same, under the KEK; its key id tells one KEK from another
    card            year (2) · month (1) · PAN in nibbles, filled with F to 20: one length for all cards
    account         in a card's place, as `payment.bank` packs it: longer than a card
    token's number  00 for a card, 01 for a bank account · its digits in the same way

Format, merchant, purpose, column and row are authenticated with every value, each behind its length: a value that was
moved to another place does not open. A key id in each value lets keys turn row by row.

A PAN and its expiry are sealed. A security code is not: nothing here takes a `Card` or a `SecurityCode`. The errors:

    VaultError
    ├── CannotOpen      changed, cut short, moved, or sealed by a key that is not here
    │   └── WrongKey    a keyset sealed under another KEK than ours
    ├── NotLoaded       the keysets of this merchant have to be loaded first
    ├── Spent           seals are counted before they are made: reserve some, `grant` them, try again
    ├── KeyExhausted    a key has sealed as much as it may
    └── SelfTestFailed  the library does not compute what the standards say
"""

import base64
import hashlib
import re
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final, NamedTuple, NewType, NoReturn

import tink
from tink import aead, prf, proto_keyset_format, secret_key_access
from tink.proto import aes_gcm_pb2, tink_pb2

from kessai.payment.bank import BankAccount, packed, unpacked
from kessai.payment.card import AccountNumber, Card, Expiry, Pan

FORMAT: Final = b"\x01"
"""First byte of everything sealed; a change of layout or algorithm takes the next number."""

FINGERPRINT_BYTES: Final = 16

SEALS_PER_KEY: Final = 2**31
"""Where a key refuses: half of what random 96-bit nonces allow (NIST SP 800-38D, 8.3: 2^32)."""

_URL_SAFE: Final = str.maketrans("-_", "+/")
_HEX_KEY: Final = re.compile(r"[0-9A-Fa-f]{64}", re.ASCII)

aead.register()
prf.register()


class Purpose(StrEnum):
    """What a keyset is for."""

    CARD = "card"
    SECRET = "secret"  # noqa: S105  the name of a purpose
    FINGERPRINT = "fingerprint"


_TEMPLATES: Final[Mapping[Purpose, Any]] = {
    Purpose.CARD: aead.aead_key_templates.AES256_GCM,
    Purpose.SECRET: aead.aead_key_templates.AES256_GCM,
    Purpose.FINGERPRINT: prf.prf_key_templates.HMAC_SHA256,
}

SealedKeyset = NewType("SealedKeyset", bytes)
"""A keyset under the KEK: safe to store, useless without it."""


class VaultError(Exception):
    """The root of the tree in this module's docstring. No text of it carries a value."""


class CannotOpen(VaultError):
    """Something sealed does not open here."""


class WrongKey(CannotOpen):
    """A keyset was sealed under another key-encryption key."""


class NotLoaded(VaultError):
    """No keysets in memory for this merchant: `load` them."""


class KeyExhausted(VaultError):
    """A key has reached `SEALS_PER_KEY`; a new one has to take over."""


class Spent(VaultError):
    """Nothing is left of the seals that were reserved for this process."""

    def __init__(self, merchant_id: str, purpose: Purpose) -> None:
        super().__init__(f"no seal is reserved for the {purpose} key of this merchant")
        self.merchant_id = merchant_id
        self.purpose = purpose


class SelfTestFailed(VaultError):
    """A known answer came out differently; do not open the port."""


class KeyEncryptionKey:
    """The key over all keysets: 32 raw bytes, else ValueError. It shows its id at most; no pickling, no copying."""

    __slots__ = ("_aead", "id")

    def __init__(self, raw: bytes) -> None:
        if len(raw) != 32:
            raise ValueError(f"a key-encryption key is 32 bytes, not {len(raw)}")
        # A check value: names the key without telling about it, so that a wrong one is called wrong, not broken.
        self.id: Final = hashlib.sha256(b"kessai key-encryption key id" + raw).digest()[:4]
        key = aes_gcm_pb2.AesGcmKey(key_value=raw)
        self._aead = primitive_of("AesGcmKey", key, tink_pb2.TINK, int.from_bytes(self.id), aead.Aead)

    def wrap(self, keyset: bytes, merchant_id: str, purpose: Purpose) -> SealedKeyset:
        """Seal a serialized keyset, bound to its merchant and purpose."""
        sealed: bytes = self._aead.encrypt(keyset, _bind("kessai keyset", FORMAT.hex(), merchant_id, purpose))
        return SealedKeyset(FORMAT + sealed)

    def unwrap(self, sealed: bytes, merchant_id: str, purpose: Purpose) -> bytes:
        """The serialized keyset. WrongKey when another KEK sealed it, CannotOpen for any other reason."""
        if len(sealed) > 6 and sealed[:2] == FORMAT + b"\x01" and sealed[2:6] != self.id:
            raise WrongKey(f"a keyset is sealed under key {sealed[2:6].hex()}, the key here is {self.id.hex()}")
        return open_sealed(self._aead, sealed, _bind("kessai keyset", FORMAT.hex(), merchant_id, purpose))

    def seal(self, name: str, plaintext: bytes) -> bytes:
        """Seal something of the installation itself, bound to its name."""
        sealed: bytes = self._aead.encrypt(plaintext, _bind("kessai installation", FORMAT.hex(), name))
        return FORMAT + sealed

    def open(self, name: str, sealed: bytes) -> bytes:
        """What was sealed by that name. CannotOpen."""
        return open_sealed(self._aead, sealed, _bind("kessai installation", FORMAT.hex(), name))

    def __repr__(self) -> str:
        return f"<KeyEncryptionKey {self.id.hex()}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a KeyEncryptionKey is not written anywhere")


def parse_kek(text: str) -> KeyEncryptionKey:
    """The key in a text: 64 hexadecimal digits, or base64 (either alphabet, with or without padding) of 32 bytes.

    White space around it is ignored. ValueError for anything else, without showing it.
    """
    text = text.strip()
    if _HEX_KEY.fullmatch(text):
        return KeyEncryptionKey(bytes.fromhex(text))
    try:
        unpadded = text.rstrip("=").translate(_URL_SAFE)
        raw = base64.b64decode(unpadded + "=" * (-len(unpadded) % 4), validate=True)
    except ValueError:
        raise ValueError("a key-encryption key is 32 bytes written in hexadecimal or base64") from None
    return KeyEncryptionKey(raw)


@dataclass(slots=True, repr=False)
class _Seals:
    """One purpose of one merchant: the primitive, what it authenticates with every value, and its use.

    `most` is what `used` may reach before more has to be reserved; `key` is the id of the key that seals.
    """

    primitive: Any
    place: bytes
    used: int
    most: int
    key: bytes
    owner: str
    purpose: Purpose


@dataclass(frozen=True, slots=True, repr=False)
class _Keys:
    card: _Seals
    secret: _Seals
    fingerprint: Any


class Keyset(NamedTuple):
    """The keys of a keyset by their ids (4 bytes), oldest first, and which one seals. All of them open."""

    keys: tuple[bytes, ...]
    seals: bytes


class Vault:
    """The key ring: one KEK and the opened keysets of the merchants in use.

    It holds the keys of at most `capacity` merchants; whoever was not needed for longest leaves and has to be loaded
    again. Every other method raises NotLoaded for a merchant that is not on the ring.
    """

    __slots__ = ("_capacity", "_is_counted", "_kek", "_ring")

    def __init__(self, kek: KeyEncryptionKey, capacity: int = 4_096, *, is_counted: bool = False) -> None:
        """`is_counted`: seals have to be granted before they are made, else `Spent`."""
        assert capacity > 0
        self._kek = kek
        self._capacity = capacity
        self._is_counted = is_counted
        self._ring: OrderedDict[str, _Keys] = OrderedDict()

    def create_keys(self, merchant_id: str) -> dict[Purpose, SealedKeyset]:
        """Fresh keysets for a new merchant, one a purpose. Store them, then `load` them: not before."""
        return {purpose: self.new_keyset(merchant_id, purpose) for purpose in Purpose}

    def new_keyset(self, merchant_id: str, purpose: Purpose) -> SealedKeyset:
        """A keyset of one fresh key, sealed for this merchant and purpose."""
        handle = tink.new_keyset_handle(_TEMPLATES[purpose])
        return self._kek.wrap(proto_keyset_format.serialize(handle, secret_key_access.TOKEN), merchant_id, purpose)

    def load(
        self, merchant_id: str, keysets: Mapping[Purpose, bytes], used: Mapping[Purpose, int] | None = None
    ) -> None:
        """Put a merchant's keys on the ring, or replace them; `used` is how often each has sealed before.

        WrongKey when another KEK sealed a keyset; CannotOpen when one is missing, changed or somebody else's. The ring
        stays as it was then.
        """
        used = used or {}
        keys = _Keys(
            card=self._seals(merchant_id, Purpose.CARD, keysets, used.get(Purpose.CARD, 0)),
            secret=self._seals(merchant_id, Purpose.SECRET, keysets, used.get(Purpose.SECRET, 0)),
            fingerprint=self._opened(merchant_id, Purpose.FINGERPRINT, keysets, prf.PrfSet).primary(),
        )
        self._ring[merchant_id] = keys
        self._ring.move_to_end(merchant_id)
        if len(self._ring) > self._capacity:
            self._ring.popitem(last=False)

    def knows(self, merchant_id: str) -> bool:
        """Whether this merchant's keys are on the ring."""
        return merchant_id in self._ring

    def forget(self, merchant_id: str) -> None:
        """Take a merchant's keys off the ring."""
        self._ring.pop(merchant_id, None)

    def seals(self, merchant_id: str) -> dict[Purpose, int]:
        """How often each key has sealed, `used` at loading included: a key turns at 2^30 and refuses at 2^31."""
        keys = self._keys(merchant_id)
        return {Purpose.CARD: keys.card.used, Purpose.SECRET: keys.secret.used}

    def seal_of_installation(self, name: str, plaintext: bytes) -> bytes:
        """Seal a secret that is no merchant's, under the key-encryption key itself: there are few of them."""
        return self._kek.seal(name, plaintext)

    def open_of_installation(self, name: str, sealed: bytes) -> bytes:
        """The secret of that name. CannotOpen."""
        return self._kek.open(name, sealed)

    # ---- counting and turning keys

    def sealing_key(self, merchant_id: str, purpose: Purpose) -> bytes:
        """The id of the key that seals: 4 bytes, as `key_of` finds it in what it sealed."""
        return self._of(merchant_id, purpose).key

    def grant(self, merchant_id: str, purpose: Purpose, key: bytes, total: int, count: int) -> None:
        """So many seals were reserved under a key, `total` with all before them. Nothing happens for another key."""
        seals = self._of(merchant_id, purpose)
        if seals.key == key:
            seals.used, seals.most = total - count, total

    def left(self, merchant_id: str, purpose: Purpose) -> int:
        """How many seals are granted and not made."""
        seals = self._of(merchant_id, purpose)
        return seals.most - seals.used

    def take_back(self, merchant_id: str, purpose: Purpose) -> tuple[bytes, int]:
        """The sealing key, and how many seals were granted and not made; they are not granted any more."""
        seals = self._of(merchant_id, purpose)
        left = seals.most - seals.used if self._is_counted else 0
        seals.most = seals.used if self._is_counted else seals.most
        return seals.key, left

    def reseal(self, merchant_id: str, purpose: Purpose, column: str, row_id: str, sealed: bytes) -> bytes:
        """The same value in the same place, sealed by the key that seals now. CannotOpen, Spent, KeyExhausted."""
        seals = self._of(merchant_id, purpose)
        return _seal(seals, column, row_id, open_sealed(seals.primitive, sealed, seals.place + _bind(column, row_id)))

    def read_keyset(self, merchant_id: str, purpose: Purpose, sealed: bytes) -> Keyset:
        """Which keys a stored keyset has."""
        keyset = self._parsed(merchant_id, purpose, sealed)
        return Keyset(tuple(key.key_id.to_bytes(4) for key in keyset.key), keyset.primary_key_id.to_bytes(4))

    def with_fresh_key(self, merchant_id: str, purpose: Purpose, sealed: bytes) -> tuple[SealedKeyset, bytes]:
        """A keyset with one more key, which opens and does not seal yet; and that key's id."""
        keyset = self._parsed(merchant_id, purpose, sealed)
        while True:
            handle = tink.new_keyset_handle(_TEMPLATES[purpose])
            (fresh,) = tink_pb2.Keyset.FromString(proto_keyset_format.serialize(handle, secret_key_access.TOKEN)).key
            if all(fresh.key_id != key.key_id for key in keyset.key):
                break
        keyset.key.append(fresh)
        return self._kek.wrap(keyset.SerializeToString(), merchant_id, purpose), fresh.key_id.to_bytes(4)

    def with_sealing(self, merchant_id: str, purpose: Purpose, sealed: bytes, key: bytes) -> SealedKeyset:
        """A keyset in which another of its keys seals. Every process has to have loaded that key before."""
        keyset = self._parsed(merchant_id, purpose, sealed)
        assert any(one.key_id == int.from_bytes(key) for one in keyset.key), "a key that is not there cannot seal"
        keyset.primary_key_id = int.from_bytes(key)
        return self._kek.wrap(keyset.SerializeToString(), merchant_id, purpose)

    def without(self, merchant_id: str, purpose: Purpose, sealed: bytes, key: bytes) -> SealedKeyset:
        """A keyset without one of its keys. What that key sealed opens nowhere any more."""
        keyset = self._parsed(merchant_id, purpose, sealed)
        assert keyset.primary_key_id != int.from_bytes(key), "the key that seals stays"
        kept = [one for one in keyset.key if one.key_id != int.from_bytes(key)]
        del keyset.key[:]
        keyset.key.extend(kept)
        return self._kek.wrap(keyset.SerializeToString(), merchant_id, purpose)

    def _parsed(self, merchant_id: str, purpose: Purpose, sealed: bytes) -> Any:
        return tink_pb2.Keyset.FromString(self._kek.unwrap(sealed, merchant_id, purpose))

    def _of(self, merchant_id: str, purpose: Purpose) -> _Seals:
        keys = self._keys(merchant_id)
        return keys.card if purpose is Purpose.CARD else keys.secret

    # ---- sealing and opening

    def seal_card(self, merchant_id: str, row_id: int, pan: Pan, expiry: Expiry | None) -> bytes:
        """Seal what may be kept of a card, for one row.

        TypeError for anything that is not a `Pan` and an `Expiry`: a security code is never sealed (PCI DSS 3.3.1).
        ValueError for an expiry that two bytes of year and one of month cannot hold. KeyExhausted.
        """
        if type(pan) is not Pan or (expiry is not None and type(expiry) is not Expiry):
            raise TypeError("a Pan and an Expiry are sealed as a card, nothing else")
        return _seal(self._keys(merchant_id).card, "card", str(row_id), _pack_card(pan, expiry))

    def open_card(self, merchant_id: str, row_id: int, sealed: bytes) -> Card:
        """The PAN and expiry of a row. CannotOpen unless it was sealed for this very merchant and row."""
        seals = self._keys(merchant_id).card
        return _unpack_card(open_sealed(seals.primitive, sealed, seals.place + _bind("card", str(row_id))))

    def seal_account(self, merchant_id: str, row_id: int, account: BankAccount) -> bytes:
        """Seal the bank account that pays, in a card's place. KeyExhausted."""
        return _seal(self._keys(merchant_id).card, "card", str(row_id), packed(account))

    def open_account(self, merchant_id: str, row_id: int, sealed: bytes) -> BankAccount:
        """The bank account of a row. CannotOpen unless it was sealed for this very merchant and row."""
        seals = self._keys(merchant_id).card
        account = unpacked(open_sealed(seals.primitive, sealed, seals.place + _bind("card", str(row_id))))
        if account is None:
            raise CannotOpen("what is sealed here is no bank account")
        return account

    def seal_number(self, merchant_id: str, token_id: str, number: Pan | AccountNumber) -> bytes:
        """Seal the number that a token stands for. TypeError for anything else; KeyExhausted."""
        if type(number) not in _NUMBERS:
            raise TypeError("a token stands for a Pan or an AccountNumber, nothing else")
        plaintext = _NUMBERS.index(type(number)).to_bytes(1) + _pack_digits(number.digits)
        return _seal(self._keys(merchant_id).card, "token", token_id, plaintext)

    def open_number(self, merchant_id: str, token_id: str, sealed: bytes) -> Pan | AccountNumber:
        """The number of a token. CannotOpen unless it was sealed for this very merchant and token."""
        seals = self._keys(merchant_id).card
        plaintext = open_sealed(seals.primitive, sealed, seals.place + _bind("token", token_id))
        return _NUMBERS[plaintext[0]](_unpack_digits(plaintext[1:]))

    def seal_secret(self, merchant_id: str, row_id: str, column: str, plaintext: bytes) -> bytes:
        """Seal a merchant's secret for one column of one row. TypeError unless it is bytes; KeyExhausted."""
        if type(plaintext) is not bytes:
            raise TypeError("a secret is sealed from bytes")
        return _seal(self._keys(merchant_id).secret, column, row_id, plaintext)

    def open_secret(self, merchant_id: str, row_id: str, column: str, sealed: bytes) -> bytes:
        """The secret of one column of one row. CannotOpen unless it was sealed for exactly that place."""
        seals = self._keys(merchant_id).secret
        return open_sealed(seals.primitive, sealed, seals.place + _bind(column, row_id))

    def fingerprint(self, merchant_id: str, pan: Pan) -> bytes:
        """16 bytes that find the same card again at the same merchant, and nothing without the key."""
        if type(pan) is not Pan:
            raise TypeError("a fingerprint is taken of a Pan")
        taken: bytes = self._keys(merchant_id).fingerprint.compute(pan.digits.encode(), FINGERPRINT_BYTES)
        return taken

    def fingerprint_of_account(self, merchant_id: str, number: AccountNumber, routing_number: str) -> bytes:
        """16 bytes that find the same bank account again; never those of a card number."""
        if type(number) is not AccountNumber:
            raise TypeError("a fingerprint is taken of an AccountNumber")
        bound = _bind("account", routing_number, number.digits)
        taken: bytes = self._keys(merchant_id).fingerprint.compute(bound, FINGERPRINT_BYTES)
        return taken

    def _keys(self, merchant_id: str) -> _Keys:
        keys = self._ring.get(merchant_id)
        if keys is None:
            raise NotLoaded("the keysets of this merchant are not loaded")
        self._ring.move_to_end(merchant_id)
        return keys

    def _seals(self, merchant_id: str, purpose: Purpose, keysets: Mapping[Purpose, bytes], used: int) -> _Seals:
        primitive = self._opened(merchant_id, purpose, keysets, aead.Aead)
        key = self.read_keyset(merchant_id, purpose, keysets[purpose]).seals
        before = self._ring.get(merchant_id)
        known = before and (before.card if purpose is Purpose.CARD else before.secret)
        if known and known.key == key:  # what was granted to this key stays granted
            return replace(known, primitive=primitive)
        place = _bind("kessai sealed", FORMAT.hex(), merchant_id, purpose)
        most = used if self._is_counted else SEALS_PER_KEY
        return _Seals(primitive, place, used, most, key, merchant_id, purpose)

    def _opened(self, merchant_id: str, purpose: Purpose, keysets: Mapping[Purpose, bytes], kind: Any) -> Any:
        if purpose not in keysets:
            raise CannotOpen(f"the {purpose} keyset is missing")
        keyset = self._kek.unwrap(keysets[purpose], merchant_id, purpose)
        try:
            return proto_keyset_format.parse(keyset, secret_key_access.TOKEN).primitive(kind)
        except tink.TinkError:
            raise CannotOpen(f"the {purpose} keyset is of a kind that is not known here") from None


def key_of(sealed: bytes) -> bytes:
    """The id of the key that sealed a value: 4 bytes. The same as SQL's `substr(sealed, 3, 4)`."""
    return sealed[2:6]


def _seal(seals: _Seals, column: str, row_id: str, plaintext: bytes) -> bytes:
    if seals.used >= seals.most:
        if seals.used >= SEALS_PER_KEY:
            raise KeyExhausted("a key has sealed as much as it may")
        raise Spent(seals.owner, seals.purpose)
    seals.used += 1
    sealed: bytes = seals.primitive.encrypt(plaintext, seals.place + _bind(column, row_id))
    return FORMAT + sealed


def open_sealed(primitive: Any, sealed: bytes, place: bytes) -> bytes:
    if sealed[:1] != FORMAT:
        raise CannotOpen("a sealed value has an unknown format")
    try:
        plaintext: bytes = primitive.decrypt(sealed[1:], place)
    except tink.TinkError:
        raise CannotOpen("a sealed value was changed, moved or sealed by another key") from None
    return plaintext


def _bind(*parts: str) -> bytes:
    """Parts behind their lengths: two different sequences of as many parts never give the same bytes."""
    bound = b""
    for part in parts:
        encoded = part.encode()
        bound += len(encoded).to_bytes(4) + encoded
    return bound


def _pack_card(pan: Pan, expiry: Expiry | None) -> bytes:
    year, month = (expiry.year, expiry.month) if expiry else (0, 0)
    if (expiry and not 0 < year < 1 << 16) or not 0 <= month < 1 << 8:
        raise ValueError("an expiry is a year of 1 to 65535 and a month of 0 to 255")
    return year.to_bytes(2) + month.to_bytes(1) + _pack_digits(pan.digits)


def _unpack_card(plaintext: bytes) -> Card:
    year = int.from_bytes(plaintext[:2])
    if len(plaintext) != 13:
        raise CannotOpen("what is sealed here is no card")
    return Card(pan=Pan(_unpack_digits(plaintext[3:])), expiry=Expiry(year, plaintext[2]) if year else None)


_NUMBERS: Final[tuple[type[Pan] | type[AccountNumber], ...]] = (Pan, AccountNumber)


def _pack_digits(digits: str) -> bytes:
    return bytes.fromhex(digits.ljust(20, "f"))


def _unpack_digits(packed: bytes) -> str:
    return packed.hex().rstrip("f")


def primitive_of(name: str, key: Any, prefix: int, key_id: int, kind: Any) -> Any:
    """A primitive of the library over one raw key."""
    keyset = tink_pb2.Keyset(primary_key_id=key_id)
    row = keyset.key.add(status=tink_pb2.ENABLED, key_id=key_id, output_prefix_type=prefix)
    row.key_data.type_url = "type.googleapis.com/google.crypto.tink." + name
    row.key_data.value = key.SerializeToString()
    row.key_data.key_material_type = tink_pb2.KeyData.SYMMETRIC
    return proto_keyset_format.parse(keyset.SerializeToString(), secret_key_access.TOKEN).primitive(kind)
