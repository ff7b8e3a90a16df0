"""Attacks that have no test, because what they would attack does not exist yet; and what is missing of those that have.

A test holds this against the list of attacks and the docstrings of all tests: no row is forgotten, none is in both.
"""

from collections.abc import Mapping
from typing import Final

ROWS: Final = tuple(
    f"A-{number}" for first, last in ((1, 49), (60, 82), (86, 97), (112, 114)) for number in range(first, last + 1)
)
"""The rows that are held here."""

ABSENT: Final[Mapping[str, str]] = {
    "A-21": "there are no live merchants: a live one on a simulator is refused, and there is no other acquirer yet",
    "A-25": "there are no page cursors and no sessions",
    "A-27": "there are no users and no roles",
    "A-28": "there are no users, and no refund wants a second one",
}
"""Row to reason."""

IN_PART: Final[Mapping[str, str]] = {
    "A-13": "there are no live merchants whom a test key could be sent to",
    "A-49": "there are no fees of merchants: installments, captures and refunds are what is divided",
    "A-60": "a backup is a copy of what is searched",
    "A-80": "there is no dashboard, no e-mail and no CSV: names are shown as JSON, on terminals and to payers",
    "A-87": "the second wire has no cookies, and nobody signs in: a cookie is looked at by nobody",
    "A-112": "there are no passwords, no debugging mode and no live merchants to refuse together",
}
"""Tested row to what is not tested of it, and why."""
