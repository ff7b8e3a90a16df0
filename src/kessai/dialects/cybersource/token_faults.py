"""What the token family answers when it does not do what was asked: HTTP status, type and message. Tables. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import msgspec

from kessai.dialects import HttpResponse
from kessai.tokens.objects import Missing
from kessai.tokens.rules import Refusal

CONTENT_TYPE: Final = "application/json;charset=utf-8"


@dataclass(frozen=True, slots=True)
class Fault:
    """One error of the wire. `fields` are paths in what `location` names."""

    http: int
    type: str
    message: str
    fields: tuple[str, ...] = ()
    location: str = "body"

    def at(self, *fields: str, location: str = "body") -> "Fault":
        return replace(self, fields=fields, location=location)


INVALID_BODY: Final = Fault(400, "invalidRequest", "Invalid HTTP Body")
INVALID_FIELDS: Final = Fault(400, "invalidFields", "Invalid field values")
MISSING_FIELDS: Final = Fault(400, "missingFields", "Missing field values")
INVALID_HEADERS: Final = Fault(400, "invalidHeaders", "Invalid header values")
INVALID_PARAMETERS: Final = Fault(400, "invalidParameters", "Invalid parameter values")
INVALID_COMBINATION: Final = Fault(400, "invalidCombination", "Invalid combination of field values")
UNSUPPORTED_FIELDS: Final = Fault(400, "unsupportedFields", "Unsupported fields")
OTHER_PAYMENT_METHOD: Final = Fault(
    400, "unsupportedPaymentMethodModification", "The payment method cannot be changed into another one"
)
NO_SUCH_IDENTIFIER: Final = Fault(400, "instrumentIdentifierNotFound", "Instrument Identifier not found")
IDENTIFIER_GONE: Final = Fault(400, "instrumentIdentifierGone", "Instrument Identifier not available")
NO_SUCH_TRANSIENT: Final = Fault(400, "invalidFields", "Transient token not found, expired or used before")
NOT_FOUND: Final = Fault(404, "notFound", "Token not found")
GONE: Final = Fault(410, "notAvailable", "Token not available.")
NO_SUCH_PROFILE: Final = Fault(424, "notFound", "Profile not found")
WRONG_ETAG: Final = Fault(
    412, "conflict", "Action cannot be performed as the if-match header value does not match the token etag"
)
IN_USE: Final = Fault(
    409,
    "instrumentIdentifierDeletionError",
    "Action cannot be performed. The Instrument Identifier is associated with one or more Payment Instruments.",
)
IS_DEFAULT: Final = Fault(
    409, "conflict", "Action cannot be performed. Another default has to be selected before this one can be deleted."
)
ID_IS_TAKEN: Final = Fault(409, "tokenIdConflict", "Token id is in use, or was.")
WRONG_STATE: Final = Fault(409, "conflict", "Action cannot be performed in the state that the token is in.")
NO_KEY: Final = Fault(403, "forbidden", "Request not permitted.")
NO_ROOM: Final = Fault(503, "unavailable", "There is no room for new tokens; nothing was done.")
UNKNOWN_OUTCOME: Final = Fault(500, "internalError", "Internal server error")

OF_REFUSAL: Final[Mapping[Refusal, Fault]] = {
    Refusal.IS_DEFAULT: IS_DEFAULT,
    Refusal.IN_USE: IN_USE,
    Refusal.OTHER_KIND: OTHER_PAYMENT_METHOD,
    Refusal.IS_CLOSED: WRONG_STATE,
    Refusal.IS_FINAL: WRONG_STATE,
}
OF_MISSING: Final[Mapping[Missing, Fault]] = {Missing.UNKNOWN: NOT_FOUND, Missing.GONE: GONE}
OF_NAMED: Final[Mapping[Missing, Fault]] = {Missing.UNKNOWN: NO_SUCH_IDENTIFIER, Missing.GONE: IDENTIFIER_GONE}
"""Of an instrument identifier that a body names."""

FAULTS: Final[Mapping[str, Fault]] = {
    "the body is no JSON object": INVALID_BODY,
    "a member is invalid or too long": INVALID_FIELDS,
    "members are missing": MISSING_FIELDS,
    "`profile-id` has not 36 characters": INVALID_HEADERS,
    "`offset` or `limit` is out of range": INVALID_PARAMETERS,
    "members that exclude each other": INVALID_COMBINATION,
    "members that are not served yet": UNSUPPORTED_FIELDS,
    "a card would become a bank account, or another number": OTHER_PAYMENT_METHOD,
    "a body names an instrument identifier that is unknown": NO_SUCH_IDENTIFIER,
    "a body names an instrument identifier that was deleted": IDENTIFIER_GONE,
    "a body names a transient token that is unknown, expired, another merchant's or spent": NO_SUCH_TRANSIENT,
    "a path names a token that nobody was given here": NOT_FOUND,
    "an instrument identifier that payment instruments refer to is to be deleted": IN_USE,
    "a default is to be deleted while there are others": IS_DEFAULT,
    "an id that is chosen is another token's, or was (setting `chosen_token_ids`)": ID_IS_TAKEN,
    "an account is closed, or a network token is not in a state for what is asked": WRONG_STATE,
    "payment credentials are asked for without a key for answers": NO_KEY,
    "a path names a token that was deleted": GONE,
    "`if-match` is not the token's ETag": WRONG_ETAG,
    "`profile-id` is not the merchant's": NO_SUCH_PROFILE,
    "the disk is nearly full": NO_ROOM,
    "the database did not say whether it was done": UNKNOWN_OUTCOME,
}
"""When each is answered, for the reference page."""


def error(fault: Fault) -> dict[str, object]:
    """One entry of a list of errors."""
    found: dict[str, object] = {"type": fault.type, "message": fault.message}
    if fault.fields:
        found["details"] = [{"name": name, "location": fault.location} for name in fault.fields]
    return found


def answer(fault: Fault, **more: object) -> HttpResponse:
    headers = {"content-type": CONTENT_TYPE} | ({"retry-after": "1"} if fault.http == 503 else {})
    return HttpResponse(fault.http, msgspec.json.encode({"errors": [error(fault)], **more}), headers)
