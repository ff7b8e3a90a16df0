"""`python -m kessai`: the same command, for where no script was installed."""

from kessai.cli import main

main()
