"""Known answers: what the vault's algorithms must compute, asked before anything is sealed. Pure."""

from typing import Any, Final

from tink import aead, prf
from tink.proto import aes_gcm_pb2, common_pb2, hmac_prf_pb2, tink_pb2

from kessai.vault import FORMAT, CannotOpen, SelfTestFailed, open_sealed, primitive_of

# Key, nonce, additional data, plaintext, ciphertext with its tag: NIST CAVP, gcmEncryptExtIV256, 128-bit text and data.
_GCM: Final = """
92e11dcdaa866f5ce790fd24501f92509aacf4cb8b1339d50c9c1240935dd08b ac93a1a6145299bde902f21a
1e0889016f67601c8ebea4943bc23ad6 2d71bcfa914e4ac045b2aa60955fad24
8995ae2e6df3dbf96fac7b7137bae67feca5aa77d51d4a0a14d9c51e1da474ab
"""

# RFC 4231, test case 6: the key is 131 times AA, longer than a block.
_HMAC_TEXT: Final = b"Test Using Larger Than Block-Size Key - Hash Key First"
_HMAC: Final = bytes.fromhex("60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54")


def self_test() -> None:
    """Compute known answers before anything is sealed: once, at start. SelfTestFailed on any difference."""
    key, nonce, place, plaintext, ciphertext = map(bytes.fromhex, _GCM.split())
    gcm = primitive_of("AesGcmKey", aes_gcm_pb2.AesGcmKey(key_value=key), tink_pb2.RAW, 1, aead.Aead)
    known = FORMAT + nonce + ciphertext
    if not _opens(gcm, known, place, plaintext):
        raise SelfTestFailed("AES-256-GCM does not open a known text")
    if not _opens(gcm, FORMAT + gcm.encrypt(plaintext, place), place, plaintext):
        raise SelfTestFailed("AES-256-GCM does not open what it sealed")
    if _opens(gcm, known[:-1] + bytes([known[-1] ^ 1]), place, plaintext):
        raise SelfTestFailed("AES-256-GCM opens a changed text")
    hmac_key = hmac_prf_pb2.HmacPrfKey(key_value=b"\xaa" * 131, params={"hash": common_pb2.SHA256})
    hmac = primitive_of("HmacPrfKey", hmac_key, tink_pb2.RAW, 1, prf.PrfSet).primary()
    if hmac.compute(_HMAC_TEXT, 32) != _HMAC:
        raise SelfTestFailed("HMAC-SHA-256 does not compute a known digest")


def _opens(primitive: Any, sealed: bytes, place: bytes, plaintext: bytes) -> bool:
    try:
        return open_sealed(primitive, sealed, place) == plaintext
    except CannotOpen:
        return False
