#!/usr/bin/env bash
# Install the system libraries and make .venv as pyproject.toml and constraints.txt say.
# Does nothing where that is done. PYTHON names the Python 3.11 to make .venv with.
# With the word "tests", install what only the tests use, too: a browser and a database server.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

STAMP=.venv/.ready # written last: without it a set-up was interrupted, and .venv is made anew
LOG=.venv/pip.log

say() {
    printf 'setup: %s\n' "$*"
}

fail() {
    say "$@" >&2
    exit 1
}

# The Python to build on, never that of .venv itself, which may be removed.
find_python() {
    local candidates=(python3.11 python3 /usr/bin/python3.11) candidate
    [ -z "${PYTHON:-}" ] || candidates=("$PYTHON")
    for candidate in "${candidates[@]}"; do
        "$candidate" -c 'import sys; sys.version_info[:2] == (3, 11) or sys.exit(1); print(sys._base_executable)' \
            2>/dev/null && return
    done
    fail "needs Python 3.11, and ${candidates[*]} is not one; install it (Debian 12: apt-get install python3.11)" \
        "or name one with PYTHON=/path/to/python3.11"
}

install_libraries() {
    local packages
    packages=$("$python" scripts/missing_libraries.py)
    # shellcheck disable=SC2086 # one word a package
    [ -z "$packages" ] || scripts/install_system_packages.sh $packages
}

install_test_programs() {
    local packages=()
    command -v chromium >/dev/null || packages+=(chromium)
    command -v chromedriver >/dev/null || packages+=(chromium-driver)
    compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || packages+=(postgresql)
    [ ${#packages[@]} = 0 ] || scripts/install_system_packages.sh "${packages[@]}"
}

# Everything that decides what is in .venv. First where it is: a virtual environment cannot be moved.
recipe() {
    printf '%s\n' "$PWD"
    cat pyproject.toml constraints.txt scripts/setup.sh | sha256sum
}

usable() {
    [ -f "$STAMP" ] && [ "$(head -n 1 "$STAMP")" = "$PWD" ] &&
        .venv/bin/python -c 'import sys, pip, ducklane; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null
}

make_venv() {
    "$python" -c 'import ensurepip' 2>/dev/null || scripts/install_system_packages.sh python3.11-venv
    say "making .venv with $python"
    rm -rf .venv
    "$python" -m venv .venv
}

pip_install() {
    .venv/bin/python -m pip install --disable-pip-version-check --no-input --progress-bar off \
        --constraint constraints.txt "$@" >>"$LOG" 2>&1
}

install_packages() {
    say "installing the packages of constraints.txt into .venv (some minutes the first time)"
    rm -f "$STAMP"
    : >"$LOG"
    # the newer pip first: Debian 12's is of 2023
    { pip_install pip && pip_install --editable '.[dev]'; } || {
        grep -v '^ *Downloading\|^Collecting\|^WARNING: Location' "$LOG" | tail -n 20 >&2
        fail "pip could not install the packages; its whole output is in $LOG"
    }
    recipe >"$STAMP.new"
    mv "$STAMP.new" "$STAMP"
    say "done"
}

if usable; then python=.venv/bin/python; else python=$(find_python); fi
install_libraries
[ "${1:-}" != tests ] || install_test_programs
if usable && [ "$(cat "$STAMP")" = "$(recipe)" ]; then exit 0; fi
usable || make_venv
install_packages
