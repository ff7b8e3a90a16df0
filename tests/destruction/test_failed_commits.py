"""Commits that fail under payments: what was told is so, and what is unknown is undone."""

import asyncio
from pathlib import Path

import pytest

from kessai.storage.payments import Answer
from tests.destruction.commits import play


def test_a_commit_that_fails_is_never_told_as_nothing_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """R-7, R-8, F24, P1, P2."""
    sent = asyncio.run(play(tmp_path, monkeypatch))
    assert sum(isinstance(told, Answer) for each in sent for told in each.told) > len(sent) // 2
