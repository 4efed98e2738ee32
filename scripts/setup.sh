#!/usr/bin/env bash
# Install the system libraries and make .venv as pyproject.toml and constraints.txt say.
# Does nothing where that is done. PYTHON names the Python to make .venv with.
# With the word "tests", install what only the tests use, too: a browser and a database server.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

STAMP=.venv/.ready # written last: without it a set-up was interrupted, and .venv is made again
LOG=.venv/pip.log

say() {
    printf 'setup: %s\n' "$*"
}

fail() {
    say "$@" >&2
    exit 1
}

install_libraries() {
    local packages
    packages=$("$python" scripts/missing_libraries.py)
    # shellcheck disable=SC2086 # one word a package
    [ -z "$packages" ] || scripts/install_system_packages.sh $packages
}

# Where one cannot be had, the rest is installed all the same, and pytest says which tests it does not run; CI runs all.
install_test_programs() {
    local missing=0
    { chromium --version && chromedriver --version; } >/dev/null 2>&1 ||
        scripts/install_system_packages.sh chromium chromium-driver || missing=1
    compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null ||
        scripts/install_system_packages.sh postgresql || missing=1
    [ "$missing" = 0 ] || [ "${CI:-}" != true ] || fail "CI=true asks for all tests, and for all that they use"
    [ "$missing" = 0 ] || say "going on without; the tests that need them will not be run" >&2
}

# Everything that decides what is in .venv. First where it is: a virtual environment cannot be moved.
recipe() {
    printf '%s\n' "$PWD"
    cat pyproject.toml constraints.txt scripts/setup.sh | sha256sum
}

usable() {
    [ -f "$STAMP" ] && [ "$(head -n 1 "$STAMP")" = "$PWD" ] &&
        .venv/bin/python scripts/check_python.py >/dev/null && .venv/bin/python -c 'import pip, ducklane' &&
        { [ -z "${PYTHON:-}" ] || [ "$(readlink -f .venv/bin/python)" = "$(readlink -f "$python")" ]; }
} 2>/dev/null

make_venv() {
    "$python" -c 'import ensurepip' 2>/dev/null ||
        scripts/install_system_packages.sh "python$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')-venv"
    say "making .venv with $python"
    rm -rf .venv
    "$python" -m venv .venv
}

pip_install() {
    .venv/bin/python -m pip install --disable-pip-version-check --no-input --progress-bar off --no-compile \
        --constraint constraints.txt "$@" >>"$LOG" 2>&1
}

# pip would do it on one core, which takes longer than all its other work. A file that is left out, or that is no
# Python 3, is compiled if it is ever imported. The warnings are of the packages' own code.
compile_packages() {
    .venv/bin/python -W ignore -m compileall -qq -j 0 -x 'site-packages/.*/tests?/' .venv/lib >>"$LOG" 2>&1 || true
}

install_packages() {
    say "installing the packages of constraints.txt into .venv (some minutes the first time)"
    rm -f "$STAMP"
    : >"$LOG"
    # the newer pip first: Debian 12's is of 2023; and what builds source packages, else fetched anew for each of them
    { pip_install pip setuptools && pip_install --no-build-isolation --editable '.[dev]'; } || {
        grep -v '^ *Downloading\|^Collecting\|^WARNING: Location' "$LOG" | tail -n 20 >&2
        fail "pip could not install the packages; its whole output is in $LOG"
    }
    compile_packages
    recipe >"$STAMP.new"
    mv "$STAMP.new" "$STAMP"
    say "done"
}

[ "$(uname -s)" = Linux ] ||
    fail "ducklane needs Linux, and this is $(uname -s): use a virtual machine or Docker, on Windows also WSL2"
python=
[ -z "${PYTHON:-}" ] || python=$(scripts/find_python.sh)
if usable; then python=.venv/bin/python; else python=${python:-$(scripts/find_python.sh)}; fi
install_libraries
if usable && [ "$(cat "$STAMP")" = "$(recipe)" ]; then
    [ "${1:-}" != tests ] || install_test_programs
    exit
fi
usable || make_venv
# beside pip, which waits for the network as well
[ "${1:-}" != tests ] || install_test_programs & programs=$!
install_packages
wait "$programs"
