"""Settings: a file and the environment; what nobody reads, or cannot be, is refused with a sentence."""

from pathlib import Path

import pytest

from kessai.config import BadSetting, Settings, load


def written(folder: Path, text: str) -> Path:
    (folder / "kessai.toml").write_text(text, "utf-8")
    return folder


def test_nothing_given_is_the_defaults(tmp_path: Path) -> None:
    assert load(tmp_path, {}) == Settings()


def test_the_environment_goes_before_the_file(tmp_path: Path) -> None:
    folder = written(tmp_path, 'acquirer_deadline_s = 5\nlog_level = "debug"\naccepted_hosts = ["a.example"]\n')
    given = load(folder, {"KESSAI_ACQUIRER_DEADLINE_S": "0.5", "KESSAI_ACCEPTED_HOSTS": "b.example,c.example"})
    assert (given.acquirer_deadline_s, given.log_level) == (0.5, "debug")
    assert given.accepted_hosts == ("b.example", "c.example")


def test_what_is_read_elsewhere_or_injected_by_others_is_left_alone(tmp_path: Path) -> None:
    environment = {
        "KESSAI_DATA": "x",
        "KESSAI_KEY_ENCRYPTION_KEY": "y",
        "KESSAI_PORT": "tcp://10.0.0.1:8080",
        "KESSAI_PORT_8080_TCP": "tcp://10.0.0.1:8080",
        "KESSAI_SERVICE_HOST": "10.0.0.1",
    }
    assert load(tmp_path, environment) == Settings()


@pytest.mark.parametrize(
    "text",
    [
        "acquirer_dedline_s = 5",
        "acquirer_deadline_s = nan",
        "acquirer_deadline_s = inf",
        "acquirer_deadline_s = 0",
        "acquirer_deadline_s = -1",
        'acquirer_deadline_s = "soon"',
        "signature_window_s = true",
        "signature_window_s = 2.9",
        'log_level = "loud"',
        "accepted_hosts = 5",
        'acquirer = "nowhere"',
        'acquirer = "127.0.0.1:"',
        "acquirer_window = 0",
        "failures_per_s = 0",
        'trusted_proxies = ["proxy.example"]',
        'trusted_proxies = ["10.0.0.1/8"]',
        "not toml",
    ],
)
def test_a_setting_that_cannot_be_is_refused(tmp_path: Path, text: str) -> None:
    """A-112."""
    with pytest.raises(BadSetting, match=r"setting|TOML"):
        load(written(tmp_path, text), {})
