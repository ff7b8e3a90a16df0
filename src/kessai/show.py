"""What commands show to people: results as tables and blocks of text. Pure.

Each function turns the result of an order into something that a console of `rich` can print. Results come as JSON would
say them, so that a gateway's answer over its socket and one made here look alike. Texts are never read as markup.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.highlighter import JSONHighlighter
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from kessai.edge import EXPLANATION

Result = Mapping[str, Any]

_JSON_COLUMNS: Final = 100

_TITLE: Final = "bold"
_LABEL: Final = "dim"
_GOOD: Final = "green"
_DOUBTFUL: Final = "yellow"
_BAD: Final = "red"
_STATUS_STYLE: Final[Mapping[str, str]] = {
    "approved": _GOOD,
    "declined": _BAD,
    "failed": _BAD,
    "unknown": _DOUBTFUL,
    "pending": _DOUBTFUL,
}


def table(headings: Sequence[str], rows: Iterable[Sequence[object]], numbers: Sequence[str] = ()) -> Table:
    """A table whose `numbers` columns are aligned to the right; None is an empty cell."""
    made = Table(box=SIMPLE_HEAD, header_style=_LABEL, pad_edge=False, show_edge=False)
    for heading in headings:
        made.add_column(heading, justify="right" if heading in numbers else "left", overflow="fold")
    for row in rows:
        made.add_row(*(_cell(value) for value in row))
    return made


def pairs(named: Mapping[str, object]) -> Table:
    """Names and values beneath each other, without those that are empty."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style=_LABEL, no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in named.items():
        if value not in (None, "", [], {}):
            grid.add_row(_text(name), _cell(value))
    return grid


def _cell(value: object) -> Text:
    match value:
        case None:
            return Text()
        case Text():
            return value
        case str():
            return _text(value)
        case list() | tuple():
            return _text("\n".join(map(str, value)), keeps_lines=True)
        case Mapping():
            return _text(", ".join(f"{name} {_word(inner)}" for name, inner in value.items()))
    return _text(_word(value))


def _word(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _text(text: str, style: str = "", *, keeps_lines: bool = False) -> Text:
    """A text of which a terminal only prints."""
    shown = "".join(c if c.isprintable() or (keeps_lines and c == "\n") else "\N{REPLACEMENT CHARACTER}" for c in text)
    return Text(shown, style=style)


def _indented(inner: RenderableType) -> Padding:
    return Padding(inner, (0, 0, 0, 2), expand=False)


# ---- merchants, jobs, settlements, the books


def merchants(found: Sequence[Result]) -> RenderableType:
    headings = ("merchant", "personality", "mode", "wires", "keys", "settings")
    return table(headings, ([m["id"], *(m[name] for name in headings[1:])] for m in found))


def merchant(result: Result) -> RenderableType:
    """One merchant, or one of its keys; a secret made just now with the advice to keep it."""
    if "shared_secret" not in result and "api_key" not in result:
        return pairs(result)
    advice = "Secrets are shown this once." if "api_key" in result else "The shared secret is shown this once."
    return Group(pairs(result), Text(advice, style=_DOUBTFUL))


def deliveries(found: Sequence[Result]) -> RenderableType:
    """Notifications; how to send those again that were given up."""
    headings = ("merchant", "id", "event", "state", "attempts", "result")
    listed = table(headings, ([each[name] for name in headings] for each in found), ("attempts",))
    if not any(each["state"] == "parked" for each in found):
        return listed if found else Text("There is nothing.")
    return Group(listed, Text("Given up: `kessai webhook resend ID` sends one again, without ID all.", style=_BAD))


def rows(found: Sequence[Result]) -> RenderableType:
    """What has the same members, one a line."""
    if not found:
        return Text("There is nothing.")
    headings = tuple(found[0])
    return table(headings, ([each[name] for name in headings] for each in found))


def key_store(made: Result) -> RenderableType:
    if "password" not in made:
        return pairs(made)
    return Group(pairs(made), Text("The password is shown this once.", style=_DOUBTFUL))


def jobs(found: Sequence[Result]) -> RenderableType:
    """What is queued; what was given up last, where it is seen."""
    if not found:
        return Text("Nothing is queued.")
    headings = ("merchant", "id", "kind", "transaction", "state", "attempts", "run_at")
    parked = [job for job in found if job["state"] == "parked"]
    in_order = [job for job in found if job["state"] != "parked"] + parked
    rows = (
        [Text(job["state"], style=_JOB.get(job["state"], "")) if name == "state" else job[name] for name in headings]
        for job in in_order
    )
    queued = table(headings, rows, ("attempts",))
    if not parked:
        return queued
    advice = f"{len(parked)} given up: `kessai jobs drive ID` tries one again, `kessai jobs drive --all` every one."
    return Group(queued, Text(advice, style=_BAD))


_JOB: Final[Mapping[str, str]] = {"parked": _BAD}


def driven(found: Sequence[Result]) -> RenderableType:
    if not found:
        return Text("No job was given up.")
    return table(("merchant", "id"), ([job["merchant"], job["id"]] for job in found))


def vault_keys(found: Sequence[Result]) -> RenderableType:
    """The keys of merchants; those first that are due, or missing, in the words beneath."""
    headings = ("merchant", "purpose", "id", "state", "age_days", "seals", "rows")
    rows = (
        [Text(key["state"], style=_KEY.get(key["state"], "")) if name == "state" else key[name] for name in headings]
        for key in found
    )
    told: list[RenderableType] = [table(headings, rows, ("age_days", "seals", "rows"))]
    if any(key["is_due"] for key in found):
        due = sorted({key["merchant"] for key in found if key["is_due"]})
        told.append(Text(f"To be turned (`kessai vault rotate`): {', '.join(due)}", style=_DOUBTFUL))
    if any(key["state"] == "missing" for key in found):
        told.append(Text("Rows are under a key that is missing: they cannot be opened.", style=_BAD))
    return Group(*told)


_KEY: Final[Mapping[str, str]] = {"missing": _BAD, "waits": _DOUBTFUL, "opens": _DOUBTFUL}


def rotated(done: Result) -> RenderableType:
    merchants = ", ".join(done["merchants"])
    return Text(
        f"New keys seal for {merchants}; {done['resealed']} rows were sealed again, the old keys are destroyed."
    )


def exported(made: Result) -> RenderableType:
    advice = "It opens with the recipient's private key alone. Compare the digest with the one that the import tells."
    return Group(pairs(_with_counts(made)), Text(advice, style=_DOUBTFUL))


def imported(made: Result) -> RenderableType:
    return pairs(_with_counts(made))


def _with_counts(made: Result) -> Result:
    """Counts of tokens as rows of their own."""
    return {**{name: value for name, value in made.items() if name != "tokens"}, **made["tokens"]}


def backed_up(made: Result) -> RenderableType:
    advice = "It holds cards and secrets sealed, and not the key-encryption key: keep that key elsewhere, and keep it."
    return Group(pairs(made), Text(advice, style=_DOUBTFUL))


def restored(made: Result) -> RenderableType:
    shown = pairs({name: made[name] for name in ("file", "size", "seconds")})
    if made["has_key"]:
        return shown
    return Group(
        shown, Text("The key-encryption key is still missing: put it into keys/kek (chmod 600).", style=_DOUBTFUL)
    )


def settlements(made: Sequence[Result]) -> RenderableType:
    if not made:
        return Text("There was nothing to settle.")
    headings = ("merchant", "id", "business_date", "currency", "transactions", "captured", "returned", "net")
    return table(headings, ([batch[name] for name in headings] for batch in made), headings[4:])


def ledger(report: Result) -> RenderableType:
    """Balances, and whether the books are as they should be, or every line that is not."""
    return _report(report, "The books are wrong")


def verified(report: Result) -> RenderableType:
    """The same, of everything that is stored."""
    return _report(report, "Not everything agrees")


def _report(report: Result, verdict: str) -> RenderableType:
    accounts = ("merchant", "account", "currency", "amount")
    balances = table(accounts, ([b[name] for name in accounts] for b in report["balances"]), ("amount",))
    read = f"{report['entries']} entries of {report['transactions']} transactions were recomputed"
    if not report["findings"]:
        return Group(balances, Text.assemble(("OK", _GOOD), f": {read}."))
    headings = ("merchant", "what", "transaction", "line", "expected", "found")
    findings = table(headings, ([f[name] for name in headings] for f in report["findings"]), ("line",))
    return Group(balances, findings, Text.assemble((verdict, _BAD), f": {read}, {len(report['findings'])} findings."))


# ---- a payment


def payment(story: Result) -> RenderableType:
    """The whole story: the payment, each transaction with its exchange and entries, the schedule."""
    currency = story["currency"]
    head = {
        "merchant": f"{story['merchant']} ({story['personality']})",
        "card": " ".join(filter(None, (story["card"], story["expiry"], story["brand"]))),
        "authorized": f"{story['authorized']} {currency}",
        "captured": f"{story['captured']} {currency}",
        "held": f"{story['held']} {currency}",
        "hold lapses": story["hold_expires_at"],
        "card updates": story["card_updates"],
    }
    parts: list[RenderableType] = [Text(f"Payment {story['payment']}", style=_TITLE), _indented(pairs(head))]
    for each in story["transactions"]:
        parts += [Text(), transaction(each, currency)]
    if story["schedule"] is not None:
        parts += [Text(), schedule(story["schedule"])]
    return Group(*parts)


def transaction(found: Result, currency: str) -> RenderableType:
    title = Text.assemble(
        (found["operation"], _TITLE),
        f" {found['id']}  ",
        (found["status"], _STATUS_STYLE.get(found["status"], "")),
        f"  {found['shown_as']}",
    )
    exchange = found["exchange"] or {}
    named = {
        "on PaymentOptions": found["paymentoptions_id"],
        "of": found["target"],
        "requested": f"{found['requested']} {currency}",
        "approved": f"{found['approved']} {currency}",
        "reference": found["reference"],
        "reason": found["reason"],
        "at": " to ".join(filter(None, (found["requested_at"], found["concluded_at"]))),
        "settlement": found["settlement"],
        "flags": ", ".join(found["flags"]),
        "sent": exchange.get("sent"),
        "answered": exchange.get("answered"),
        "warnings": found["warnings"],
        "events": [" ".join(map(_word, (e["at"], e["kind"], e["detail"]))) for e in found["events"]],
    }
    parts: list[RenderableType] = [title, _indented(pairs(named))]
    if found["entries"]:
        parts.append(_indented(entries(found["entries"])))
    return Group(*parts)


def entries(lines: Sequence[Result]) -> Table:
    headings = ("account", "debit", "credit")
    return table(headings, ([line[name] for name in headings] for line in lines), headings[1:])


# ---- schedules


def schedule(plan: Result) -> RenderableType:
    """What a cardholder is expected to pay each month, and when the merchant is funded."""
    head = {
        "amount": f"{plan['amount']} JPY",
        "method": plan["method"],
        "sale": plan["sale_date"],
        "issuer": plan["issuer"],
    }
    title = Text.assemble((plan["name"].capitalize(), _TITLE), f"  {plan['name_ja']}")
    parts: list[RenderableType] = [title, _indented(pairs(head))]
    if plan["cardholder"]:
        headings = ("month", "due", "amount", "kind")
        rows = ([row[name] for name in headings] for row in plan["cardholder"])
        parts.append(_indented(table(("month", "due", "cardholder pays", "kind"), rows, ("cardholder pays",))))
        fee = f", of it fees {plan['fee']}" if plan["fee"] != "0" else ""
        parts.append(_indented(Text(f"in total {plan['total']} JPY{fee}")))
    funded = ([row["date"], row["amount"]] for row in plan["funding"])
    parts.append(_indented(table(("merchant is funded on", "with"), funded, ("with",))))
    parts += [_indented(Text(f"{note['en']} {note['ja']}", style=_LABEL)) for note in plan["notes"]]
    parts += [_indented(problem(found)) for found in plan["problems"]]
    return Group(*parts)


def problem(found: Result) -> Text:
    style = _BAD if found["severity"] == "error" else _DOUBTFUL
    return Text.assemble((f"{found['rule']} {found['severity']}", style), f": {found['en']} / {found['ja']}")


# ---- requests and answers


def document(value: object) -> RenderableType:
    """A JSON document, what fits on a line in one; a text as it is."""
    if isinstance(value, str):
        return _text(value, keeps_lines=True)
    shown = _text(_json(value, ""), keeps_lines=True)
    JSONHighlighter().highlight(shown)
    return shown


def _json(value: object, indent: str, name: str = "") -> str:
    """A value in so many columns: on the line of its name where there is room, else a member a line."""
    line = name + json.dumps(value, ensure_ascii=False)
    if len(indent) + len(line) <= _JSON_COLUMNS or not isinstance(value, dict | list) or not value:
        return line
    inner = indent + "  "
    if isinstance(value, list):
        rows, ends = [_json(each, inner) for each in value], "[]"
    else:
        rows = [_json(each, inner, f"{json.dumps(key, ensure_ascii=False)}: ") for key, each in value.items()]
        ends = "{}"
    joined = f",\n{inner}".join(rows)
    return f"{name}{ends[0]}\n{inner}{joined}\n{indent}{ends[1]}"


def answer(status: int, phrase: str, headers: Mapping[str, str], body: object) -> RenderableType:
    """The status line, the headers that explain, the body."""
    parts: list[RenderableType] = [_text(f"HTTP {status} {phrase}".rstrip(), style=f"bold {_of_status(status)}")]
    parts += [
        Text.assemble((f"{name}: ", _LABEL), _text(value))
        for name, value in headers.items()
        if name.startswith("kessai-") and value
    ]
    return Group(*parts, document(body)) if body is not None else Group(*parts)


def _of_status(status: int) -> str:
    return _GOOD if status < 300 else _DOUBTFUL if status < 500 else _BAD


def step(result: Result) -> RenderableType:
    """One step of the demonstration: what was asked, what was answered, what the ledger and the cardholder see."""
    request, given = result["request"], result["answer"]
    mark = Text("as expected", style=_GOOD) if result["ok"] else Text(f"expected {result['expected']}", style=_BAD)
    sent = f"{request['method']} {request['path']}"
    scenario = f"  Kessai-Scenario: {request['scenario']}" if request["scenario"] else ""
    parts: list[RenderableType] = [
        Text(result["title"], style=f"{_TITLE} underline"),
        Text.assemble(_text(sent, "cyan"), f"  as {result['merchant']}{scenario}"),
        _indented(document(request["body"])),
        answer(given["status"], given["phrase"], {EXPLANATION: given["explanation"] or ""}, None),
        *([_indented(document(given["body"]))] if given["body"] is not None else []),
        mark,
    ]
    if result["ledger"]:
        parts += [Text("Ledger", style=_TITLE), _indented(entries(result["ledger"]))]
    parts += [_indented(transaction(undoing, result["currency"])) for undoing in result["clean_up"]]
    if result["schedule"] is not None:
        parts += [schedule(result["schedule"])]
    return Group(*parts, Text())


# ---- a gateway that has started


def started(ready: Result, command: str) -> RenderableType:
    """Where a gateway takes requests, for whom, and how a client comes to trust it. `command` is how it was called."""
    keys = Table(box=SIMPLE_HEAD, header_style=_LABEL, pad_edge=False, show_edge=False)
    keys.add_column("merchant")
    keys.add_column("personality")
    keys.add_column("key id, and shared secret beneath; PaymentOptions: api_key, x-api-key", no_wrap=True)
    for each in ready["merchants"]:
        shown = [each[name] for name in ("key_id", "shared_secret", "api_key", "x_api_key") if name in each]
        keys.add_row(each["id"], each["personality"], "\n".join(shown))
    parts: list[RenderableType] = [
        Text.assemble(("Kessai", _TITLE), " takes requests on ", (ready["url"], f"{_TITLE} {_GOOD}")),
        keys,
    ]
    if ready["more_merchants"]:
        parts.append(Text(f"There are other merchants: {command} merchant list"))
    if ready["ca"] is not None:
        parts += [
            Text.assemble("Clients trust it with the authority ", (ready["ca"], _TITLE), ", for example:"),
            _indented(Text(f"curl --cacert {ready['ca']} {ready['url']}/")),
            _indented(Text("other clients: SSL_CERT_FILE, REQUESTS_CA_BUNDLE, NODE_EXTRA_CA_CERTS name that file")),
        ]
    return Group(*parts)
