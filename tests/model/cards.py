"""The second machine (T-8): cards on file and what is charged to them by the calendar, over the whole wire.

Random requests of two merchants, who share nothing but the gateway, go to it and into the model; status and what
matters of the answer must be the same after each, and the books and what is stored at every moment.
"""

import asyncio
import sys
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Final, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from kessai import verify
from kessai.jobs import recurring
from kessai.payment.lifecycle import Operation, Status
from tests.acceptance.client import BILL_TO, Json, Reply
from tests.model import club as clubs
from tests.model.club import Club, Plan, Subscription
from tests.model.machine import MORNING, Stage
from tests.model.shop import APPROVED, DECLINED, HOLD_DAYS, Move, Shop
from tests.model.wallet import Address, Card, Customer, Kept, Number, Owned, Paying, Stands, Wallet
from tests.model.wire import Wire

K = TypeVar("K", bound=Kept)

CUSTOMERS, LONE, NUMBERS = "/tms/v2/customers", "/tms/v1/paymentinstruments", "/tms/v1/instrumentidentifiers"
PLANS, SUBSCRIPTIONS = "/rbs/v1/plans", "/rbs/v1/subscriptions"
PANS: Final = ("4111111111111111", "4012888888881881", "5555555555554444", "378282246310005")
"""Few, so that the same one comes again."""
TYPES: Final = ("customer", "paymentInstrument", "shippingAddress", "instrumentIdentifier")
ADDRESS: Final[Json] = {"shipTo": {"firstName": "Taro", "lastName": "Suzuki", "country": "JP"}}
STEPS: Final = {"1d": ("D", 1), "1w": ("W", 1), "1mo": ("M", 1), "3mo": ("M", 3)}

sides = st.sampled_from([0, 0, 0, 0, 1])
whiches = st.integers(0, 1_000)
perhaps = st.one_of(st.none(), whiches)
pans = st.sampled_from(PANS)
totals = st.integers(100, 9_000)
outcomes = st.sampled_from(["approve", "approve", "general-decline"])


class Side:
    """A merchant, and the model of everything that is its own."""

    def __init__(self, merchant: str) -> None:
        self.merchant = merchant
        self.wallet, self.club, self.shop = Wallet(), Club(), Shop()
        self.now = MORNING
        """Its business time."""
        self.taken: list[int] = []
        """Amounts of the charges and sales that were paid."""


class Cards(RuleBasedStateMachine):
    """Two merchants' days. Every example begins with merchants of its own."""

    def __init__(self, stage: Stage, wire: Wire) -> None:
        super().__init__()
        self.stage, self.house, self.wire = stage, stage.house, wire
        stage.clock.now = MORNING
        self.count = next(stage.numbers)
        self.made = 0
        self.exhausted = "suspend"
        self.sides = [Side(f"c{self.count}"), Side(f"d{self.count}")]

    @initialize(exhausted=st.sampled_from(["suspend", "cancel", "continue"]))
    def opens(self, exhausted: str) -> None:
        self.exhausted = exhausted
        terms = {
            "authorization_days": str(HOLD_DAYS),
            "recurring_retries": str(clubs.RETRIES),
            "recurring_retry_days": str(clubs.RETRY_DAYS),
            "recurring_exhausted": exhausted,
        }
        for side in self.sides:
            self.stage.run(self.house.accounts.add(side.merchant, "vpc", self.stage.clock()))
            self.stage.run(self.house.accounts.set(side.merchant, terms))
        self.a_customer_comes(who=0)
        self.a_card_is_kept(who=0, owner=0, over=None, pan=PANS[0], wants_default=False)
        self.a_plan_is_made(who=0, minor=1_000, unit="W", cycles=None, state="ACTIVE")
        self.a_customer_subscribes(who=0, customer=0, which=0, days=0)

    # ---- asking

    def ask(self, side: Side, method: str, path: str, document: Json | None = None, **headers: str) -> Reply:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.wire.call(side.merchant, method, path, document, sent)

    def expect(self, reply: Reply, status: int, what: object = "") -> None:
        assert reply.status == status, f"{what}: {reply.status} answered, {status} expected: {reply.body!r}"

    def path(self, kept: Kept) -> str:
        if isinstance(kept, Customer):
            return f"{CUSTOMERS}/{kept.id}"
        if isinstance(kept, Number):
            return f"{NUMBERS}/{kept.id}"
        if isinstance(kept, Card) and kept.owner is None:
            return f"{LONE}/{kept.id}"
        assert isinstance(kept, Card | Address)
        assert kept.owner is not None
        last = "payment-instruments" if isinstance(kept, Card) else "shipping-addresses"
        return f"{CUSTOMERS}/{kept.owner.id}/{last}/{kept.id}"

    def pick(self, found: list[K], which: int | None) -> K | None:
        return found[which % len(found)] if found and which is not None else None

    def seen(self, kept: Kept, reply: Reply) -> None:
        """An ETag is another one exactly when something that its owner can see has changed."""
        etag = reply.headers["etag"]
        if kept.etag:
            assert (etag != kept.etag) == kept.moved, f"the ETag of {self.path(kept)}: {kept.etag}, then {etag}"
        kept.etag, kept.moved = etag, False

    def looks_at(self, side: Side, kept: Kept) -> None:
        """A token as its owner reads it."""
        reply = self.ask(side, "GET", self.path(kept))
        self.expect(reply, kept.read, f"GET {self.path(kept)}")
        if not kept.alive:
            return
        self.seen(kept, reply)
        self.agrees(side, kept, reply.json)

    def agrees(self, side: Side, kept: Kept, told: Json) -> None:
        assert told["id"] == kept.id
        if isinstance(kept, Customer):
            card, address = side.wallet.default_card(kept), side.wallet.default_address(kept)
            assert told.get("objectInformation", {}).get("title", "") == kept.title
            assert told.get("defaultPaymentInstrument") == ({"id": card.id} if card else None), "another default"
            assert told.get("defaultShippingAddress") == ({"id": address.id} if address else None), "another default"
        if isinstance(kept, Number):
            masked = kept.pan[:6] + "X" * (len(kept.pan) - 10) + kept.pan[-4:]
            assert (told["card"]["number"], kept.id[-4:]) == (masked, kept.pan[-4:])
        if isinstance(kept, Card | Address) and kept.owner is not None:
            assert told["default"] is kept.default, "another default"
        if isinstance(kept, Card):
            assert told["instrumentIdentifier"]["id"] == kept.number.id
            assert told["card"]["expirationYear"] == kept.expiry

    # ---- keeping

    @rule(who=sides)
    def a_customer_comes(self, who: int) -> None:
        side = self.sides[who]
        reply = self.ask(side, "POST", CUSTOMERS, {})
        self.expect(reply, 201)
        customer = Customer(reply.id)
        side.wallet.customers.append(customer)
        self.seen(customer, reply)

    @rule(who=sides, pan=pans)
    def a_number_is_kept(self, who: int, pan: str) -> None:
        """The same number gives the same token, until it is deleted; then another one."""
        side = self.sides[who]
        known = side.wallet.known(pan)
        reply = self.ask(side, "POST", NUMBERS, {"card": {"number": pan}})
        self.expect(reply, 200 if known else 201, "a number that is known")
        assert known is None or reply.id == known.id
        self.agrees(side, known or self.new_number(side, reply.id, pan), reply.json)

    def new_number(self, side: Side, identifier: str, pan: str) -> Number:
        assert identifier not in {kept.id for kept in side.wallet.all}, "an id is given twice"
        number = Number(identifier, pan=pan)
        side.wallet.numbers.append(number)
        return number

    @rule(who=sides, owner=perhaps, over=perhaps, pan=pans, wants_default=st.booleans())
    def a_card_is_kept(self, who: int, owner: int | None, over: int | None, pan: str, wants_default: bool) -> None:
        """Over a number that is named, or that comes with it."""
        side = self.sides[who]
        customer, number = self.pick(side.wallet.customers, owner), self.pick(side.wallet.numbers, over)
        document: Json = {"card": {"expirationMonth": "12", "expirationYear": "2031"}, "billTo": BILL_TO}
        document["instrumentIdentifier"] = {"id": number.id} if number else {"card": {"number": pan}}
        if wants_default:
            document["default"] = True
        path = f"{self.path(customer)}/payment-instruments" if customer else LONE
        reply = self.ask(side, "POST", path, document)
        if customer is not None and not customer.alive:
            return self.expect(reply, 410, "a deleted customer's new card")
        if number is not None and not number.alive:
            self.expect(reply, 400, "a card over a deleted number")
            assert reply.json["errors"][0]["type"] == "instrumentIdentifierGone"
            return None
        self.expect(reply, 201)
        told = reply.json["instrumentIdentifier"]["id"]
        number = number or side.wallet.known(pan) or self.new_number(side, told, pan)
        card = Card(reply.id, owner=customer, number=number)
        side.wallet.keep(card, wants_default=wants_default)
        self.seen(card, reply)
        self.agrees(side, card, reply.json)
        return None

    @rule(who=sides, owner=whiches, wants_default=st.booleans())
    def an_address_is_kept(self, who: int, owner: int, wants_default: bool) -> None:
        side = self.sides[who]
        customer = self.pick(side.wallet.customers, owner)
        if customer is None:
            return
        reply = self.ask(
            side, "POST", f"{self.path(customer)}/shipping-addresses", ADDRESS | {"default": wants_default}
        )
        self.expect(reply, 201 if customer.alive else 410)
        if customer.alive:
            address = Address(reply.id, owner=customer)
            side.wallet.keep(address, wants_default=wants_default)
            self.seen(address, reply)
            self.agrees(side, address, reply.json)

    # ---- changing

    def change(self, side: Side, kept: Kept, patch: Json, match: str | None) -> bool:
        """Send a change, held to an ETag or not; whether it was made."""
        headers = {} if match is None else {"if-match": {"seen": kept.etag, "stale": '"0"'}[match]}
        reply = self.wire.call(side.merchant, "PATCH", self.path(kept), patch, headers)
        status = kept.read
        if status == 200 and (match == "stale" or (match == "seen" and kept.moved)):
            status = 412
        self.expect(reply, status, f"PATCH {self.path(kept)} {patch} {headers}")
        if status == 200:
            kept.moved = True
            kept.etag, kept.moved = reply.headers["etag"], False
        return status == 200

    matches = st.sampled_from([None, None, "seen", "seen", "stale"])

    @rule(who=sides, which=whiches, match=matches)
    def a_customer_is_renamed(self, who: int, which: int, match: str | None) -> None:
        side = self.sides[who]
        customer = self.pick(side.wallet.customers, which)
        if customer is None or (match == "seen" and not customer.etag):
            return
        self.made += 1
        title = f"title {self.made}"
        if self.change(side, customer, {"objectInformation": {"title": title}}, match):
            customer.title = title
            self.looks_at(side, customer)

    @rule(who=sides, which=whiches, match=matches, year=st.sampled_from(["2032", "2033"]), over=perhaps)
    def a_card_is_changed(self, who: int, which: int, match: str | None, year: str, over: int | None) -> None:
        """Its expiry, and sometimes its number."""
        side = self.sides[who]
        card, number = self.pick(side.wallet.cards, which), self.pick(side.wallet.numbers, over)
        if card is None or (match == "seen" and not card.etag) or (number is not None and not number.alive):
            return
        patch: Json = {"card": {"expirationYear": year}}
        if number is not None:
            patch["instrumentIdentifier"] = {"id": number.id}
        if self.change(side, card, patch, match):
            card.expiry, card.number = year, number or card.number
            self.looks_at(side, card)

    @rule(who=sides, which=whiches, is_card=st.booleans(), through_customer=st.booleans())
    def another_one_becomes_the_default(self, who: int, which: int, is_card: bool, through_customer: bool) -> None:
        side = self.sides[who]
        owned: Owned | None
        owned = self.pick(side.wallet.cards, which) if is_card else self.pick(side.wallet.addresses, which)
        if owned is None or owned.owner is None:
            return
        owner, was = owned.owner, owned.default
        if through_customer:
            member = "defaultPaymentInstrument" if is_card else "defaultShippingAddress"
            reply = self.ask(side, "PATCH", self.path(owner), {member: {"id": owned.id}})
            self.expect(reply, 410 if not owner.alive else 200 if owned.alive else 400, "a new default")
            if reply.status == 200:
                side.wallet.make_default(owned)
                owned.moved |= not was
                owner.etag, owner.moved = reply.headers["etag"], False
                self.looks_at(side, owned)
        elif self.change(side, owned, {"default": True}, None):
            side.wallet.make_default(owned)
        if owner.alive:
            self.looks_at(side, owner)

    # ---- deleting

    @rule(who=sides, which=whiches, kind=st.sampled_from(["customers", "numbers", "cards", "cards", "addresses"]))
    def a_token_is_deleted(self, who: int, which: int, kind: str) -> None:
        side = self.sides[who]
        wallet = side.wallet
        kept: Kept | None = self.pick(getattr(wallet, kind), which)
        if kept is None:
            return
        reply = self.ask(side, "DELETE", self.path(kept))
        status = 410
        if kept.alive:
            may = True
            if isinstance(kept, Customer):
                wallet.delete_customer(kept)
            elif isinstance(kept, Number):
                may = wallet.delete_number(kept)
            else:
                assert isinstance(kept, Owned)
                may = wallet.delete_owned(kept)
            status = 204 if may else 409
        self.expect(reply, status, f"DELETE {self.path(kept)}")
        self.looks_at(side, kept)
        if isinstance(kept, Card):
            self.looks_at(side, kept.number)

    # ---- paying

    def outcome(self, scenario: str) -> dict[str, str]:
        return {} if scenario == "approve" else {"kessai-scenario": scenario}

    def amount(self, minor: int) -> Json:
        return {"totalAmount": f"{minor // 100}.{minor % 100:02d}", "currency": "USD"}

    def booked(self, side: Side, reply: Reply, kind: str, minor: int, scenario: str) -> None:
        status = APPROVED if scenario == "approve" else DECLINED
        told = {"credit": "PENDING"}.get(kind, "AUTHORIZED") if status == APPROVED else "DECLINED"
        assert reply.said[:2] == (201, told), reply.body
        side.shop.begin(Move(int(reply.id), kind, minor, status), side.now)
        if kind == "sale" and status == APPROVED:
            side.taken.append(minor)

    @rule(
        who=sides,
        customer=perhaps,
        card=perhaps,
        number=perhaps,
        address=perhaps,
        kind=st.sampled_from(["authorize", "sale", "credit"]),
        minor=totals,
        scenario=outcomes,
    )
    def tokens_pay(
        self,
        who: int,
        customer: int | None,
        card: int | None,
        number: int | None,
        address: int | None,
        kind: str,
        minor: int,
        scenario: str,
    ) -> None:
        """Any of them, deleted ones too; those that do not go together."""
        side = self.sides[who]
        wallet = side.wallet
        named = Paying(
            self.pick(wallet.customers, customer),
            self.pick(wallet.cards, card),
            self.pick(wallet.numbers, number),
            self.pick(wallet.addresses, address),
        )
        if named == Paying() or (named.customer, named.card, named.number) == (None, None, None):
            return
        self._pays(side, named, kind, minor, scenario)

    @precondition(lambda self: not all(kept.alive for kept in self.sides[0].wallet.all))
    @rule(who=sides, which=whiches, kind=st.sampled_from(["cards", "cards", "customers", "numbers"]), minor=totals)
    def a_deleted_token_does_not_pay(self, who: int, which: int, kind: str, minor: int) -> None:
        """Chance alone seldom chooses one by itself."""
        side = self.sides[who]
        kept: Kept | None = self.pick([each for each in getattr(side.wallet, kind) if not each.alive], which)
        name = {"cards": "card", "customers": "customer", "numbers": "number"}[kind]
        if kept is not None:
            self._pays(side, Paying(**{name: kept}), "sale", minor, "approve")  # type: ignore[arg-type]

    def _pays(self, side: Side, named: Paying, kind: str, minor: int, scenario: str) -> None:
        stands = side.wallet.pays(named)
        paying: Json = {
            name: {"id": kept.id}
            for name, kept in (
                ("customer", named.customer),
                ("paymentInstrument", named.card),
                ("instrumentIdentifier", named.number),
                ("shippingAddress", named.address),
            )
            if kept is not None
        }
        if not isinstance(stands, Stands) or stands.card is None:
            paying["card"] = {"expirationMonth": "12", "expirationYear": "2031"}
        document: Json = {
            "orderInformation": {"amountDetails": self.amount(minor), "billTo": BILL_TO},
            "paymentInformation": paying,
        }
        if kind == "sale":
            document["processingInformation"] = {"capture": True}
        path = "/pts/v2/credits" if kind == "credit" else "/pts/v2/payments"
        reply = self.wire.call(side.merchant, "POST", path, document, self.outcome(scenario))
        if isinstance(stands, str):
            self.expect(reply, 400, f"{stands} pays")
            assert reply.fields == [(f"paymentInformation.{stands}.id", "INVALID_DATA")], f"another fault than {stands}"
            return
        self.booked(side, reply, kind, minor, scenario)
        if scenario != "approve":
            return
        if kind != "credit":
            stands.number.agrees()
        told = reply.json["paymentInformation"]
        shown = {
            "instrumentIdentifier": stands.number,
            "paymentInstrument": stands.card,
            "shippingAddress": stands.address,
            "customer": stands.customer,
        }
        assert {name: told.get(name, {}).get("id") for name in shown} == {
            name: kept.id if kept is not None else None for name, kept in shown.items()
        }, "other tokens have paid"
        details = self.ask(side, "GET", f"/tss/v2/transactions/{reply.id}").json["paymentInformation"]["card"]
        assert (details["suffix"], details["expirationYear"]) == (
            stands.number.pan[-4:],
            stands.card.expiry if stands.card else "2031",
        ), "another card has paid"

    @precondition(lambda self: self.sides[0].shop.payments)
    @rule(who=sides, which=whiches, minor=totals)
    def a_hold_is_captured(self, who: int, which: int, minor: int) -> None:
        """Whatever has become of its tokens since."""
        side = self.sides[who]
        held = [paid for paid in side.shop.payments if paid.root.kind == "authorize"]
        if not held:
            return
        paid = held[which % len(held)]
        refusal = side.shop.refuse_capture(paid, minor, side.now)
        document = {"orderInformation": {"amountDetails": self.amount(minor)}}
        reply = self.ask(side, "POST", f"/pts/v2/payments/{paid.root.id}/captures", document)
        self.expect(reply, 400 if refusal else 201, f"a capture, {refusal or 'which is fine'}")
        if not refusal:
            side.shop.follow(paid, Move(int(reply.id), "capture", minor, APPROVED, paid.root))

    @rule(
        who=sides,
        owner=perhaps,
        pan=st.one_of(st.none(), pans),
        types=st.lists(st.sampled_from(TYPES), unique=True),
        wants_default=st.booleans(),
        minor=totals,
        scenario=outcomes,
    )
    def a_payment_makes_tokens(
        self,
        who: int,
        owner: int | None,
        pan: str | None,
        types: list[str],
        wants_default: bool,
        minor: int,
        scenario: str,
    ) -> None:
        """Of a card that it brings, or of the customer's own; a declined one makes none."""
        side = self.sides[who]
        wallet = side.wallet
        customer = self.pick(wallet.customers, owner)
        if customer is None:
            pan = pan or PANS[0]
        stands = wallet.pays(Paying(customer))
        document: Json = {
            "orderInformation": {"amountDetails": self.amount(minor), "billTo": BILL_TO} | ADDRESS,
            "processingInformation": {"actionList": ["TOKEN_CREATE"], "actionTokenTypes": types},
            "tokenInformation": {kind: {"default": wants_default} for kind in ("paymentInstrument", "shippingAddress")},
            "paymentInformation": {},
        }
        if customer is not None:
            document["paymentInformation"]["customer"] = {"id": customer.id}
        if pan is not None:
            card = {"number": pan, "expirationMonth": "12", "expirationYear": "2031"}
            document["paymentInformation"]["card"] = card
        reply = self.wire.call(side.merchant, "POST", "/pts/v2/payments", document, self.outcome(scenario))
        if customer is not None and (not customer.alive or (pan is None and isinstance(stands, str))):
            return self.expect(reply, 400, "a customer that pays nothing")
        self.booked(side, reply, "authorize", minor, scenario)
        told = reply.json.get("tokenInformation", {})
        if scenario != "approve":
            assert not told, "a declined payment tells of tokens"
            return None
        expiry = "2031"
        if pan is None:
            assert isinstance(stands, Stands)
            assert stands.card is not None
            pan, expiry = stands.number.pan, stands.card.expiry
            stands.number.agrees()
        self._made(side, told, types, customer, pan, expiry, wants_default=wants_default)
        return None

    def _made(
        self,
        side: Side,
        told: Json,
        types: list[str],
        owner: Customer | None,
        pan: str,
        expiry: str,
        *,
        wants_default: bool,
    ) -> None:
        """What an approved payment has made is as the model makes it."""
        wallet = side.wallet
        types = types or ["customer", "paymentInstrument", "instrumentIdentifier"]
        expected: set[str] = set()
        if owner is None and "customer" in types:
            owner = Customer(told["customer"]["id"])
            wallet.customers.append(owner)
            expected.add("customer")
        number = wallet.known(pan)
        if {"paymentInstrument", "instrumentIdentifier"} & set(types):
            expected |= {"instrumentIdentifier", "instrumentidentifierNew"}
            assert told["instrumentidentifierNew"] is (number is None), "a number is known, or new, and told otherwise"
            identifier = told["instrumentIdentifier"]["id"]
            number = number or self.new_number(side, identifier, pan)
            assert number.id == identifier
            number.agrees()
        if "paymentInstrument" in types:
            expected.add("paymentInstrument")
            assert number is not None
            card = Card(told["paymentInstrument"]["id"], owner=owner, number=number, expiry=expiry)
            wallet.keep(card, wants_default=wants_default)
            self.looks_at(side, card)
        if "shippingAddress" in types and owner is not None:
            expected.add("shippingAddress")
            address = Address(told["shippingAddress"]["id"], owner=owner)
            wallet.keep(address, wants_default=wants_default)
            self.looks_at(side, address)
        assert set(told) == expected

    # ---- plans and subscriptions

    @rule(
        who=sides,
        minor=totals,
        unit=st.sampled_from("DWM"),
        cycles=st.sampled_from([None, 1, 2, 5]),
        state=st.sampled_from(["ACTIVE", "ACTIVE", "DRAFT"]),
    )
    def a_plan_is_made(self, who: int, minor: int, unit: str, cycles: int | None, state: str) -> None:
        side = self.sides[who]
        terms = {"name": "Gold", "status": state, "billingPeriod": {"length": "1", "unit": unit}}
        information: Json = terms | ({"billingCycles": {"total": str(cycles)}} if cycles else {})
        amount = self.amount(minor)
        amounts = {"currency": "USD", "billingAmount": amount["totalAmount"]}
        reply = self.ask(
            side,
            "POST",
            PLANS,
            {"planInformation": information, "orderInformation": {"amountDetails": amounts}},
        )
        self.expect(reply, 201)
        side.club.plans.append(Plan(reply.id, state, minor, unit, cycles))

    @rule(who=sides, which=whiches, to=st.sampled_from(["activate", "deactivate", "delete"]))
    def a_plan_is_turned(self, who: int, which: int, to: str) -> None:
        side = self.sides[who]
        if not side.club.plans:
            return None
        plan = side.club.plans[which % len(side.club.plans)]
        path = f"{PLANS}/{plan.id}"
        reply = self.ask(side, "DELETE", path) if to == "delete" else self.ask(side, "POST", f"{path}/{to}", {})
        if not plan.alive:
            return self.expect(reply, 404, "a deleted plan")
        may = plan.delete() if to == "delete" else plan.turn("ACTIVE" if to == "activate" else "INACTIVE")
        return self.expect(reply, 200 if may else 400, f"{to} of a plan that is {plan.state}")

    @rule(who=sides, customer=whiches, which=whiches, days=st.sampled_from([0, 0, 1, 21]))
    def a_customer_subscribes(self, who: int, customer: int, which: int, days: int) -> None:
        side = self.sides[who]
        payer = self.pick(side.wallet.customers, customer)
        if payer is None or not side.club.plans:
            return None
        plan = side.club.plans[which % len(side.club.plans)]
        starts = side.now + timedelta(days=days)
        self.made += 1
        document: Json = {
            "subscriptionInformation": {
                "planId": plan.id,
                "name": f"box {self.made}",
                "startDate": f"{starts:%Y-%m-%dT%H:%M:%SZ}",
            },
            "paymentInformation": {"customer": {"id": payer.id}},
        }
        reply = self.ask(side, "POST", SUBSCRIPTIONS, document)
        has_card = self.has_card(side, payer.id)
        if not plan.alive or plan.state != "ACTIVE" or not has_card:
            return self.expect(reply, 400, f"a subscription of {payer.id} to a plan that is {plan.state}")
        self.expect(reply, 201)
        made = Subscription(reply.id, payer.id, starts, plan.minor, plan.unit, plan.cycles, due=starts)
        side.club.subscriptions.append(made)
        plan.subscribed = True
        if not days:
            self.take(side, made.charge(side.now, self.exhausted, is_paid=True))
        assert reply.json["status"] == "COMPLETED"
        assert reply.json["subscriptionInformation"]["status"] == made.state
        return None

    def has_card(self, side: Side, customer: str) -> bool:
        payer = next(each for each in side.wallet.customers if each.id == customer)
        return payer.alive and side.wallet.default_card(payer) is not None

    def take(self, side: Side, minor: int) -> None:
        """The charges of subscriptions are sales."""
        if minor:
            side.shop.begin(Move(-len(side.taken) - 1, "sale", minor, APPROVED), side.now)

    @precondition(lambda self: self.sides[0].club.subscriptions)
    @rule(
        who=sides,
        which=whiches,
        to=st.sampled_from(["suspend", "activate", "activate", "cancel"]),
        charge_missed=st.booleans(),
    )
    def a_subscription_is_turned(self, who: int, which: int, to: str, charge_missed: bool) -> None:
        side = self.sides[who]
        if not side.club.subscriptions:
            return
        found = side.club.subscriptions[which % len(side.club.subscriptions)]
        before = found.state
        if to == "activate":
            may = found.activate(side.now, charge_missed=charge_missed)
            path = f"{SUBSCRIPTIONS}/{found.id}/activate?processMissedPayments={str(charge_missed).lower()}"
        else:
            may = found.suspend() if to == "suspend" else found.cancel()
            path = f"{SUBSCRIPTIONS}/{found.id}/{to}"
        reply = self.ask(side, "POST", path, {})
        self.expect(reply, (200 if to == "activate" else 202) if may else 400, f"{to} of one that is {before}")
        if may:
            assert reply.json["subscriptionInformation"]["status"] == found.state

    @precondition(lambda self: self.sides[0].club.subscriptions)
    @rule(who=sides, which=whiches, minor=totals)
    def a_subscription_costs_something_else(self, who: int, which: int, minor: int) -> None:
        side = self.sides[who]
        if not side.club.subscriptions:
            return
        found = side.club.subscriptions[which % len(side.club.subscriptions)]
        document = {"orderInformation": {"amountDetails": {"billingAmount": self.amount(minor)["totalAmount"]}}}
        reply = self.ask(side, "PATCH", f"{SUBSCRIPTIONS}/{found.id}", document)
        self.expect(reply, 400 if found.state in clubs.ENDED else 200, f"a change of one that is {found.state}")
        if reply.status == 200:
            found.minor = minor

    @rule(who=sides, step=st.sampled_from(sorted(STEPS)))
    def time_passes(self, who: int, step: str) -> None:
        """The clock of one merchant; the other one's stands."""
        side = self.sides[who]
        reply = self.ask(side, "POST", "/sandbox/v1/clock", {"advance": step})
        self.expect(reply, 200)
        side.now = clubs.moved(side.now, *STEPS[step])
        assert reply.json["now"] == f"{side.now:%Y-%m-%dT%H:%M:%SZ}"
        if any(found.due is not None and found.due <= side.now for found in side.club.subscriptions):
            self.what_is_due_is_charged()

    @precondition(lambda self: self.sides[0].club.subscriptions)
    @rule()
    def what_is_due_is_charged(self) -> None:
        """By two workers at once, for both merchants: each due date of each subscription exactly once."""
        biller = self.house.billing.biller

        async def work() -> None:
            merchants = [self.house.accounts.get(side.merchant).merchant for side in self.sides]
            await asyncio.gather(
                *(recurring.charge_due(biller, merchant, lambda: False) for merchant in merchants for _ in range(2))
            )

        self.stage.run(work())
        for side in self.sides:
            for found in side.club.subscriptions:
                before = len(found.paid)
                found.work_off(side.now, self._card_of(side, found), self.exhausted)
                for _ in range(len(found.paid) - before):
                    self.take(side, found.minor)
                self.agree_on(side, found)

    def _card_of(self, side: Side, found: Subscription) -> Callable[[], bool]:
        return lambda: self.has_card(side, found.customer)

    def agree_on(self, side: Side, found: Subscription) -> None:
        told = self.ask(side, "GET", f"{SUBSCRIPTIONS}/{found.id}").json
        assert told["subscriptionInformation"]["status"] == found.state, f"{told} and {found}"
        path = f"{SUBSCRIPTIONS}/{found.id}/payments?limit=100&scheduledPaymentsCount=0"
        reply = self.ask(side, "GET", path)
        charges = [(each["billingCycle"], each["status"]) for each in reply.json["subscriptionPayment"]]
        assert charges[:100] == found.charges[:100], "charges are not those that were due"

    # ---- by somebody else

    @rule(who=sides, which=whiches)
    def a_stranger_tries(self, who: int, which: int) -> None:
        """P8: what is another merchant's does not exist: it is answered as what nobody was ever given."""
        side, stranger = self.sides[who], self.sides[1 - who]
        kept: Kept | None = self.pick(side.wallet.all, which)
        if kept is None:
            return
        nobodys = kept.id[:-5] + "00000"
        path = self.path(kept)
        for method, document in (("GET", None), ("PATCH", {"default": True}), ("DELETE", None)):
            theirs, unknown = (
                self.ask(stranger, method, path.replace(kept.id, each), document) for each in (kept.id, nobodys)
            )
            assert (theirs.status, theirs.body) == (404, unknown.body), f"a stranger's {method} of {path}"
        if isinstance(kept, Address):
            return
        name = {Customer: "customer", Card: "paymentInstrument", Number: "instrumentIdentifier"}[type(kept)]
        with_it: Json = {
            "orderInformation": {"amountDetails": self.amount(100), "billTo": BILL_TO},
            "paymentInformation": {name: {"id": kept.id}, "card": {"expirationMonth": "12", "expirationYear": "2031"}},
        }
        reply = self.ask(stranger, "POST", "/pts/v2/payments", with_it)
        assert reply.fields == [(f"paymentInformation.{name}.id", "INVALID_DATA")], "a stranger pays with it"

    @rule(who=sides, which=whiches)
    def a_token_is_read(self, who: int, which: int) -> None:
        kept: Kept | None = self.pick(self.sides[who].wallet.all, which)
        if kept is not None:
            self.looks_at(self.sides[who], kept)

    # ---- what must hold

    @invariant()
    def the_books_agree(self) -> None:
        for side in self.sides:
            values = {"merchant_id": side.merchant, "after": 0, "last": 1 << 62}
            found: Counter[str] = Counter()
            for _, _, account, _, minor, _ in self.stage.run(self.house.database.read("entries_between", values)):
                found[account] += minor
            told = [found[name] for name in ("held-by-issuers", "acquirer", "authorized", "merchant")]
            held, taken = side.shop.H, side.shop.C
            assert told == [held, taken, -held, -taken], "the books tell of other payments"

    def teardown(self) -> None:
        if sys.exc_info()[0] is not None:
            return  # something is wrong already
        for side in self.sides:
            if self.house.accounts.find(side.merchant) is None:
                continue
            self.stage.run(self._is_whole(side))
            for found in side.club.subscriptions:
                self.agree_on(side, found)
            for kept in side.wallet.all:
                self.looks_at(side, kept)

    async def _is_whole(self, side: Side) -> None:
        """Nothing is there that nobody asked for, and everything agrees with itself."""
        there = await self.house.tokenizer.tokens.page(side.merchant, "", 1_000)
        assert {token.id for token in there} == {kept.id for kept in side.wallet.all}, "tokens that nobody made"
        page = await self.house.gateway.payments.page(side.merchant, 0, 1_000)
        sales = [tx for tx in page if tx.operation is Operation.SALE and tx.status is Status.APPROVED]
        paid = [paid for paid in side.shop.payments if paid.root.kind == "sale" and paid.root.status == APPROVED]
        assert len(sales) == len(paid), "more or fewer charges than were due"
        assert [each async for each in verify._subscriptions(self.house.database, side.merchant)] == []
