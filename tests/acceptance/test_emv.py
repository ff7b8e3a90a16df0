"""EMV data: the dictionary, strings of tags taken apart, and what is no such string. §3.1 of the search reference."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kessai.dialects.cybersource import emv
from tests.acceptance.client import VISA, Client, Json

PATH = "/tss/v2/transactions/emvTagDetails"


def asked(*tags: str) -> Json:
    return {
        "emvDetailsList": [{"requestId": f"{index}", "emvRequestCombinedTags": each} for index, each in enumerate(tags)]
    }


def test_the_dictionary_names_every_tag(till: Client) -> None:
    reply = till.call("GET", PATH)
    assert reply.status == 200
    found = {each["tag"]: each["name"] for each in reply.json["emvTagBreakdownList"]}
    assert found["9F26"] == "Application Cryptogram"
    assert len(found) == len(emv.TAGS) > 90
    assert found.keys() >= emv.SECRET


def test_a_string_of_tags_is_taken_apart(till: Client) -> None:
    reply = till.post(PATH, asked("9F0206000000010000" + "9505" + "8000008000" + "9F2701" + "80", "DF7901AA"))
    assert reply.status == 200
    first, second = reply.json["parsedEMVTagsList"]
    assert (first["requestId"], first["totalTags"]) == ("0", 3)
    assert first["emvTagBreakdownList"][0] == {
        "tag": "9F02",
        "name": "Amount, Authorised (Numeric)",
        "length": 6,
        "value": "000000010000",
        "description": "amount without adjustments",
    }
    assert [each["tag"] for each in first["emvTagBreakdownList"]] == ["9F02", "95", "9F27"]
    assert second["emvTagBreakdownList"][0]["name"] == "Unknown"


def test_what_tells_of_the_card_is_masked_wherever_it_stands(till: Client) -> None:
    inside = "5A08" + VISA + "5F2403311231"
    template = f"70{len(inside) // 2:02X}{inside}"
    logged = len(till.service.logs.getvalue())
    reply = till.post(PATH, asked(template + "57" + "03" + "411111"))
    (found,) = reply.json["parsedEMVTagsList"]
    values = {each["tag"]: each["value"] for each in found["emvTagBreakdownList"]}
    assert values == {"70": "5A08" + "X" * 16 + "5F2403" + "X" * 6, "5A": "X" * 16, "5F24": "X" * 6, "57": "X" * 6}
    assert found["totalTags"] == 4
    assert VISA not in reply.body.decode() + till.service.logs.getvalue()[logged:]


@pytest.mark.parametrize(
    ("document", "field", "reason"),
    [
        ({}, "emvDetailsList", "MISSING_FIELD"),
        ({"emvDetailsList": []}, "emvDetailsList", "INVALID_DATA"),
        ({"emvDetailsList": [1]}, "emvDetailsList[0].emvRequestCombinedTags", "MISSING_FIELD"),
        (asked("9F"), "emvDetailsList[0].emvRequestCombinedTags", "INVALID_DATA"),
        (asked("9F02"), "emvDetailsList[0].emvRequestCombinedTags", "INVALID_DATA"),
        (asked("9F020600"), "emvDetailsList[0].emvRequestCombinedTags", "INVALID_DATA"),
        (asked("9F0200", "xyz"), "emvDetailsList[1].emvRequestCombinedTags", "INVALID_DATA"),
        (asked("A50AA508A506A504A502A500"), "emvDetailsList[0].emvRequestCombinedTags", "INVALID_DATA"),
        (asked("00" * 1_000), "emvDetailsList[0].emvRequestCombinedTags", "INVALID_DATA"),
    ],
)
def test_what_is_no_string_of_tags_is_named(till: Client, document: Json, field: str, reason: str) -> None:
    reply = till.post(PATH, document)
    assert reply.status == 400
    assert reply.json["status"] == "INVALID_REQUEST"
    assert reply.json["details"] == [{"field": field, "reason": reason}]


def test_other_methods_are_not_allowed(till: Client) -> None:
    assert till.call("DELETE", PATH).status == 405
    assert till.call("GET", f"{PATH}/x").status == 404


@given(data=st.binary(max_size=60))
def test_whatever_bytes_come_are_tags_or_refused(data: bytes) -> None:
    answer = emv.parsed(asked(data.hex()))
    assert isinstance(answer, emv.Wrong) or answer.startswith(b'{"parsedEMVTagsList":[')
