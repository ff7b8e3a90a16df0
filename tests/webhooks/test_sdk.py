"""The official client drives webhooks, unmodified: every call is understood, and nothing of the answers is lost."""

import json
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest

from tests.acceptance.client import Service
from tests.acceptance.sdk.conftest import HTTP_SIGNATURE, JWT_BY_SECRET
from tests.webhooks.receiver import Receiver
from tests.webhooks.shop import open_shop

Json = dict[str, Any]
ROOT: Final = Path(__file__).parents[2]
STATUSES: Final = {
    "products": 200,
    "key": 201,
    "create": 201,
    "list": 200,
    "on": 200,
    "read": 200,
    "change": 200,
    "test": 201,
    "create another": 201,
    "delete": 200,
    "gone": 404,
}


@pytest.mark.parametrize("scheme", [HTTP_SIGNATURE, JWT_BY_SECRET], ids=["signature", "secret"])
def test_the_official_client_is_understood_and_understands(
    service: Service, receiver: Receiver, tmp_path: Path, scheme: Json
) -> None:
    python = ROOT / ".venv-sdk" / "bin" / "python"
    if not python.exists():
        pytest.fail(f"the official client is not installed: there is no {python}; `make test` makes it", pytrace=False)
    merchant = open_shop(service).id
    key_id, secret = service.run(service.house.accounts.shared_secret(merchant))
    address = f"127.0.0.1:{service.port}"
    configuration = {
        "merchantid": merchant,
        **scheme,
        "merchant_keyid": key_id,
        "merchant_secretkey": secret,
        "run_environment": address,
        "IntermediateHost": f"http://{address}",
    }
    done = subprocess.run(
        [python, "-I", Path(__file__).with_name("drive.py")],
        input=json.dumps({"play": {"configuration": configuration, "url": receiver.url}}),
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    noted: dict[str, Json] = json.loads(done.stdout)["play"]
    assert {call: found["status"] for call, found in noted.items()} == STATUSES, noted
    assert noted["key"]["answer"]["key_information"]["status"] == "active"
    assert noted["create"]["answer"]["status"] == "INACTIVE"
    assert noted["read"]["answer"]["status"] == "ACTIVE"
    assert noted["change"]["answer"]["name"] == "All orders"
    (told,) = receiver.until(lambda seen: len(seen) == 1)
    assert told.trace == noted["test"]["answer"]["transaction_trace_id"]
    assert told.is_signed_by(
        noted["key"]["answer"]["key_information"]["key_id"], noted["key"]["answer"]["key_information"]["key"]
    )
