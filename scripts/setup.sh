#!/bin/sh
# Set-up from nothing: the environments that the targets of the Makefile work in.
#
#   scripts/setup.sh base                  .venv: what Kessai runs with, and Kessai itself
#   scripts/setup.sh test                  the same, and what the tests run with
#   scripts/setup.sh bench                  .venv-bench: the same as base, in the fastest Python of this machine
#   scripts/setup.sh sdk                   .venv-sdk: the official client, whose libraries must not meet ours
#   scripts/setup.sh node                  tests/acceptance/node/node_modules: the official client for Node
#   scripts/setup.sh lock                  .venv-lock: what `make lock` writes the lock files with
#   scripts/setup.sh system [package ...]  Debian packages: installed as root, else named
#
# Needs a shell and Python >= 3.11. Whatever is in the way is told in one sentence, with status 1. Every distribution
# comes with the hash that its lock file names. A stamp in an environment holds the files it was installed from, so a
# second run compares and returns.
set -eu
unset CDPATH
cd "$(dirname "$0")/.."
root=$(pwd -P)

OLDEST_MINOR=11
NEWEST_MINOR=14 # what the locked wheels were built for; a newer Python is taken only where there is no other
CANDIDATES="python3 python3.14 python3.13 python3.12 python3.11 python"

main() {
    [ $# -gt 0 ] || fail "setup.sh expects base, test, bench, sdk, node, lock or system."
    what=$1
    shift
    case $what in
    base) install .venv base pyproject.toml requirements/base.txt ;;
    test)
        install .venv base pyproject.toml requirements/base.txt
        install .venv test requirements/test.txt
        ;;
    bench)
        [ -n "${PYTHON:-}" ] || [ -x .venv-bench/bin/python ] || PYTHON=$(fastest_python)
        install .venv-bench base pyproject.toml requirements/base.txt
        ;;
    sdk) install .venv-sdk sdk requirements/sdk-build.txt requirements/sdk.txt ;;
    node) install_node ;;
    lock) install .venv-lock lock requirements/lock.txt ;;
    system) system_packages "$@" ;;
    *) fail "setup.sh expects base, test, bench, sdk, node, lock or system, not '$what'." ;;
    esac
}

# install ENVIRONMENT WHAT FILE...: nothing to do when WHAT was installed from these files already.
install() {
    venv=$1
    what=$2
    shift 2
    stamp=$venv/.$what.stamp
    if is_usable && cat "$@" | cmp -s - "$stamp" 2>/dev/null; then
        return
    fi
    is_usable && is_whole || make_environment
    { rm -f "$stamp" && printf '%s\n' "$root" >"$venv/.place"; } 2>/dev/null || fail "cannot write to $root/$venv."
    "install_$what"
    cat "$@" >"$stamp"
}

install_base() {
    say "Installing what Kessai runs with ..."
    pip_install --only-binary=:all: --require-hashes -r requirements/base.txt
    say "Installing Kessai ..."
    pip_install --no-build-isolation --no-deps -e .
}

install_test() {
    say "Installing what the tests run with ..."
    pip_install --only-binary=:all: --require-hashes -r requirements/test.txt
}

install_sdk() {
    say "Installing the official client for the tests ..."
    pip_install --only-binary=:all: --require-hashes -r requirements/sdk-build.txt
    # Two of its distributions are published as source only; setuptools, installed just now, builds them.
    pip_install --only-binary=:all: --no-binary=cybersource-rest-client-python,pgpy \
        --no-build-isolation --use-pep517 --require-hashes -r requirements/sdk.txt
}

# Every package comes with the hash that the lock file names, and runs nothing of its own.
install_node() {
    folder=tests/acceptance/node
    stamp=$folder/node_modules/.stamp
    if cat "$folder/package.json" "$folder/package-lock.json" | cmp -s - "$stamp" 2>/dev/null; then
        return
    fi
    command -v npm >/dev/null || fail "the tests need Node with npm: install them with 'apt install nodejs npm'."
    say "Installing the official client for Node for the tests ..."
    npm ci --prefix "$folder" --no-audit --no-fund --ignore-scripts --loglevel=error >"$folder/npm.log" 2>&1 ||
        fail "npm failed: $(grep -v 'A complete log' "$folder/npm.log" | tail -n 1) (all of it: $folder/npm.log)"
    cat "$folder/package.json" "$folder/package-lock.json" >"$stamp"
}

install_lock() {
    say "Installing what writes the lock files ..."
    pip_install --only-binary=:all: --require-hashes -r requirements/lock.txt
}

pip_install() {
    "$venv/bin/python" -I -m pip install --quiet --no-input --disable-pip-version-check "$@" >"$venv/pip.log" 2>&1 && return
    reason=$(sed -n 's/^ERROR: *//p' "$venv/pip.log" | tail -n 1)
    [ -n "$reason" ] || reason=$(tail -n 1 "$venv/pip.log")
    if grep -q 'connection broken by' "$venv/pip.log"; then
        fail "the package registry cannot be reached; pip said: $reason (all of it: $venv/pip.log)"
    fi
    fail "pip failed: $reason (all of it: $venv/pip.log)"
}

# Whether the environment stands, was made in this folder (its scripts name the path), and by the Python asked for.
is_usable() {
    [ -x "$venv/bin/python" ] && [ ! -e "$venv/.half-made" ] || return 1
    [ ! -e "$venv/.place" ] || [ "$(cat "$venv/.place")" = "$root" ] || return 1
    [ -z "${PYTHON:-}" ] || [ "$(identity "$PYTHON")" = "$(identity "$venv/bin/python")" ]
}

is_whole() {
    "$venv/bin/python" -I -c "import sys, pip; sys.exit(sys.version_info < (3, $OLDEST_MINOR))" 2>/dev/null
}

identity() {
    "$1" -E -c 'import sys; print(sys.version, sys.base_prefix)' 2>/dev/null
}

make_environment() {
    find_python
    say "Making $venv with Python $version ..."
    {
        rm -rf "$venv" && mkdir "$venv" && : >"$venv/.half-made"
    } 2>/dev/null || fail "cannot write to $root: the environment $venv is made there."
    "$python" -I -m venv "$venv" >"$venv/venv.log" 2>&1 ||
        fail "$python cannot make an environment: $(tail -n 1 "$venv/venv.log")"
    rm "$venv/.half-made"
}

# Sets python and version, or fails with the sentence that helps most.
find_python() {
    old='' bare='' newer=''
    if [ -n "${PYTHON:-}" ]; then
        set -- "$PYTHON"
    else
        # shellcheck disable=SC2086 # a list of words
        set -- $CANDIDATES
    fi
    for name in "$@"; do
        path=$(command -v "$name") || continue
        # The interpreter itself, not the link of an environment that we may be about to remove.
        found=$("$path" -E -c 'import sys; print("%d.%d.%d %s" % (sys.version_info[:3] +
            (getattr(sys, "_base_executable", "") or sys.executable,)))' 2>/dev/null </dev/null) || continue
        version=${found%% *}
        case $found in *" /"*) path=${found#* } ;; esac
        if [ "$(minor "$version")" -lt "$OLDEST_MINOR" ]; then
            old=${old:-"$path is $version"}
        elif ! "$path" -I -c 'import venv, ensurepip' >/dev/null 2>&1 </dev/null; then
            bare=${bare:-"$path"} bare_version=${bare_version:-"$version"}
        elif [ "$(minor "$version")" -gt "$NEWEST_MINOR" ]; then
            newer=${newer:-"$path"} newer_version=${newer_version:-"$version"}
        else
            python=$path
            return
        fi
    done
    if [ -n "$newer" ]; then
        python=$newer version=$newer_version
    elif [ -n "$bare" ]; then
        fail "$bare (Python $bare_version) lacks the module venv: install it with 'apt install python3-venv'."
    elif [ -n "$old" ]; then
        fail "Python 3.$OLDEST_MINOR or newer is needed, but $old: install one, or name it with PYTHON=/path/to/python3."
    elif [ -n "${PYTHON:-}" ]; then
        fail "PYTHON=$PYTHON does not run: name a Python 3.$OLDEST_MINOR or newer."
    else
        fail "Python 3.$OLDEST_MINOR or newer is needed and none was found: install python3 and python3-venv."
    fi
}

# The Python that runs a small loop fastest: builds with profile-guided optimization are up to a third faster.
fastest_python() {
    for name in $CANDIDATES /usr/bin/python3; do
        path=$(command -v "$name") || continue
        "$path" -I -c "import sys, venv, ensurepip; sys.exit(not (3, $OLDEST_MINOR) <= sys.version_info[:2] <= (3, $NEWEST_MINOR))" \
            >/dev/null 2>&1 </dev/null || continue
        "$path" -I -c '
import sys, time
def loop():
    begun = time.process_time()
    kept = {}
    for number in range(300_000):
        kept[number & 255] = (str(number), number)
    return time.process_time() - begun
print(min(loop() for _ in range(15)), sys._base_executable or sys.executable)' </dev/null
    done | sort -n | sed -n '1s/^[^ ]* //p'
}

# The minor version of a Python 3; 0 for anything older.
minor() {
    case $1 in
    3.*.*) minor=${1#3.} && echo "${minor%%.*}" ;;
    *) echo 0 ;;
    esac
}

system_packages() {
    missing=''
    for package in "$@"; do
        case $package in # these also come from elsewhere, and then not beside Debian's
        nodejs) ! command -v node >/dev/null || continue ;;
        npm) ! command -v npm >/dev/null || continue ;;
        esac
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing="$missing $package"
    done
    [ -n "$missing" ] || return 0
    command -v dpkg-query >/dev/null ||
        fail "the tests need what Debian calls$missing; without dpkg this cannot be checked: run 'make test SYSTEM_PACKAGES='."
    [ "$(id -u)" -eq 0 ] || fail "the tests need system packages: install them with 'apt install$missing'."
    say "Installing$missing ..."
    # shellcheck disable=SC2086 # a list of words
    {
        apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends -y $missing
    } >/dev/null || fail "apt-get could not install$missing."
}

say() {
    printf '%s\n' "$*"
}

fail() {
    printf 'kessai: %s\n' "$*" >&2
    exit 1
}

main "$@"
