"""Pages for payers, as HTML that works without scripts. What comes from outside is escaped where it enters."""

from collections.abc import Mapping
from html import escape
from importlib.resources import files
from string import Template
from typing import Final

from kessai.authentication.flow import Authentication
from kessai.authentication.issuer import MOST_TRIES
from kessai.checkout.words import LANGUAGES, WORDS

ANSWER: Final = "/3ds/v2/challenge"
STATIC: Final[Mapping[str, str]] = {
    "page.css": "text/css; charset=utf-8",
    "continue.js": "text/javascript; charset=utf-8",
    "visit.js": "text/javascript; charset=utf-8",
}
_FOLDER: Final = files("kessai.checkout") / "static"
CONTENT: Final = {name: (_FOLDER / name).read_bytes() for name in STATIC}
_TEMPLATES: Final = {
    name: Template((_FOLDER / f"{name}.html").read_text("utf-8")) for name in ("frame", "challenge", "end", "visit")
}

Hidden = dict[str, str]


def challenge(language: str, found: Authentication, hidden: Hidden, *, here: str, error: str | None = None) -> bytes:
    """The issuer's question. `hidden` goes along with the answer, `here` is where the language switch leads."""
    said = _said(language)
    alert = ""
    if error is not None:
        text = said[error].format(left=MOST_TRIES - found.tries)
        alert = f'<p class="alert" role="alert" id="alert">{text}</p>'
    body = _TEMPLATES["challenge"].substitute(
        said,
        action=ANSWER,
        hidden=_hidden(hidden | {"lang": language}),
        alert=alert,
        described='aria-describedby="alert hint"' if alert else 'aria-describedby="hint"',
        shop=escape(found.shop),
        sum=escape(_money(found)),
        number="•••• " + escape(found.suffix),
    )
    return _framed(language, body, hidden, here)


def end(
    language: str, text: str, *, post_to: str = "", fields: Hidden | None = None, link: str = "", moves: bool = False
) -> bytes:
    """The end of the way: a form that goes on to the shop, a link to it, or neither. `moves`: by itself."""
    said = _said(language)
    onward = f"<p>{said['close']}</p>"
    if post_to:
        onward = (
            f'<form method="post" action="{escape(post_to)}" id="continue">{_hidden(fields or {})}'
            f'<button class="main">{said["continue"]}</button></form>'
        )
        if moves:
            onward += '<script src="/3ds/v2/continue.js" defer></script>'
    elif link:
        onward = f'<p><a class="main" href="{escape(link)}" rel="noreferrer">{said["continue"]}</a></p>'
    return _framed(language, _TEMPLATES["end"].substitute(said, text=said[text], onward=onward))


def wait(language: str, again: str) -> bytes:
    """A payment is under way; the page looks again, without a script."""
    said = _said(language)
    refresh = f'<meta http-equiv="refresh" content="2;url={escape(again)}">'
    return _framed(language, _TEMPLATES["end"].substitute(said, text=said["wait"], onward=""), head=refresh)


def visit(reference: str) -> bytes:
    """The hidden page of a browser's first visit: it tells the page around it that it was there."""
    return _TEMPLATES["visit"].substitute(reference=escape(reference)).encode()


def _framed(language: str, body: str, hidden: Hidden | None = None, here: str = "", head: str = "") -> bytes:
    said = _said(language)
    switch = _switch(language, hidden, here) if hidden is not None else ""
    page = _TEMPLATES["frame"].substitute(said, language=language, body=body, switch=switch, head=head)
    return page.encode()


def _switch(language: str, hidden: Hidden, here: str) -> str:
    """Buttons for the other languages; the page is asked for again with what it was asked with."""
    buttons = "".join(
        f'<button name="lang" value="{code}" lang="{code}">{name}</button>'
        for code, name in LANGUAGES.items()
        if code != language
    )
    kept = _hidden(hidden)
    return f'<form method="post" action="{escape(here)}" class="switch">{kept}{buttons}</form>'


def _said(language: str) -> dict[str, str]:
    return {word: texts[language] for word, texts in WORDS.items()}


def _hidden(fields: Hidden) -> str:
    return "".join(
        f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">' for name, value in fields.items()
    )


def _money(found: Authentication) -> str:
    whole, point, decimals = str(found.amount).partition(".")
    grouped = f"{int(whole):,}{point}{decimals}"
    return f"¥{grouped}" if found.currency == "JPY" else f"{found.currency} {grouped}"
