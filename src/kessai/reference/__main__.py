"""`python -m kessai.reference [FILE ...]`: fill in the printed sections of the documents."""

import sys
from pathlib import Path

from kessai.reference.pages import write

if __name__ == "__main__":
    write([Path(name) for name in sys.argv[1:]])
