"""Merchants are strangers to each other: another's id is answered as one that nobody was ever given. T-20, A-20."""

import pytest

from kessai.dialects.cybersource.routes import ROUTES, Row
from tests.acceptance.client import UNKNOWN, Client, Json, Reply, Service, amount_of, payment, reversal_of

NAMED = [row for row in ROUTES if "{id}" in row.path]
BODY: Json = amount_of("1.00") | reversal_of("1.00", currency="USD")


@pytest.fixture(scope="module")
def others(service: Service) -> dict[str, str]:
    """One resource of each kind, of another merchant."""
    vpc = service.till("kessai_vpc")
    lodging = payment(processingInformation__authorizationOptions={"authIndicator": "0"})
    made = vpc.approved(vpc.pay(lodging))
    taken = vpc.approved(vpc.capture(made, "50.00"))
    returned = vpc.approved(vpc.refund(taken, "5.00", of="captures"))
    return {
        "payments": made,
        "captures": taken,
        "refunds": returned,
        "credits": vpc.approved(vpc.credit()),
        "reversals": vpc.approved(vpc.reverse(made, "1.00")),
        "voids": vpc.approved(vpc.void(vpc.approved(vpc.sell()))),
    }


def without_id(reply: Reply) -> Json:
    return {name: value for name, value in reply.json.items() if name not in ("id", "submitTimeUtc")}


@pytest.mark.parametrize("kind", ["payments", "captures", "refunds", "credits", "reversals", "voids"])
@pytest.mark.parametrize("row", NAMED, ids=lambda row: f"{row.method} {row.path}")
def test_another_merchants_id_is_unknown(till: Client, others: dict[str, str], row: Row, kind: str) -> None:
    document = BODY if row.method in ("POST", "PATCH") else None

    def ask(identifier: str) -> Reply:
        return till.call(row.method, row.path.replace("{id}", identifier), document)

    theirs, nobodys = ask(others[kind]), ask(UNKNOWN)
    assert theirs.status == nobodys.status
    assert theirs.status in (400, 404)
    assert without_id(theirs) == without_id(nobodys)
    assert theirs.explanation == nobodys.explanation


@pytest.mark.parametrize("document", [{}, reversal_of("1.00")])
def test_so_it_is_without_a_currency_of_ones_own(till: Client, others: dict[str, str], document: Json) -> None:
    """The currency of a reversal is taken from its payment: not from another's."""
    path = "/pts/v2/payments/{}/reversals"
    theirs, nobodys = (till.post(path.format(made), document) for made in (others["payments"], UNKNOWN))
    assert without_id(theirs) == without_id(nobodys)


@pytest.mark.parametrize("path", ["/pts/v2/reversals", "/pts/v2/voids"])
def test_a_merchants_own_ids_are_not_looked_up_at_another(till: Client, vpc: Client, path: str) -> None:
    named = {"clientReferenceInformation": {"transactionId": f"tenant-{path[8:]}"}}
    vpc.approved(vpc.pay(payment() | named))
    unknown = {"clientReferenceInformation": {"transactionId": "nobody's"}}
    theirs, nobodys = (till.post(path, sent | BODY | sent) for sent in (named, unknown))
    assert theirs.status == 400
    assert without_id(theirs) == without_id(nobodys)


def test_nothing_of_it_was_written(vpc: Client, others: dict[str, str]) -> None:
    """The other merchant's payment has only what it did itself."""
    found = vpc.details(others["payments"])
    assert len(found["_links"]["relatedTransactions"]) == 3
    vpc.service.assert_books()
