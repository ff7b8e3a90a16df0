"""Routes of the PaymentOptions wire: each under both prefixes, and nothing beside them."""

import pytest

from kessai.dialects.paymentoptions.routes import ROUTES, Kind, Match, Row, match


@pytest.mark.parametrize("row", ROUTES, ids=lambda row: f"{row.number}")
def test_a_route_is_there_under_both_prefixes(row: Row) -> None:
    path = row.path.replace("{}", "abc")
    wanted = Match(row.kind, "abc" if "{}" in row.path else "")
    for spelling in (path, f"/api/v1{path}", f"{path}/"):
        assert match(row.method, spelling) == wanted
    for wrong in (f"/api/v1/api/v1{path}", path.upper(), f"{path}//", f"x{path}", path.removeprefix("/api/v1")):
        assert match(row.method, wrong) is None
    assert match("PUT", path) is None


def test_the_documents_count_sixteen_and_only_the_hosted_page_has_two() -> None:
    assert [row.number for row in ROUTES] == list(range(1, 17))
    assert [row.kind for row in ROUTES] == [*Kind, Kind.LINK]


def test_the_list_is_no_subscription() -> None:
    found = match("GET", "/api/v1/server-to-server-interface/subscription/list")
    assert found == Match(Kind.SUBSCRIPTIONS)
