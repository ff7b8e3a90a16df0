"""Sections about the PaymentOptions wire: routes, members, codes, brands; the merchant settings that are its own."""

from collections.abc import Iterable
from dataclasses import fields

from kessai.dialects.paymentoptions import acquirer_codes, codes, hosted, messages, options, routes, subscriptions
from kessai.dialects.paymentoptions.codes import Said
from kessai.dialects.paymentoptions.messages import Member
from kessai.hosted.links import State
from kessai.hosted.pages import INTEGRITY, PAGE
from kessai.hosted.service import ROUTES as PAGES
from kessai.payment.lifecycle import Operation
from kessai.payment.merchant import ServerToServer
from kessai.payment.risk import Limits
from kessai.reference.parts import code, meanings, names, shown, table

_LISTS = {
    "`payment`, `paymentv2`, `authorization`, `authorizationv2`, `subscription/payment`": messages.PAYMENT,
    "`capture`, `refund`": messages.FOLLOWING,
    "`void`": messages.VOID,
    "`hpp/generate/link`": hosted.LINK,
    "`subscription/payment`, beside those of a payment": subscriptions.SUBSCRIPTION,
}


def print_paymentoptions_routes() -> str:
    reads = (routes.Kind.STATUS, routes.Kind.SUBSCRIPTIONS, routes.Kind.SUBSCRIPTION)
    turns = (routes.Kind.PAUSE, routes.Kind.RESUME, routes.Kind.CANCEL)
    rows = (
        (row.number, code(row.method), code(row.path), row.kind.value, 200 if row.kind in (*reads, *turns) else 201)
        for row in routes.ROUTES
    )
    return table(("", "Method", "Path", "What it asks for", "Success"), rows)


def print_paymentoptions_pages() -> str:
    return table(("Method", "Path", "What it is"), ((code(method), code(path), what) for method, path, what in PAGES))


def print_paymentoptions_page_files() -> str:
    rows = ((code(f"{PAGE}/{name}"), code(digest)) for name, digest in INTEGRITY.items())
    return table(("File", "Its content (SHA-384)"), rows)


def print_paymentoptions_link_states() -> str:
    said = meanings(State)
    return table(("State", "Meaning"), ((code(state.value), said[state.name]) for state in State))


def print_paymentoptions_members() -> str:
    def rows() -> Iterable[tuple[object, ...]]:
        for where, members in _LISTS.items():
            for member in members:
                yield where, ", ".join(map(code, (member.path, *member.also))), _must(member), member.most

    return table(("Of", "Member", "Required", "Longest"), rows())


def _must(member: Member) -> str:
    return "yes" if member.is_required else ""


def print_paymentoptions_options() -> str:
    rows = ((code(f"{options.PATH}.{member}"), neutral) for member, neutral in options.MEMBERS.items())
    return table(("Member", "Becomes"), rows)


def print_paymentoptions_answers() -> str:
    rows = [
        (names([operation]), code(codes.TYPES[operation]), code(said.code), said.message)
        for operation, said in codes.SUCCESSES.items()
        if operation is not Operation.EXPIRE
    ]
    updated = codes.SUBSCRIPTION_UPDATED
    rows.append(("a subscription that is paused, resumed or ended", "", code(updated.code), updated.message))
    return table(("Of", "`transaction_type`", "Code", "Message"), rows)


def print_paymentoptions_declines() -> str:
    rows = (
        (code(reason.value), code(f"ERR{number:04d}"), number, acquirer_codes.ACQUIRER[number])
        for reason, number in codes.REASONS.items()
    )
    return table(("Why", "Code", "`response_code`", "Message"), rows)


def print_paymentoptions_risk() -> str:
    rows = ((code(said.code), said.response_code, said.message, rule.value) for rule, said in codes.RISK.items())
    return table(("Code", "`response_code`", "Message", "When"), rows)


def print_paymentoptions_refusals() -> str:
    found: dict[Said, list[str]] = {
        said: []
        for said in (
            codes.UNAUTHORIZED,
            codes.NOT_FOUND,
            codes.NO_TOKEN,
            codes.NO_SUBSCRIPTION,
            codes.NO_ROUTE,
            codes.SUBSCRIPTION_STATE,
            codes.BUSY,
            codes.INTERNAL,
            codes.OUTCOME_UNKNOWN,
        )
    }
    for refusal, said in codes.REFUSALS.items():
        found.setdefault(said, []).append(refusal.value)
    rows = (
        (said.status, code(said.code), said.response_code, said.message, "; ".join(why))
        for said, why in sorted(found.items(), key=lambda row: (row[0].status, row[0].code))
    )
    return table(("HTTP", "Code", "`response_code`", "Message", "Also when"), rows)


def print_paymentoptions_validations() -> str:
    rows = ((status, code(name), text.format("member")) for name, (status, text) in codes.VALIDATIONS.items())
    return table(("HTTP", "Code", "Message"), rows)


def print_paymentoptions_option_faults() -> str:
    rows = ((neutral, number, acquirer_codes.ACQUIRER[number]) for neutral, number in codes.OPTION_FIELDS.items())
    return table(("What is wrong", "`response_code`", "Meaning"), rows)


def print_paymentoptions_acquirer_codes() -> str:
    given = {*codes.REASONS.values(), *codes.OPTION_FIELDS.values(), 0, 10, -1}
    rows = ((number, meaning, "yes" if number in given else "") for number, meaning in acquirer_codes.ACQUIRER.items())
    return table(("`response_code`", "Meaning", "Given here"), rows)


def print_paymentoptions_schemes() -> str:
    rows = ((brand.value, code(scheme), code(method)) for brand, (scheme, method) in codes.SCHEMES.items())
    return table(("Brand", "`scheme`", "`payment_method`"), rows)


def print_paymentoptions_subscription_states() -> str:
    rows = ((code(state.value), code(word)) for state, word in subscriptions.STATES.items())
    return table(("State", "`status`"), rows)


def print_paymentoptions_settings() -> str:
    return _settings("paymentoptions", ServerToServer)


def print_risk_settings() -> str:
    return _settings("risk", Limits)


def _settings(group: str, kind: type) -> str:
    said, standard = meanings(kind), kind()
    rows = (
        (code(f"{group}.{each.name}"), said[each.name], shown(getattr(standard, each.name))) for each in fields(kind)
    )
    return table(("Setting", "Meaning", "Default"), rows)
