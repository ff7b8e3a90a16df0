"""What a merchant does about plans and subscriptions with the official client, inside the client's own environment.

Not part of the tests' process: it runs under `.venv-sdk/bin/python`, reads `{"configuration", "customer", "start"}` by
name as JSON from standard input, makes every call with the client's own models, for one name after the other, and
writes what came back as one JSON document.
"""

import json
import sys
import warnings
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "acceptance" / "sdk"))
from drive import _paths, _without_none  # type: ignore[import-not-found]

Json = dict[str, Any]


class Merchant:
    """The client, and what came of every call so far."""

    def __init__(self, sdk: Any, configuration: Json) -> None:
        self.sdk = sdk
        self.configuration = configuration
        self.noted: dict[str, Json] = {}

    def call(self, name: str, api: str, method: str, **arguments: Any) -> Json:
        """Make a call and note it: status, the model's name, its attributes, and wire paths that it has not."""
        made = getattr(self.sdk, api)(self.configuration)
        try:
            model, status, raw = getattr(made, method)(**arguments)
        except self.sdk.rest.ApiException as error:
            self.noted[name] = {"status": error.status, "error": json.loads(error.body) if error.body else None}
            return {}
        known = made.api_client.sanitize_for_serialization(model)
        self.noted[name] = {
            "status": status,
            "model": type(model).__name__,
            "answer": _without_none(model.to_dict()),
            "lost": sorted(set(_paths(json.loads(raw))) - set(_paths(known))),
        }
        answer: Json = model.to_dict()
        return answer

    def body(self, kind: str, **parts: Json) -> str:
        """A request by the client's own models, as the client's samples write it."""
        models = self.sdk.models
        request = getattr(models, kind)(**{name: self._part(kind, name, part) for name, part in parts.items()})
        return json.dumps(_without_none(request.to_dict()))

    def _part(self, kind: str, name: str, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        inner = getattr(self.sdk.models, kind).swagger_types[name]
        return getattr(self.sdk.models, inner)(**{key: self._part(inner, key, value) for key, value in values.items()})


def play(shop: Merchant, customer: str, start: str) -> None:
    plan: Json = {
        "plan_information": {
            "name": "Gold Plan",
            "description": "New Gold Plan",
            "billing_period": {"length": "1", "unit": "M"},
            "billing_cycles": {"total": "4"},
        },
        "order_information": {"amount_details": {"currency": "USD", "billing_amount": "10", "setup_fee": "2"}},
    }
    shop.call("plan code", "PlansApi", "get_plan_code")
    made = shop.call("plan", "PlansApi", "create_plan", create_plan_request=shop.body("CreatePlanRequest", **plan))
    shop.call("plan read", "PlansApi", "get_plan", id=made["id"])
    change = shop.body(
        "UpdatePlanRequest",
        plan_information={"name": "Gold Plan NA", "billing_cycles": {"total": "5"}},
        order_information={"amount_details": {"currency": "USD", "billing_amount": "11"}},
        processing_information={"subscription_billing_options": {"apply_to": "ALL"}},
    )
    shop.call("plan update", "PlansApi", "update_plan", id=made["id"], update_plan_request=change)
    other = shop.call("plan 2", "PlansApi", "create_plan", create_plan_request=shop.body("CreatePlanRequest", **plan))
    shop.call("plans", "PlansApi", "get_plans", offset=0, limit=1, status="ACTIVE")
    shop.call("plan deactivate", "PlansApi", "deactivate_plan", id=other["id"])
    shop.call("plan activate", "PlansApi", "activate_plan", id=other["id"])
    shop.call("plan delete", "PlansApi", "delete_plan", id=other["id"])
    shop.call("plan gone", "PlansApi", "get_plan", id=other["id"])

    request = shop.body(
        "CreateSubscriptionRequest",
        client_reference_information={"code": "TC501713"},
        subscription_information={"plan_id": made["id"], "name": "Subscription with PlanId", "start_date": start},
        payment_information={"customer": {"id": customer}},
        processing_information={
            "commerce_indicator": "recurring",
            "authorization_options": {"initiator": {"type": "merchant"}},
        },
    )
    shop.call("code", "SubscriptionsApi", "get_subscription_code")
    subscribed = shop.call(
        "subscription", "SubscriptionsApi", "create_subscription", create_subscription_request=request
    )
    known = subscribed["id"]
    shop.call("read", "SubscriptionsApi", "get_subscription", id=known)
    shop.call("list", "SubscriptionsApi", "get_all_subscriptions", offset=0, limit=20, customer_id=customer)
    change = shop.body("UpdateSubscription", subscription_information={"name": "Renamed"})
    shop.call("update", "SubscriptionsApi", "update_subscription", id=known, update_subscription=change)
    shop.call("payments", "SubscriptionsApi", "subscriptions_id_payments_get", id=known)
    # `subscriptions_id_payments_put` is left out: the client breaks on every list of numbers before it sends it.
    shop.call("suspend", "SubscriptionsApi", "suspend_subscription", id=known)
    shop.call("activate", "SubscriptionsApi", "activate_subscription", id=known)
    shop.call("activate again", "SubscriptionsApi", "activate_subscription", id=known)
    shop.call("cancel", "SubscriptionsApi", "cancel_subscription", id=known)


def main() -> None:
    orders = json.load(sys.stdin)
    warnings.simplefilter("ignore")  # importing the client warns of pkg_resources
    import CyberSource  # type: ignore[import-not-found]  # lives in the client's environment

    noted = {}
    for name, order in orders.items():
        shop = Merchant(CyberSource, order["configuration"])
        play(shop, order["customer"], order["start"])
        noted[name] = shop.noted
    json.dump(noted, sys.stdout)


if __name__ == "__main__":
    main()
