"""What a merchant does about webhooks with the official client, inside the client's own environment.

Not part of the tests' process: it runs under `.venv-sdk/bin/python`, reads `{"configuration", "url"}` by name as JSON
from standard input, and writes what came of every call as one JSON document.
"""

import importlib.util
import json
import sys
import warnings
from pathlib import Path
from typing import Any

_FILE = Path(__file__).parents[1] / "recurring" / "drive.py"
_spec = importlib.util.spec_from_file_location("recurring_drive", _FILE)
assert _spec is not None
assert _spec.loader is not None
_recurring = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_recurring)

Json = dict[str, Any]


class Merchant(_recurring.Merchant):  # type: ignore[misc, name-defined]
    """The client, whose answers here may be lists, or nothing that it reads."""

    def call(self, name: str, api: str, method: str, **arguments: Any) -> Json:
        made = getattr(self.sdk, api)(self.configuration)
        try:
            model, status, _ = getattr(made, method)(**arguments)
        except self.sdk.rest.ApiException as error:
            self.noted[name] = {"status": error.status}
            return {}
        found = [each.to_dict() for each in model] if isinstance(model, list) else [model.to_dict() if model else {}]
        self.noted[name] = {"status": status, "answer": _recurring._without_none(found[0]), "count": len(found)}
        return dict(found[0])


NEW = "CreateNewWebhooksApi"
MANAGE = "ManageWebhooksApi"


def play(shop: Any, organization: str, url: str) -> None:
    shop.call("products", NEW, "find_products_to_subscribe", organization_id=organization)
    key: Json = {
        "client_request_action": "CREATE",
        "key_information": {
            "provider": "nrtd",
            "tenant": organization,
            "key_type": "sharedSecret",
            "organization_id": organization,
            "expiry_duration": "365",
        },
    }
    sender: Json = {"v_c_sender_organization_id": organization, "v_c_permissions": "P"}
    shop.call("key", NEW, "save_sym_egress_key", **sender, save_sym_egress_key=shop.body("SaveSymEgressKey", **key))
    wish: Json = {
        "name": "Orders",
        "organization_id": organization,
        "webhook_url": url,
        "health_check_url": url,
        "notification_scope": "SELF",
        "retry_policy": {"algorithm": "ARITHMETIC", "first_retry": 1, "interval": 1, "number_of_retries": 3},
        "security_policy": {"security_type": "KEY"},
    }
    request = shop.body(
        "CreateWebhook",
        **wish,
        products=[{"product_id": "payments", "event_types": ["payments.capture.status.accepted"]}],
    )
    made = shop.call("create", NEW, "notification_subscriptions_v2_webhooks_post", create_webhook=request)
    webhook = {"webhook_id": made["webhook_id"]}
    shop.call(
        "list",
        MANAGE,
        "get_webhook_subscriptions_by_org",
        organization_id=organization,
        product_id="payments",
        event_type="payments.capture.status.accepted",
    )
    turn = "notification_subscriptions_v2_webhooks_webhook_id_status_put"
    shop.call("on", MANAGE, turn, **webhook, update_status=shop.body("UpdateStatus", status="ACTIVE"))
    shop.call("read", MANAGE, "get_webhook_subscription_by_id", **webhook)
    change = "notification_subscriptions_v2_webhooks_webhook_id_patch"
    shop.call("change", MANAGE, change, **webhook, update_webhook=shop.body("UpdateWebhook", name="All orders"))
    shop.call("test", MANAGE, "notification_subscriptions_v1_webhooks_webhook_id_post", **webhook)
    other = shop.call("create another", NEW, "notification_subscriptions_v2_webhooks_post", create_webhook=request)
    webhook = {"webhook_id": other["webhook_id"]}
    shop.call("delete", MANAGE, "delete_webhook_subscription", **webhook)
    shop.call("gone", MANAGE, "get_webhook_subscription_by_id", **webhook)


def main() -> None:
    warnings.simplefilter("ignore")
    import CyberSource  # type: ignore[import-not-found]
    import CyberSource.models  # type: ignore[import-not-found]

    noted: dict[str, Json] = {}
    for name, order in json.load(sys.stdin).items():
        shop = Merchant(CyberSource, order["configuration"])
        play(shop, order["configuration"]["merchantid"], order["url"])
        noted[name] = shop.noted
    json.dump(noted, sys.stdout)


if __name__ == "__main__":
    main()
