"""Proof: what an issuer is told of the authentication of its cardholder (EMV 3-D Secure). Pure.

It lives as long as the exchange that carries it. The value proves one authentication for one use, so it is a secret.
"""

from typing import Final

from msgspec import Struct

AUTHENTICATED: Final = frozenset({"05", "02"})
"""Electronic commerce indicators of an authenticated cardholder."""
ATTEMPTED: Final = frozenset({"06", "01"})
"""Of an attempt that the network vouches for."""


class Proof(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """Every member is text; empty where nothing was said."""

    eci: str = ""
    """Electronic commerce indicator in two digits, as the network has it: 05, 06, 07; Mastercard 02, 01, 00."""
    status: str = ""
    """Transaction status of EMV 3DS: Y, A, N, U, R, C."""
    value: str = ""
    """Cardholder authentication value (CAVV, AAV), 20 octets in base64."""
    xid: str = ""
    directory_server_id: str = ""
    """The directory server's transaction id, a UUID."""
    version: str = ""
    """Of the protocol, such as 2.2.0."""

    def __repr__(self) -> str:
        return f"<Proof {self.eci} {self.status} ***>"

    @property
    def shifts_liability(self) -> bool:
        return self.eci in AUTHENTICATED or self.eci in ATTEMPTED
