"""Which member of a request a refusal is about. Pure."""

from typing import Final

from kessai.dialects.cybersource import authentication, flex
from kessai.dialects.cybersource.fields import place_of
from kessai.dialects.document import Malformed, parse
from kessai.payment.lifecycle import Operation, Refusal

_FIELDS: Final = {
    Refusal.AMOUNT_NOT_POSITIVE: "amount",
    Refusal.CURRENCY_MISMATCH: "currency",
    Refusal.OTHER_CARD: "pan",
}
"""Refusals that are about one field, by its neutral name."""


def place_in(operation: Operation, refusal: Refusal, body: bytes) -> str | None:
    """The path of the member at fault; None where it is none of them."""
    if refusal is Refusal.AUTHENTICATION_SPENT:
        return authentication.NAME
    name = _FIELDS.get(refusal)
    if name is None and refusal is not Refusal.TRANSIENT_SPENT:
        return None
    document = parse(body)
    assert not isinstance(document, Malformed), "a request that is malformed was decoded"
    if name is not None:
        return place_of(operation.value, name, document)
    transient = flex.named(document)
    return transient[0] if transient else ""
