"""Triggers: amounts and security codes that make the simulated acquirer do something else than approve. Pure, and data.

One table says them all. Rows of the gateway stand in it for the printed page only: its own rules answer those before
anything is sent. An amount of a row is in major units of whatever currency the exchange has, unless the row names one;
it is compared exactly, in minor units. A scenario that is asked for by name goes before every trigger.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from kessai.acquirers import Exchange
from kessai.acquirers.simulator.personalities import PERSONALITIES
from kessai.acquirers.simulator.scenarios import HOLDS, SCENARIOS
from kessai.payment.bank import BankAccount
from kessai.payment.card import Brand
from kessai.payment.lifecycle import Operation
from kessai.payment.money import AMOUNT_TEXT, CURRENCIES, Money, loses_decimals


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    """One row: every condition that is given must hold. An empty one always holds."""

    personality: str
    """A name of `PERSONALITIES`, or `*` for every one."""
    operations: frozenset[Operation] = HOLDS
    amount: str = ""
    """Decimal text in major units, or the first and last of a run of whole ones: `1001..1999`."""
    currency: str = ""
    brands: frozenset[Brand] = frozenset()
    pan: str = ""
    routing_number: str = ""
    account: str = ""
    """Number of a bank account: the row is for eChecks, and every other is not."""
    expiry: str = ""
    security_code: str = ""
    flags: frozenset[str] = frozenset()
    """Flags that the request must carry."""
    without: frozenset[str] = frozenset()
    """Flags that it must not carry."""
    scenario: str = "approve"
    approved: str = ""
    """Amount of a partial approval, in major units."""
    facts: Mapping[str, str] = field(default_factory=dict)
    """Facts said instead of the fingerprint's; an empty text removes one."""
    who: Literal["simulator", "gateway"] = "simulator"
    says: str
    """What happens, in the words of the printed page."""
    source: str
    """Whose trigger it is."""


_SALEM: Final = "Paymentech Salem"
_PAYMENTECH: Final = "Chase Paymentech"
_GUIDE: Final = "payments guide"
_RETAIL: Final = "card-present guide"
_JCN: Final = "JCN Gateway"
_OURS: Final = "ours"
_OF_ACCOUNTS: Final = frozenset({Operation.SALE, Operation.CREDIT})
_ACTIVE: Final = "a public client's tests"
_GATEWAY: Final = "every processor"

_PARTIAL: Final = {"terminal_id": "261996", "merchant_number": "000000092345678"}


def _gateway(says: str, *, amount: str = "", pan: str = "", expiry: str = "", security_code: str = "") -> Trigger:
    return Trigger(
        personality="*",
        amount=amount,
        pan=pan,
        expiry=expiry,
        security_code=security_code,
        scenario="",
        who="gateway",
        says=says,
        source=_GATEWAY,
    )


def _salem(amount: str, scenario: str, code: str, says: str, brands: frozenset[Brand] = frozenset()) -> Trigger:
    return Trigger(
        personality="sandbox",
        amount=amount,
        brands=brands,
        scenario=scenario,
        facts={"response_code": code},
        says=f"{says}, response {code}",
        source=_SALEM if not brands else _GUIDE,
    )


def _authenticate(amount: str, code: str, brands: frozenset[Brand]) -> Trigger:
    return Trigger(
        personality="vpc",
        amount=amount,
        brands=brands,
        without=frozenset({"authenticated"}),
        scenario="authentication-required",
        facts={"response_code": code},
        says=f"declined, the cardholder must be authenticated first, response {code}",
        source=_RETAIL,
    )


def _jcn(amount: str, code: str) -> Trigger:
    return Trigger(
        personality="jcn",
        amount=amount,
        currency="JPY",
        scenario="system-error",
        facts={"response_code": code},
        says=f"system error, response {code}, category 909",
        source=_JCN,
    )


def _echeck(account: str, scenario: str, says: str) -> Trigger:
    return Trigger(
        personality="*",
        operations=_OF_ACCOUNTS,
        account=account,
        scenario=scenario,
        says=says,
        source=_OURS,
    )


def _avs(personality: str, amount: str, code: str, says: str) -> Trigger:
    return Trigger(
        personality=personality,
        amount=amount,
        currency="USD",
        flags=frozenset({"avs-sent"}),
        facts={"avs_code": code, "avs_raw": code},
        says=f"approved, address result {code}: {says}",
        source=f"{_OURS}, with the amounts of FDI Global",
    )


TRIGGERS: Final[tuple[Trigger, ...]] = (
    _gateway("refused as invalid data", amount="-1"),
    _gateway("refused as invalid data", amount="100000000000"),
    _gateway("refused as invalid data", expiry="month 13"),
    _gateway("declined as expired", expiry="a month that is past"),
    _gateway("declined as an invalid account, for its check digit", pan="4111111111111112"),
    _gateway("declined as an invalid account, for its length", pan="42423482938483873"),
    _gateway("refused as invalid data", pan="412345678912345678914"),
    _gateway("refused as invalid data", security_code="ten digits"),
    _salem("401.00", "issuer-referral", "401", "issuer referral"),
    _salem("501.00", "general-decline", "303", "general decline", frozenset({Brand.MASTERCARD})),
    Trigger(
        personality="sandbox",
        amount="1000.00",
        flags=frozenset({"partial"}),
        scenario="partial-approval",
        approved="499.01",
        facts=_PARTIAL,
        says="approved in part: 499.01, nothing left on the card",
        source=_GUIDE,
    ),
    _salem("1500.00", "general-decline", "303", "general decline"),
    Trigger(
        personality="sandbox",
        amount="2000.00",
        scenario="system-error",
        says="system error",
        source=_PAYMENTECH,
    ),
    *(
        Trigger(
            personality="sandbox",
            amount=f"{2000 + code}.00",
            facts={"response_code": str(code)},
            says=f"approved, response {code}",
            source=_PAYMENTECH,
        )
        for code in range(100, 110)
    ),
    _salem("2201.00", "invalid-account", "201", "invalid account"),
    _salem("2202.00", "processor-refused", "202", "refused by the processor"),
    _salem("2203.00", "processor-refused", "203", "refused by the processor"),
    _salem("2204.00", "processor-refused", "204", "refused by the processor"),
    _salem("2205.00", "processor-refused", "205", "refused by the processor"),
    _salem("2225.00", "processor-refused", "225", "refused by the processor"),
    _salem("2227.00", "processor-refused", "227", "refused by the processor"),
    _salem("2229.00", "general-decline", "229", "general decline"),
    Trigger(
        personality="sandbox",
        amount="7012.00",
        currency="USD",
        without=frozenset({"no-partial"}),
        scenario="partial-approval",
        approved="7000.00",
        facts=_PARTIAL,
        says="approved in part: 7000.00 (the amount is ours), nothing left on the card",
        source="payments samples",
    ),
    Trigger(
        personality="sandbox",
        amount="9601.00",
        flags=frozenset({"retail"}),
        facts={"avs_code": "1", "avs_raw": ""},
        says="approved, address not checked",
        source=_RETAIL,
    ),
    Trigger(
        personality="sandbox",
        amount="9604.00",
        flags=frozenset({"retail"}),
        facts={"avs_code": "Z", "avs_raw": "Z", "cvn_code": "M", "cvn_raw": "M"},
        says="approved, postal code and security code match",
        source=_RETAIL,
    ),
    _authenticate("4128.00", "1A", frozenset({Brand.AMEX, Brand.VISA})),
    _authenticate("4065.00", "65", frozenset({Brand.MASTERCARD})),
    _authenticate("6825.22", "70", frozenset({Brand.MASTERCARD, Brand.VISA})),
    Trigger(
        personality="*",
        operations=_OF_ACCOUNTS,
        routing_number="121107882",
        account="550111",
        scenario="processor-refused",
        says="eCheck declined by the processor: `GENERAL_DECLINE`",
        source=_ACTIVE,
    ),
    _echeck("4101", "general-decline", "eCheck declined: `DECLINED_CHECK`"),
    _echeck("4102", "insufficient-funds", "eCheck declined, the account has not enough funds: `INSUFFICIENT_FUND`"),
    _echeck("4103", "invalid-account", "eCheck declined, there is no such account: `ACH_VERIFICATION_FAILED`"),
    _echeck("4104", "time-out", "the acquirer reports that its processor did not answer; nothing was done"),
    Trigger(
        personality="vpc",
        security_code="999",
        scenario="cvn-failed",
        says="approved, security code does not match",
        source=_OURS,
    ),
    *(
        _avs(personality, amount, code, says)
        for personality in ("sandbox", "vpc")
        for amount, code, says in (
            ("5000.00", "X", "street and nine-digit postal code match"),
            ("5001.00", "Y", "street and five-digit postal code match"),
            ("5002.00", "A", "only the street matches"),
            ("5003.00", "Z", "only the five-digit postal code matches"),
            ("5004.00", "W", "only the nine-digit postal code matches"),
            ("5005.00", "N", "nothing matches"),
        )
    ),
    Trigger(
        personality="jcn",
        amount="1001..1999",
        currency="JPY",
        scenario="issuer-referral",
        facts={"response_code": "G98", "response_category": "100"},
        says="issuer referral, response G98, category 100",
        source=_JCN,
    ),
    Trigger(
        personality="jcn",
        amount="2000",
        currency="JPY",
        scenario="time-out",
        says="server time-out; the acquirer undoes what it may have done",
        source=_JCN,
    ),
    _jcn("2001..2067", "E90"),
    _jcn("2068", "C01"),
    _jcn("2069", "C03"),
    _jcn("2070", "C12"),
    _jcn("2071", "C13"),
    _jcn("2072", "C14"),
    _jcn("2073", "C15"),
)
"""Every trigger; where several hold, the amount goes before other conditions and the earlier row before the later."""

HEADINGS: Final = ("Personality", "Operation", "When", "Then", "Who answers", "Source")


def rows() -> Iterator[tuple[str, ...]]:
    """The table as text for the printed page, a cell per heading, in its own order."""
    for row in TRIGGERS:
        operations = ", ".join(sorted(operation.value for operation in row.operations))
        yield row.personality, operations, _when(row), row.says, row.who, row.source


def _when(row: Trigger) -> str:
    said = (
        ("amount", " ".join(filter(None, (row.amount, row.currency)))),
        ("brand", " or ".join(sorted(brand.value for brand in row.brands))),
        ("card number", row.pan),
        ("routing number", row.routing_number),
        ("account number", row.account),
        ("expiry", row.expiry),
        ("security code", row.security_code),
        ("flag", ", ".join(sorted(row.flags))),
        ("without flag", ", ".join(sorted(row.without))),
    )
    return "; ".join(f"{name} {value}" for name, value in said if value)


def find(exchange: Exchange) -> Trigger | None:
    """The row that an exchange sets off, None for an ordinary one."""
    account = exchange.account
    if account is not None:
        return _of_account(exchange, account)
    amount = exchange.amount
    for row in _BY_AMOUNT.get((exchange.personality, amount.currency.exponent, amount.minor), ()):
        if _holds(row, exchange):
            return row
    for row in _WITHOUT_AMOUNT.get(exchange.personality, ()):
        if _holds(row, exchange):
            return row
    return None


def _of_account(exchange: Exchange, account: BankAccount) -> Trigger | None:
    for row in _FOR_ACCOUNTS:
        if (
            row.account == account.number.digits
            and row.routing_number in ("", account.routing_number)
            and exchange.operation in row.operations
        ):
            return row
    return None


def _holds(row: Trigger, exchange: Exchange) -> bool:
    """Whether the conditions of a row hold that are not its amount."""
    card = exchange.card
    code = card.security_code if card is not None else None
    return (
        exchange.operation in row.operations
        and (not row.security_code or (code is not None and code.digits == row.security_code))
        and (not row.currency or exchange.amount.currency.code == row.currency)
        and (not row.brands or (card is not None and card.brand in row.brands))
        and (not row.pan or (card is not None and card.pan.digits == row.pan))
        and row.flags <= exchange.flags
        and row.without.isdisjoint(exchange.flags)
    )


def amounts(row: Trigger, code: str) -> Iterator[Money]:
    """The amounts of a row in a currency; none where the currency has not so many decimals."""
    currency = CURRENCIES[code]
    if row.currency and row.currency != code:
        return
    first, _, last = row.amount.partition("..")
    if last:
        for whole in range(int(first), int(last) + 1):
            yield Money.parse(str(whole), currency)
    elif AMOUNT_TEXT.fullmatch(first) and not loses_decimals(first, currency):
        yield Money.parse(first, currency)


def _index() -> dict[tuple[str, int, int], tuple[Trigger, ...]]:
    index: dict[tuple[str, int, int], tuple[Trigger, ...]] = {}
    for row in TRIGGERS:
        if row.who == "gateway" or row.account:
            continue
        assert row.scenario in SCENARIOS
        assert not row.expiry
        # One currency stands for all of its exponent; the row's own, where it names one.
        for code in (row.currency,) if row.currency else ("JPY", "USD", "KWD"):
            for amount in amounts(row, code):
                for personality in PERSONALITIES if row.personality == "*" else (row.personality,):
                    key = (personality, amount.currency.exponent, amount.minor)
                    index[key] = (*index.get(key, ()), row)
    return index


_BY_AMOUNT: Final = _index()
_WITHOUT_AMOUNT: Final = {
    personality: tuple(
        row
        for row in TRIGGERS
        if not (row.amount or row.account) and row.who == "simulator" and row.personality in ("*", personality)
    )
    for personality in PERSONALITIES
}
_FOR_ACCOUNTS: Final = tuple(row for row in TRIGGERS if row.account)
