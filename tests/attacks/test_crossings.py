"""Other people's things: for every route and every kind of resource, another's is as if it had never been."""

import itertools

import pytest

from kessai import ids
from kessai.dialects.cybersource import token_routes
from kessai.dialects.cybersource.routes import ROUTES, Row
from tests.acceptance.client import (
    AUTHORIZED,
    PENDING,
    UNKNOWN,
    Client,
    Json,
    Reply,
    Service,
    amount_of,
    changed,
    lodging,
    payment,
    reversal_of,
)
from tests.attacks.harm import FAILED, is_refused, nothing_moves, rows

NAMED = [row for row in ROUTES if "{id}" in row.path]
KINDS = ("payments", "sales", "captures", "refunds", "credits", "reversals", "voids", "increments", "declines")
EVERY: list[Row | token_routes.Row] = [*ROUTES, *token_routes.ROUTES]
PICTURE = {"provider": "vts", "asset": "card-icon"}
BODY: Json = amount_of("1.00") | reversal_of("1.00", currency="USD")
NOBODYS = {"clientReferenceInformation": {"transactionId": "nobody's"}}


@pytest.fixture(scope="module")
def theirs(service: Service) -> dict[str, str]:
    """One resource of each kind, of another merchant."""
    vpc = service.till("kessai_vpc")
    held, made = lodging(vpc), vpc.approved(vpc.pay())
    taken = vpc.approved(vpc.capture(made, "50.00"))
    return {
        "payments": made,
        "sales": vpc.approved(vpc.sell()),
        "captures": taken,
        "refunds": vpc.approved(vpc.refund(taken, "5.00", of="captures")),
        "credits": vpc.approved(vpc.credit()),
        "reversals": vpc.approved(vpc.reverse(made, "1.00")),
        "voids": vpc.approved(vpc.void(vpc.approved(vpc.sell()))),
        "increments": vpc.approved(vpc.increase(held)),
        "declines": vpc.pay(Kessai_Scenario="general-decline").id,
    }


def test_every_kind_of_resource_is_tried() -> None:
    """T-20: a route of a new kind wants a resource of its kind here."""
    assert {row.path.split("/")[3] for row in ROUTES if row.path.startswith("/pts/")} <= set(KINDS)


def _same(reply: Reply) -> Json:
    """A body without what is new in every answer: the id of a refusal, its second."""
    return {name: value for name, value in reply.json.items() if name not in ("id", "submitTimeUtc")}


def _document(row: Row | token_routes.Row) -> Json | None:
    return BODY if row.method in ("POST", "PATCH") else None


@pytest.mark.parametrize("row", NAMED, ids=lambda row: f"{row.method} {row.path}")
def test_anothers_resource_is_answered_like_one_that_nobody_was_given(
    service: Service, till: Client, theirs: dict[str, str], row: Row
) -> None:
    """T-20, A-20: 404, or the wire's 400, the same bytes either way; nothing is written."""
    with nothing_moves(service, "request.refused"):
        nobodys = till.call(row.method, row.path.replace("{id}", UNKNOWN), _document(row))
        is_refused(nobodys, 400, 404)
        for kind in KINDS:
            reply = till.call(row.method, row.path.replace("{id}", theirs[kind]), _document(row))
            assert (reply.status, _same(reply), reply.explanation) == (
                nobodys.status,
                _same(nobodys),
                nobodys.explanation,
            ), kind
            if reply.status == 404:
                assert reply.body == nobodys.body


@pytest.mark.parametrize("path", ["/pts/v2/reversals", "/pts/v2/voids"])
def test_anothers_transaction_id_names_nothing(service: Service, till: Client, vpc: Client, path: str) -> None:
    """T-20, A-20."""
    named = {"clientReferenceInformation": {"transactionId": f"crossing-{path[8:]}"}}
    vpc.approved(vpc.pay(payment() | named))
    with nothing_moves(service, "request.refused"):
        theirs, nobodys = (till.post(path, sent | BODY | sent) for sent in (named, NOBODYS))
        assert _same(theirs) == _same(nobodys)


@pytest.mark.parametrize("row", EVERY, ids=lambda row: f"{row.method} {row.path}")
def test_a_revoked_credential_opens_nothing(
    service: Service, theirs: dict[str, str], row: Row | token_routes.Row
) -> None:
    """T-20, A-13: not even its former owner's own."""
    till = service.merchant("revoked_here")
    key, _ = service.secrets["revoked_here"]
    if key in service.house.accounts.get("revoked_here").keys:
        assert till.pay().said == AUTHORIZED
        service.run(service.house.accounts.revoke_key("revoked_here", key, service.house.clock()))
    with nothing_moves(service, "authentication.failed"):
        for identifier in (theirs["payments"], UNKNOWN):
            reply = till.call(
                row.method, row.path.format(id=identifier, customer=identifier, **PICTURE), _document(row)
            )
            assert (reply.status, reply.body) == (401, FAILED)


@pytest.mark.parametrize("row", EVERY, ids=lambda row: f"{row.method} {row.path}")
def test_a_foreign_credential_opens_nothing(
    service: Service, till: Client, vpc: Client, theirs: dict[str, str], row: Row | token_routes.Row
) -> None:
    """T-20, A-2, A-22: our key over the other's merchant id."""
    path = row.path.format(id=theirs["payments"], customer=theirs["payments"], **PICTURE)
    body = b"{}" if row.method in ("POST", "PATCH") else b""
    with nothing_moves(service, "authentication.failed"):
        headers = till.signed(row.method, path, body) | {"content-type": "application/json"}
        assert till.send(row.method, path, body, headers | {"v-c-merchant-id": vpc.merchant}).body == FAILED


def test_a_merchant_in_the_body_is_not_who_calls(service: Service, till: Client, vpc: Client) -> None:
    """A-22, R-55: the wire has such members; the credential decides."""
    named = {"merchantInformation.merchantId": vpc.merchant, "merchantId": vpc.merchant, "merchant_id": vpc.merchant}
    made = till.approved(till.pay(changed(payment(), named)))
    assert vpc.call("GET", f"/tss/v2/transactions/{made}").status == 404
    assert till.details(made)["id"] == made


OURS: Json = {
    "status": "REVERSED",
    "merchant_id": "kessai_vpc",
    "approved": True,
    "id": UNKNOWN,
    "fee": "0",
    "created_at": "2001-01-01T00:00:00Z",
    "is_live": True,
    "submitTimeUtc": "2001-01-01T00:00:00Z",
    "reconciliationId": "mine",
    "processorInformation": {"approvalCode": "000000", "responseCode": "00"},
    "orderInformation.amountDetails.authorizedAmount": "999999.00",
    "orderInformation.amountDetails.settlementAmount": "1.00",
}


def test_what_is_ours_to_say_cannot_be_said_by_others(service: Service, till: Client) -> None:
    """A-26, A-95: members that are ours are ignored in a create."""
    plain, dressed = till.pay(), till.pay(changed(payment(), OURS))
    assert dressed.said == AUTHORIZED
    assert dressed.id not in (UNKNOWN, plain.id)
    assert dressed.json["orderInformation"] == plain.json["orderInformation"]
    assert not dressed.json["submitTimeUtc"].startswith("2001")
    assert dressed.json["processorInformation"].keys() == plain.json["processorInformation"].keys()
    assert dressed.json["processorInformation"]["approvalCode"] != "000000"
    assert till.capture(dressed.id).said == PENDING


def test_ids_next_to_ones_own_lead_nowhere(service: Service, till: Client, theirs: dict[str, str]) -> None:
    """A-29: a neighbour's id and the numbers around one's own are all unknown."""
    numbers = [ids.read(identifier) for identifier in (till.approved(till.pay()), theirs["payments"])]
    own = {number for (number,) in rows(service, "SELECT id FROM transactions WHERE merchant_id = 'kessai_sandbox'")}
    near = {number + step * 256 for number in numbers if number is not None for step in range(-20, 21)} - own
    assert len(near) > 20
    with nothing_moves(service, "request.refused"):
        found = {till.call("GET", f"/tss/v2/transactions/{ids.show(each)}").status for each in near}
    assert found == {404}


@pytest.mark.parametrize(
    "text",
    ["0", "-1", "1%20OR%201=1", "%27%20OR%201%3D1--", "%25", "*", "..%2f..%2fpayments", "%00", "9" * 22, "9" * 5_000],
)
def test_what_is_no_id_is_an_unknown_one(service: Service, till: Client, text: str) -> None:
    """A-20, R-46."""
    with nothing_moves(service, "request.refused"):
        for row in itertools.islice(NAMED, 0, None, 3):
            path = row.path.replace("{id}", text)
            reply = till.call(row.method, path, _document(row))
            is_refused(reply, 400, 404)
