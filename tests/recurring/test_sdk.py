"""The official client drives plans and subscriptions, unmodified: every call is understood, and nothing is lost."""

import base64
import json
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest

from tests.acceptance.client import Service
from tests.recurring.shop import Shop

Json = dict[str, Any]
ROOT: Final = Path(__file__).parents[2]
STATUSES: Final = {
    "plan code": 200,
    "plan": 201,
    "plan read": 200,
    "plan update": 200,
    "plan 2": 201,
    "plans": 200,
    "plan deactivate": 200,
    "plan activate": 200,
    "plan delete": 200,
    "plan gone": 404,
    "code": 200,
    "subscription": 201,
    "read": 200,
    "list": 200,
    "update": 200,
    "payments": 200,
    "suspend": 202,
    "activate": 200,
    "activate again": 400,
    "cancel": 202,
}


def test_the_official_client_is_understood_and_understands(service: Service, tmp_path: Path) -> None:
    python = ROOT / ".venv-sdk" / "bin" / "python"
    if not python.exists():
        pytest.fail(f"the official client is not installed: there is no {python}; `make test` makes it", pytrace=False)
    name = f"client_{service.port}"
    shop = Shop(service.merchant(name))
    key_id, secret = service.secrets[name]
    address = f"127.0.0.1:{service.port}"
    configuration = {
        "authentication_type": "http_signature",
        "merchantid": name,
        "merchant_keyid": key_id,
        "merchant_secretkey": base64.b64encode(secret).decode(),
        "run_environment": address,
        "IntermediateHost": f"http://{address}",
    }
    orders = {"configuration": configuration, "customer": shop.customer(), "start": shop.today()}
    done = subprocess.run(
        [python, "-I", Path(__file__).with_name("drive.py")],
        input=json.dumps(orders),
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    noted: dict[str, Json] = json.loads(done.stdout)
    assert {call: found["status"] for call, found in noted.items()} == STATUSES, noted
    lost = {path for found in noted.values() for path in found.get("lost", ()) if not path.startswith("_links.")}
    assert lost == set(), "the client has one model for every kind of link, and no place for most of them"
    assert noted["plan read"]["answer"]["order_information"]["amount_details"]["setup_fee"] == "2.00"
    assert noted["plans"]["answer"]["total_count"] == 2
    assert noted["subscription"]["answer"]["subscription_information"]["status"] == "ACTIVE"
    assert noted["read"]["answer"]["plan_information"]["billing_cycles"] == {"total": "5", "current": "2"}
    assert noted["list"]["answer"]["total_count"] == 1
    (first, *ahead) = noted["payments"]["answer"]["subscription_payment"]
    assert (first["status"], first["billing_amount"], first["setup_fee"]) == ("PAID", "11.00", "2.00")
    assert [each["status"] for each in ahead] == ["SCHEDULED"] * 4
    assert noted["suspend"]["answer"]["subscription_information"]["status"] == "SUSPENDED"
    assert noted["activate again"]["error"]["details"][0]["reason"] == "INVALID_FOR_ACTIVATION"
    assert noted["cancel"]["answer"]["subscription_information"]["status"] == "CANCELLED"
