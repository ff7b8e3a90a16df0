"""The pages of the reference, filled in from the tables that the gateway runs on.

A page of the documents is prose with sections between `<!-- printed: NAME -->` and `<!-- end -->`; what stands there is
`SECTIONS[NAME]()`. A section says nothing that a table does not say: what a setting means is its docstring, what may
follow what is the table of the lifecycle, which members a request must have is found out by asking the decoder.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from kessai.reference import (
    acquirer,
    agreements,
    authentication,
    operation,
    paymentoptions,
    recurring,
    rules,
    tokens,
    webhooks,
    wire,
)

DOCS: Final = Path(__file__).parents[3] / "docs"
SECTION: Final = re.compile(r"(<!-- printed: ([a-z-]+) -->\n).*?(<!-- end -->)", re.DOTALL)
SECTIONS: Final[Mapping[str, Callable[[], str]]] = {
    name.removeprefix("print_").replace("_", "-"): function
    for room in (
        wire,
        paymentoptions,
        tokens,
        agreements,
        authentication,
        recurring,
        webhooks,
        rules,
        acquirer,
        operation,
    )
    for name, function in vars(room).items()
    if name.startswith("print_")
}
"""Section to what prints it: `print_routes` prints the section `routes`."""


def write(pages: list[Path]) -> None:
    """Fill in the pages; of every page of the documents where none is named."""
    for page in pages or sorted(DOCS.rglob("*.md")):
        before = page.read_text("utf-8")
        after = fill(before)
        if after != before:
            page.write_text(after, "utf-8")


def fill(page: str) -> str:
    """A page with its sections printed anew. KeyError for a section that nothing prints."""
    return SECTION.sub(lambda found: f"{found[1]}\n{SECTIONS[found[2]]()}\n\n{found[3]}", page)
