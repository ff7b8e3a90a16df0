"""The demonstration: every flow of the documents against a real gateway, and what it says of one that errs."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kessai import demo
from kessai.client import Answer, Request
from tests.commands import PAN, Gateway, done, gateway, run


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with gateway(tmp_path_factory.mktemp("served") / "data") as found:
        yield found


@pytest.fixture(scope="module")
def steps(served: Gateway) -> dict[str, dict[str, Any]]:
    finished = run(served.folder, "demo", "--json")
    assert (finished.returncode, finished.stderr) == (0, "")
    assert PAN not in finished.stdout
    return {step["title"]: step for step in json.loads(finished.stdout)}


def test_every_flow_ends_as_the_documents_say(steps: dict[str, dict[str, Any]]) -> None:
    assert list(steps) == [step.title for step in demo.STEPS]
    assert [title for title, step in steps.items() if not step["ok"]] == []


def test_every_step_that_moves_money_shows_a_balanced_ledger(steps: dict[str, dict[str, Any]]) -> None:
    without = []
    for title, step in steps.items():
        sides = [
            sum(int(line[side].replace(".", "")) for line in step["ledger"] if line[side])
            for side in ("debit", "credit")
        ]
        assert sides[0] == sides[1], title
        if not sides[0]:
            without.append(title)
    assert without == [demo.STEPS[-2].title, demo.STEPS[-1].title]  # a decline, and what was undone


def test_every_japanese_payment_shows_its_schedule(steps: dict[str, dict[str, Any]]) -> None:
    shown = {step["schedule"]["method"]: step for step in steps.values() if step["schedule"]}
    assert set(shown) == {"10", "21", "31", "34", "61", "80"}
    assert len(shown["61"]["schedule"]["cardholder"]) == 12
    assert shown["31"]["request"]["body"]["processingInformation"]["japanPaymentOptions"]["firstBusinessMonth"] == "04"


def test_a_lost_answer_is_cleaned_up_before_the_step_is_over(steps: dict[str, dict[str, Any]]) -> None:
    lost = list(steps.values())[-1]
    assert lost["answer"]["status"] == 502
    assert [(tx["operation"], tx["status"]) for tx in lost["clean_up"]] == [("reversal", "approved")]


def test_people_see_requests_answers_ledgers_and_schedules(served: Gateway) -> None:
    shown = done(served.folder, "demo", "--url", served.ready["url"])
    for text in ("POST /pts/v2/payments", "HTTP 201 Created", "411111XXXXXX1111", "held-by-issuers", "リボ払い"):
        assert text in shown
    assert shown.endswith(f"{len(demo.STEPS)} of {len(demo.STEPS)} steps went as expected.\n")
    assert PAN not in shown


def test_a_step_that_ends_otherwise_is_not_ok_nor_sent_what_needs_it() -> None:
    asked: list[str] = []

    def ask(_merchant: str, request: Request) -> Answer:
        asked.append(request.target)
        return Answer(status=400, phrase="Bad Request", headers={}, body=b'{"status":"INVALID_REQUEST"}')

    results = list(demo.run(ask, lambda _: None))
    assert not any(result["ok"] for result in results)
    assert [result["answer"]["phrase"] for result in results[:4]] == ["Bad Request", *["not sent"] * 3]
    alone = [step for step in demo.STEPS if re.search(r"\{[a-z]", f"{step.path}{step.document}") is None]
    assert len(asked) == len(alone)


def test_a_flow_that_fails_is_status_1(served: Gateway, tmp_path: Path) -> None:
    with gateway(tmp_path / "data") as strict:
        done(strict.folder, "merchant", "set", "kessai_smcc", "strict_options=true", 'options.methods=["61"]')
        finished = run(strict.folder, "demo", "--json")
    assert finished.returncode == 1
    wrong = [step["title"] for step in json.loads(finished.stdout) if not step["ok"]]
    assert "Japan: revolving payment" in wrong
    assert "Japan: 12 installments" not in wrong
