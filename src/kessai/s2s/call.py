"""What a handler of the PaymentOptions wire is called with, and what it tells. No I/O."""

from collections.abc import Mapping

from msgspec import Struct

from kessai.accounts import Account
from kessai.dialects import HttpRequest
from kessai.dialects.paymentoptions.codes import Said
from kessai.payment.merchant import Merchant


class Call(Struct, frozen=True, kw_only=True):
    """A verified request."""

    account: Account
    identifier: str
    """As it stands in the path; empty where the path has none."""
    document: Mapping[str, object]
    request: HttpRequest
    peer: str
    """The address that it came from."""

    @property
    def merchant(self) -> Merchant:
        return self.account.merchant


class Made(Struct, frozen=True):
    """An answer that is ready."""

    status: int
    body: bytes
    headers: Mapping[str, str] = {}


Told = Made | Said
"""An answer, or what is said of why there is none of its own form."""
