"""The pages of the hosted payment page, as HTML that works without scripts. What comes from outside is escaped here."""

import base64
import hashlib
import json
from collections.abc import Mapping
from datetime import date
from html import escape
from importlib.resources import files
from string import Template
from typing import Final
from urllib.parse import urlencode

from msgspec import Struct

from kessai.checkout.words import LANGUAGES
from kessai.dialects.paymentoptions.codes import TEST_PREFIXES
from kessai.dialects.paymentoptions.hosted import Asked
from kessai.hosted.picker import ONE_TIME, Choice
from kessai.hosted.words import WORDS
from kessai.payment.card import BIN_RANGES
from kessai.payment.merchant import Merchant
from kessai.payment.money import JPY, Currency, Money
from kessai.payment.options import Kind

PAGE: Final = "/HostedPaymentPage"
STATIC: Final[Mapping[str, str]] = {"page.css": "text/css; charset=utf-8", "page.js": "text/javascript; charset=utf-8"}
_FOLDER: Final = files("kessai.hosted") / "static"
CONTENT: Final = {name: (_FOLDER / name).read_bytes() for name in STATIC}
INTEGRITY: Final = {
    name: "sha384-" + base64.b64encode(hashlib.sha384(content).digest()).decode() for name, content in CONTENT.items()
}
"""What a browser is told that a file's content is (PCI DSS 6.4.3)."""
_TEMPLATES: Final = {
    name: Template((_FOLDER / f"{name}.html").read_text("utf-8")) for name in ("frame", "amount", "pay")
}
_RANGES: Final = [(first, last, brand.value) for first, last, brand, _ in BIN_RANGES]
_TEST_RANGES: Final = [(prefix, prefix, brand.value) for prefix, brand in TEST_PREFIXES.items()]


class View(Struct, frozen=True, kw_only=True):
    """What every page of a link needs."""

    merchant: Merchant
    asked: Asked
    language: str
    here: str
    """Its path."""
    typed: Mapping[str, str] = {}
    """What the payer typed, to be shown again: never a card's number or code."""

    @property
    def shop(self) -> str:
        return self.merchant.terms.legal_name or self.merchant.id


def ask_amount(view: View, *, is_wrong: bool) -> bytes:
    """The first step, where the link has no amount."""
    said, currency = _said(view.language), Currency.of(view.asked.currency)
    example = shown(Money(1_000 * 10**currency.exponent, currency))
    wrong = {"amount": said["bad_amount"].format(example=example)} if is_wrong else {}
    body = _TEMPLATES["amount"].substitute(
        said,
        order=_order(view, None),
        alert=_alert(said, "", wrong),
        here=escape(view.here),
        language=view.language,
        sign="¥" if currency is JPY else currency.code,
        keys="numeric" if currency.exponent == 0 else "decimal",
        typed=escape(view.typed.get("amount", "")),
        wrong_amount=_wrong("amount", wrong),
        leave=_leave(view, 0),
    )
    return _framed(view.language, said["title"], body, view)


def ask_card(
    view: View,
    amount: Money,
    offered: tuple[Choice, ...],
    *,
    tries: int,
    alert: str = "",
    wrong: frozenset[str] = frozenset(),
) -> bytes:
    """The card's form. `wrong`: fields that are; `alert`: what is said above them."""
    said, typed = _said(view.language), view.typed
    texts = {name: said[f"bad_{name}"] for name in wrong}
    if (wrong or alert) and "number" not in wrong:
        texts |= {"number": said["bad_again"]}
    hidden = {"lang": view.language, "try": str(tries)}
    if not view.asked.amount:
        hidden["amount"] = _plain(amount)
    ranges = _RANGES + (_TEST_RANGES if view.merchant.is_test else [])
    body = _TEMPLATES["pay"].substitute(
        said | {"pay": said["pay"].format(sum=shown(amount))},
        order=_order(view, amount),
        alert=_alert(said, alert, texts),
        here=escape(view.here),
        ranges=escape(json.dumps(ranges, separators=(",", ":"))),
        hidden=_hidden(hidden),
        picker=_picker(said, view.language, offered, typed.get("option", ONE_TIME), texts),
        keeps=_notes(view, said),
        typed_expiry=escape(typed.get("expiry", "")),
        typed_name=escape(typed.get("name", "")),
        wrong_number=_wrong("number", texts),
        wrong_expiry=_wrong("expiry", texts),
        wrong_cvc_id=" cvc-wrong" if "cvc" in texts else "",
        wrong_cvc=' aria-invalid="true"' if "cvc" in texts else "",
        wrong_name=_wrong("name", texts),
        email_field=_email(said, typed, texts) if view.asked.wants_email else "",
        js=INTEGRITY["page.js"],
        leave=_leave(view, tries),
    )
    return _framed(view.language, said["title"], body, view)


def end(language: str, text: str, *, view: View | None = None, link: str = "", moves: bool = False) -> bytes:
    """The end of the way, with a link to the shop where there is one. `moves`: by itself."""
    said = _said(language)
    head = f'<meta http-equiv="refresh" content="1;url={escape(link)}">' if moves and link else ""
    onward = f"<p>{said['close']}</p>"
    if link:
        onward = f'<p><a class="main" href="{escape(link)}" rel="noreferrer">{said["back"]}</a></p>'
    return _framed(language, said["title"], f'<p role="status">{said[text]}</p>{onward}', view, head=head)


def wait(view: View) -> bytes:
    """A payment is under way; the page looks again, without a script."""
    said = _said(view.language)
    again = f"{view.here}?{urlencode({'lang': view.language, 'after': 'pay'})}"
    refresh = f'<meta http-equiv="refresh" content="2;url={escape(again)}">'
    return _framed(view.language, said["title"], f'<p role="status">{said["wait"]}</p>', view, head=refresh)


def shown(amount: Money) -> str:
    """An amount as people read it: `¥12,000`, `USD 1,234.50`."""
    whole, point, decimals = str(amount).partition(".")
    grouped = f"{int(whole):,}{point}{decimals}"
    return f"¥{grouped}" if amount.currency is JPY else f"{amount.currency.code} {grouped}"


# ---- parts


def _framed(language: str, heading: str, body: str, view: View | None, head: str = "") -> bytes:
    said = _said(language)
    test = f'<span class="test">{said["test"]}</span>' if view is not None and view.merchant.is_test else ""
    page = _TEMPLATES["frame"].substitute(
        language=language,
        heading=heading,
        shop=escape(view.shop) if view is not None else "Kessai",
        head=head,
        css=INTEGRITY["page.css"],
        mark=test,
        switch=_switch(view, said) if view is not None else "",
        body=body,
    )
    return page.encode()


def _switch(view: View, said: Mapping[str, str]) -> str:
    """Links to the other languages."""
    kept = {"amount": view.typed["amount"]} if view.typed.get("amount") and not view.asked.amount else {}
    return "".join(
        f'<a class="switch" href="{escape(view.here)}?{escape(urlencode({"lang": code} | kept))}" lang="{code}" '
        f'hreflang="{code}" aria-label="{said["language"]}: {name}">{name}</a>'
        for code, name in LANGUAGES.items()
        if code != view.language
    )


def _order(view: View, amount: Money | None) -> str:
    said = _said(view.language)
    rows = []
    if view.asked.reference:
        rows.append(f"<div><dt>{said['reference']}</dt><dd>{escape(view.asked.reference)}</dd></div>")
    if amount is not None:
        rows.append(f'<div><dt>{said["total"]}</dt><dd class="sum">{shown(amount)}</dd></div>')
    change = ""
    if amount is not None and not view.asked.amount:
        change = f'<p><a href="{escape(view.here)}?lang={view.language}">{said["change"]}</a></p>'
    return (f'<dl class="order">{"".join(rows)}</dl>' if rows else "") + change


def _picker(
    said: Mapping[str, str], language: str, offered: tuple[Choice, ...], chosen: str, wrong: Mapping[str, str]
) -> str:
    """The payment options, each with its schedule, which shows where it is chosen."""
    if not offered:
        return ""
    marks = {choice.mark for choice in offered}
    chosen = chosen if chosen in marks else offered[0].mark
    parts = [
        f'<div class="choice"><input type="radio" name="option" id="o-{choice.mark}" value="{choice.mark}"'
        f"{' checked' if choice.mark == chosen else ''}>"
        f'<label for="o-{choice.mark}">{said[choice.kind.value].format(count=choice.count)}</label>'
        f"{_schedule(said, language, choice)}</div>"
        for choice in offered
    ]
    text = f'<p class="wrong" id="option-wrong">{wrong["option"]}</p>' if "option" in wrong else ""
    return f'<fieldset><legend>{said["option"]}</legend>{text}<div class="choices">{"".join(parts)}</div></fieldset>'


def _schedule(said: Mapping[str, str], language: str, choice: Choice) -> str:
    found = choice.schedule
    notes = "".join(f'<p class="hint">{note.ja if language == "ja" else note.en}</p>' for note in found.notes)
    table = ""
    if choice.kind is not Kind.REVOLVING:  # whose course decides what is billed when
        rows = "".join(
            f"<tr><th scope=row>{_day(row.due, language)}</th><td>{shown(row.amount)}</td></tr>" for row in found.rows
        )
        table = (
            f"<table><caption>{said['schedule']}</caption>"
            f"<thead><tr><th scope=col>{said['month']}</th><th scope=col>{said['billed']}</th></tr></thead>"
            f"<tbody>{rows}</tbody>"
            f"<tfoot><tr><th scope=row>{said['sum']}</th><td>{shown(found.total)}</td></tr></tfoot></table>"
        )
    return f'<div class="schedule">{table}{notes}<p class="hint">{said["expected"]}</p></div>'


def _day(day: date, language: str) -> str:
    return f"{day.year}年{day.month}月{day.day}日" if language == "ja" else day.isoformat()


def _email(said: Mapping[str, str], typed: Mapping[str, str], wrong: Mapping[str, str]) -> str:
    return (
        f'<div class="field"><label for="email">{said["email"]}</label>'
        f'<input id="email" name="email" type="email" autocomplete="email" maxlength="45" required '
        f'value="{escape(typed.get("email", ""))}"{_wrong("email", wrong)}></div>'
    )


def _notes(view: View, said: Mapping[str, str]) -> str:
    """What is said below the card's fields."""
    notes = []
    if view.asked.stores:
        notes.append(said["keeps"].format(shop=escape(view.shop)))
    if view.asked.wallet:
        notes.append(said["wallet"].format(wallet=escape(view.asked.wallet)))
    return "".join(f'<p class="note">{note}</p>' for note in notes)


def _alert(said: Mapping[str, str], alert: str, wrong: Mapping[str, str]) -> str:
    """What is wrong, above the form: a text for each field, linked to it."""
    if alert:
        return f'<div class="alert" role="alert" id="alert">{alert}</div>'
    if not wrong:
        return ""
    lines = "".join(f'<li id="{name}-wrong"><a href="#{_place(name)}">{text}</a></li>' for name, text in wrong.items())
    return f'<div class="alert" role="alert" id="alert">{said["check"]}<ul>{lines}</ul></div>'


def _place(name: str) -> str:
    return f"o-{ONE_TIME}" if name == "option" else name


def _wrong(name: str, wrong: Mapping[str, str]) -> str:
    return f' aria-invalid="true" aria-describedby="{name}-wrong"' if name in wrong else ""


def _leave(view: View, tries: int) -> str:
    fields = _hidden({"lang": view.language, "try": str(tries)})
    said = _said(view.language)
    return (
        f'<form method="post" action="{escape(view.here)}">{fields}'
        f'<button class="plain" name="do" value="cancel">{said["cancel"]}</button></form>'
    )


def _plain(amount: Money) -> str:
    return str(amount)


def _said(language: str) -> dict[str, str]:
    return {word: texts[language] for word, texts in WORDS.items()}


def said(language: str, word: str) -> str:
    return WORDS[word][language]


def _hidden(fields: Mapping[str, str]) -> str:
    return "".join(
        f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">' for name, value in fields.items()
    )
