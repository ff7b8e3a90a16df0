"""What the simulated acquirer inside of a gateway remembers: each exchange, for ever. A real one is elsewhere.

`python -m bench.book BEFORE COUNT` tells by how many resident bytes a book grows, in a process of its own: so that what
else a gateway grows by can be told apart from it, whatever the allocator adds.
"""

import subprocess
import sys

from bench import processes
from kessai.acquirers.simulator.book import Book, Done
from kessai.payment.lifecycle import Operation


def grows_by(before: int, count: int) -> int:
    """Resident bytes that a book of so many authorizations grows by with some more."""
    command = [sys.executable, "-m", "bench.book", str(before), str(count)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise processes.Failed(f"the book could not be measured: {ended.stderr.strip()}")
    return int(ended.stdout)


def _measure(before: int, count: int) -> int:
    book = Book(length=None)
    _fill(book, 0, before)
    then = processes.resident()
    _fill(book, before, before + count)
    return processes.resident() - then


def _fill(book: Book, first: int, last: int) -> None:
    for number in range(first, last):
        line = Done(
            transaction=(1 << 50) + (number << 8),
            operation=Operation.AUTHORIZE,
            asked=12_000 + number,
            approved=12_000 + number,
            currency="JPY",
            facts={},
        )
        book.apply(line, at=300 * (1_000 + number))


if __name__ == "__main__":
    print(_measure(int(sys.argv[1]), int(sys.argv[2])))
