"""Echo: members of a request that its answer shows again, as they were sent. Pure."""

from collections.abc import Mapping

from msgspec import Struct

from kessai.dialects.table import find


class Echo(Struct, frozen=True, kw_only=True):
    """Texts, or booleans where somebody sent one; None for what was not sent."""

    code: object = None
    """`clientReferenceInformation.code`, and so on."""
    comments: object = None
    transaction_id: object = None
    solution_id: object = None
    currency: str | None = None
    """In the letters of the request."""
    slip: object = None
    """The merchant's own sales slip number."""
    requestor_id: object = None
    """Of the network token that paid."""
    assurance_level: object = None
    tokens: Mapping[str, object] | None = None
    """The tokens that paid, as `paymentInformation` shows them."""
    card_suffix: str | None = None
    """The last four of the card behind the network token that paid."""
    payment_solution: str | None = None
    account_reference: str | None = None
    """The payment account reference of the card."""
    authentication: Mapping[str, object] | None = None
    """`consumerAuthenticationInformation`: the authentication that a payment used."""
    made: Mapping[str, object] | None = None
    """`tokenInformation`: the tokens that came of the payment."""


def echo_of(kept: Mapping[str, object]) -> Echo:
    """What is shown again of the members that are kept."""
    currency = None
    for holder in ("orderInformation", "reversalInformation"):
        sent = find(kept, (holder, "amountDetails", "currency"))
        currency = currency or (sent if isinstance(sent, str) else None)
    sent = find(kept, ("clientReferenceInformation",))
    reference: Mapping[str, object] = sent if isinstance(sent, dict) else {}
    return Echo(
        code=reference.get("code"),
        comments=reference.get("comments"),
        transaction_id=reference.get("transactionId"),
        solution_id=find(kept, ("clientReferenceInformation", "partner", "solutionId")),
        currency=currency,
        slip=find(kept, ("orderInformation", "invoiceDetails", "salesSlipNumber")),
        requestor_id=find(kept, ("paymentInformation", "tokenizedCard", "requestorId")),
        assurance_level=find(kept, ("paymentInformation", "tokenizedCard", "assuranceLevel")),
    )
