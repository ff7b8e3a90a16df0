"""Echo: members of a request that its answer shows again, as they were sent. Pure."""

from msgspec import Struct


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
