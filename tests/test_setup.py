"""Set-up from nothing: what `make` says when it cannot, when it installs again, what the lock files hold.

No network: Pythons that are too old, incomplete or without a registry are small shell scripts found first in PATH.
"""

import json
import os
import re
import shutil
import subprocess
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[1]
LOCKS: Final = ("base.txt", "test.txt", "sdk-build.txt", "sdk.txt", "lock.txt")
NAMES: Final = ("python", "python3", "python3.11", "python3.12", "python3.13", "python3.14")

# Answers what scripts/setup.sh asks of a Python, and notes every call of pip.
PYTHON: Final = """#!/bin/sh
case "$*" in
*" -m venv "*) mkdir -p "$4/bin" && cp "$0" "$4/bin/python" ;;
*" -m pip "*) echo "$*" >>"{calls}"; {pip} ;;
*ensurepip*) {ensurepip} ;;
*) echo {version} ;;
esac
"""


class Machine:
    """A folder with the project's set-up in it, and the programs that this machine's PATH begins with."""

    def __init__(self, folder: Path) -> None:
        self.project = folder / "a project"
        self.programs = folder / "bin"
        self.calls = folder / "calls"
        self.programs.mkdir()
        self.project.mkdir()
        for name in ("Makefile", "pyproject.toml", "scripts", "requirements"):
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            copy(ROOT / name, self.project / name)
        self.has_python()

    def has(self, name: str, script: str) -> None:
        (self.programs / name).write_text(script)
        (self.programs / name).chmod(0o755)

    def has_python(self, version: str = "3.12.4", ensurepip: str = "true", pip: str = "true") -> None:
        for name in NAMES:
            self.has(name, PYTHON.format(version=version, ensurepip=ensurepip, pip=pip, calls=self.calls))

    def make(self, *arguments: str, user: int | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["make", *arguments],
            cwd=self.project,
            env={"PATH": f"{self.programs}:{os.environ['PATH']}", "HOME": "/nonexistent"},
            user=user,
            group=user,
            extra_groups=None if user is None else [],
            capture_output=True,
            text=True,
            check=False,
        )

    def refusal(self, *arguments: str, user: int | None = None) -> str:
        """The one sentence that a failing target leaves, apart from make's own line."""
        done = self.make(*arguments, user=user)
        assert done.returncode != 0
        sentence, makes_own = done.stderr.splitlines()
        assert makes_own.startswith("make: ***")
        return sentence

    def pip_calls(self) -> int:
        return len(self.calls.read_text().splitlines()) if self.calls.exists() else 0


@pytest.fixture
def machine() -> Iterator[Machine]:
    with tempfile.TemporaryDirectory() as folder:  # not tmp_path: another user cannot enter that
        Path(folder).chmod(0o755)
        yield Machine(Path(folder))


def test_a_too_old_python_is_named_with_what_is_needed(machine: Machine) -> None:
    machine.has_python(version="3.9.2")
    assert machine.refusal("install") == (
        f"kessai: Python 3.11 or newer is needed, but {machine.programs}/python3 is 3.9.2: "
        "install one, or name it with PYTHON=/path/to/python3."
    )
    assert not (machine.project / ".venv").exists()


def test_a_newer_python_beside_a_too_old_one_is_taken(machine: Machine) -> None:
    machine.has("python3", PYTHON.format(version="3.9.2", ensurepip="true", pip="true", calls=machine.calls))
    assert "Making .venv with Python 3.12.4 ..." in machine.make("install").stdout


def test_a_python_without_locked_wheels_is_taken_only_where_there_is_no_other(machine: Machine) -> None:
    machine.has_python(version="3.99.0")
    machine.has("python3.13", PYTHON.format(version="3.13.1", ensurepip="true", pip="true", calls=machine.calls))
    assert "Making .venv with Python 3.13.1 ..." in machine.make("install").stdout
    shutil.rmtree(machine.project / ".venv")
    machine.has_python(version="3.99.0")
    assert "Making .venv with Python 3.99.0 ..." in machine.make("install").stdout


def test_a_missing_venv_module_names_the_package_that_has_it(machine: Machine) -> None:
    machine.has_python(ensurepip="false")
    assert machine.refusal("install") == (
        f"kessai: {machine.programs}/python3 (Python 3.12.4) lacks the module venv: "
        "install it with 'apt install python3-venv'."
    )


def test_a_named_python_that_does_not_run_is_told(machine: Machine) -> None:
    assert machine.refusal("install", "PYTHON=/no/python") == (
        "kessai: PYTHON=/no/python does not run: name a Python 3.11 or newer."
    )


def test_an_unwritable_folder_is_named(machine: Machine) -> None:
    machine.project.chmod(0o555)
    nobody = 65534 if os.geteuid() == 0 else None  # permission bits do not bind root
    sentence = machine.refusal("install", user=nobody)
    machine.project.chmod(0o755)
    assert sentence == (f"kessai: cannot write to {machine.project.resolve()}: the environment .venv is made there.")


UNREACHABLE: Final = "WARNING: Retrying after connection broken by 'NewConnectionError'"
PIP_FAILURES: Final = [
    ("echo 'ERROR: no such wheel'", "kessai: pip failed: no such wheel (all of it: .venv/pip.log)"),
    ("echo killed", "kessai: pip failed: killed (all of it: .venv/pip.log)"),
    (
        f'echo "{UNREACHABLE}"; echo "ERROR: No matching distribution"',
        "kessai: the package registry cannot be reached; pip said: No matching distribution (all of it: .venv/pip.log)",
    ),
]


@pytest.mark.parametrize(("pip", "sentence"), PIP_FAILURES)
def test_what_pip_said_last_is_told(machine: Machine, pip: str, sentence: str) -> None:
    machine.has_python(pip=f"{pip}; exit 1")
    assert machine.refusal("install") == sentence


def test_a_failed_install_is_taken_up_again(machine: Machine) -> None:
    machine.has_python(pip="exit 1")
    machine.refusal("install")
    machine.has_python()
    shutil.copy(machine.programs / "python3", machine.project / ".venv/bin/python")
    before = machine.pip_calls()
    assert machine.make("install").returncode == 0
    assert machine.pip_calls() == before + 2  # the lock file, then Kessai


def test_a_second_install_does_nothing(machine: Machine) -> None:
    machine.make("install")
    before = machine.pip_calls()
    again = machine.make("install")
    assert (again.returncode, again.stdout) == (0, "Kessai is installed: .venv/bin/kessai\n")
    assert machine.pip_calls() == before > 0


@pytest.mark.parametrize("name", ["pyproject.toml", "requirements/base.txt"])
def test_a_changed_requirement_is_installed(machine: Machine, name: str) -> None:
    machine.make("install")
    before = machine.pip_calls()
    with (machine.project / name).open("a") as file:
        file.write("# changed\n")
    assert machine.make("install").returncode == 0
    assert machine.pip_calls() > before


def test_a_moved_folder_and_an_interrupted_environment_are_made_anew(machine: Machine) -> None:
    machine.make("install")
    machine.project = machine.project.rename(machine.project.with_name("moved"))
    assert "Making .venv" in machine.make("install").stdout
    (machine.project / ".venv/.half-made").touch()
    assert "Making .venv" in machine.make("install").stdout
    assert "Making .venv" not in machine.make("install").stdout


def test_every_package_is_installed_by_its_hash(machine: Machine) -> None:
    machine.make("install")
    locked, own = machine.calls.read_text().splitlines()
    assert "--require-hashes -r requirements/base.txt" in locked
    assert "--no-build-isolation --no-deps -e ." in own


def test_missing_system_packages_are_printed_without_root(machine: Machine) -> None:
    machine.has("dpkg-query", "#!/bin/sh\nfalse\n")
    machine.has("id", "#!/bin/sh\necho 1000\n")
    assert machine.refusal("test", "SYSTEM_PACKAGES=one two") == (
        "kessai: the tests need system packages: install them with 'apt install one two'."
    )


def test_missing_system_packages_are_installed_as_root(machine: Machine) -> None:
    machine.has("dpkg-query", "#!/bin/sh\n[ $4 = one ] && printf installed\n")
    machine.has("id", "#!/bin/sh\necho 0\n")
    machine.has("apt-get", "#!/bin/sh\necho apt-get $* >&2\n")
    done = subprocess.run(
        ["sh", "scripts/setup.sh", "system", "one", "two"],
        cwd=machine.project,
        env={"PATH": f"{machine.programs}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "Installing two ...\n"
    assert done.stderr.splitlines()[-1].endswith("-y two")


def _setup(machine: Machine, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", "scripts/setup.sh", *arguments],
        cwd=machine.project,
        env={"PATH": f"{machine.programs}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_node_from_elsewhere_is_not_installed_again(machine: Machine) -> None:
    """Debian's package would not go beside it."""
    machine.has("dpkg-query", "#!/bin/sh\nfalse\n")
    machine.has("apt-get", "#!/bin/sh\nfalse\n")
    for name in ("node", "npm"):
        machine.has(name, "#!/bin/sh\n")
    done = _setup(machine, "system", "nodejs", "npm")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_client_for_node_is_installed_once_and_by_its_lock_file(machine: Machine) -> None:
    folder = machine.project / "tests/acceptance/node"
    shutil.copytree(ROOT / "tests/acceptance/node", folder, ignore=shutil.ignore_patterns("node_modules"))
    machine.has("npm", f'#!/bin/sh\nmkdir -p "$3/node_modules" && echo "$*" >>"{machine.calls}"\n')
    assert _setup(machine, "node").stdout == "Installing the official client for Node for the tests ...\n"
    assert _setup(machine, "node").stdout == ""
    assert machine.calls.read_text().startswith(
        "ci --prefix tests/acceptance/node --no-audit --no-fund --ignore-scripts"
    )
    machine.has("npm", "#!/bin/sh\necho npm error code EAI_AGAIN >&2\nfalse\n")
    (folder / "package.json").write_text("{}")
    assert _setup(machine, "node").stderr == (
        "kessai: npm failed: npm error code EAI_AGAIN (all of it: tests/acceptance/node/npm.log)\n"
    )


def test_every_package_for_node_is_pinned_by_its_hash_and_by_no_host() -> None:
    lock = json.loads((ROOT / "tests/acceptance/node/package-lock.json").read_text())
    packages = [each for place, each in lock["packages"].items() if place]
    assert len(packages) > 50
    assert all(each["integrity"].startswith("sha512-") and "resolved" not in each for each in packages)


def test_make_alone_lists_the_targets(machine: Machine) -> None:
    listed = re.findall(r"^  make (\w+) ", machine.make().stdout, re.MULTILINE)
    assert listed == ["help", "serve", "install", "test", "check", "docs", "bench", "destruction", "lock"]


def test_ci_runs_make_test() -> None:
    assert (ROOT / ".ci/run").read_text().splitlines()[-1] == "exec make test"
    assert os.access(ROOT / ".ci/run", os.X_OK)
    assert os.access(ROOT / "scripts/check", os.X_OK)


def pins(lock: str) -> dict[str, set[str]]:
    """Name to pinned versions (one per platform it differs on) of a lock file; every entry has to carry a hash."""
    text = (ROOT / "requirements" / lock).read_text()
    found: dict[str, set[str]] = {}
    for entry in text.replace("\\\n", " ").splitlines():
        if entry.lstrip().startswith("#") or not entry.strip():
            continue
        pin = re.fullmatch(r"([a-z0-9-]+)==(\S+) (?:; [^#]*?)?(?: *--hash=sha256:[0-9a-f]{64})+ *", entry)
        assert pin is not None, entry
        found.setdefault(pin[1], set()).add(pin[2])
    return found


def normalized(requirement: str) -> str:
    name = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert name is not None
    return re.sub(r"[-_.]+", "-", name[0]).lower()


@pytest.mark.parametrize("lock", LOCKS)
def test_every_locked_package_has_one_version_and_its_hashes(lock: str) -> None:
    assert pins(lock)
    assert all(len(versions) == 1 for name, versions in pins(lock).items() if name != "cryptography")


def test_no_requirements_file_names_a_registry() -> None:
    files = sorted((ROOT / "requirements").iterdir())
    assert {file.name for file in files} == {*LOCKS, "constraints.txt"}
    for file in files:
        assert re.search(r"://|index-url|find-links|trusted-host", file.read_text()) is None, file.name


def test_the_locks_hold_what_the_project_declares() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    groups = project["dependency-groups"]
    assert project["build-system"]["requires"] == groups["build"]
    declared = {
        "base.txt": project["project"]["dependencies"] + groups["build"],
        "test.txt": groups["test"],
        "sdk-build.txt": groups["sdk-build"],
        "sdk.txt": groups["sdk"],
        "lock.txt": groups["lock"],
    }
    for lock, requirements in declared.items():
        assert {normalized(requirement) for requirement in requirements} <= pins(lock).keys(), lock


def test_tests_run_with_the_versions_that_kessai_runs_with() -> None:
    base, test = pins("base.txt"), pins("test.txt")
    assert {name: test[name] for name in test.keys() & base} == {name: base[name] for name in test.keys() & base}
    assert pins("sdk-build.txt")["setuptools"] == pins("sdk.txt")["setuptools"]


def test_the_linux_and_the_macos_wheels_of_compiled_packages_are_locked() -> None:
    """A pin that exists for one platform only would say so in its marker; the two of cryptography complement."""
    text = (ROOT / "requirements/base.txt").read_text()
    markers = dict(re.findall(r"^(\S+==\S+) ; (.*) \\$", text, re.MULTILINE))
    compiled = ("apsw", "httptools", "msgspec", "tink", "uvloop")
    assert not [pin for pin in markers if pin.startswith(compiled)]
    assert sorted(marker for pin, marker in markers.items() if pin.startswith("cryptography==")) == [
        "platform_machine != 'x86_64' or sys_platform != 'darwin'",
        "platform_machine == 'x86_64' and sys_platform == 'darwin'",
    ]
