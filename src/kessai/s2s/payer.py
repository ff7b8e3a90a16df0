"""A payment of the PaymentOptions wire between its request and the road. No I/O."""

from msgspec import Struct

from kessai.authenticator import Usable
from kessai.dialects.paymentoptions.messages import Order
from kessai.dialects.paymentoptions.particulars import Own
from kessai.payment.merchant import Merchant
from kessai.s2s.cards import Paid
from kessai.storage.payments import Claim


class Payer(Struct, frozen=True, kw_only=True):
    """A payment that is about to be made: what was asked, and what pays."""

    merchant: Merchant
    order: Order
    paid: Paid
    own: Own
    captures: bool
    claims: tuple[Claim, ...] = ()
    """Of its idempotency key."""
    named: tuple[Claim, ...] = ()
    """Of the id that a redirect gave it."""
    scenario: str | None = None
    """How it ends, named by a test merchant."""
    correlation: str = ""
    """Of the request, where the payment goes on after it."""
    used: Usable | None = None
    """The authentication of its cardholder; None where nobody was asked."""
