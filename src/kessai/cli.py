"""The operator's hand."""


def main() -> None:
    raise SystemExit("kessai: not yet")
