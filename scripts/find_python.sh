#!/usr/bin/env bash
# find_python.sh [ROOT]: print the path of the Python to make .venv with, or say how to get one.
# It is the one that PYTHON names; else the machine's own python3 where ducklane can be installed with that; else
# the newest one that is found. ROOT is where the system's folders lie, / unless told.
set -euo pipefail
root=${1:-}
check=$(dirname "${BASH_SOURCE[0]}")/check_python.py

fail() {
    printf 'setup: %s\n' "$*" >&2
    exit 1
}

candidates() {
    local version
    printf '%s\n' "${PYTHON:-python3}"
    for version in 3.13 3.12 3.11; do
        printf '%s\n' "python$version" "$root/usr/bin/python$version" "$root/usr/local/bin/python$version"
        {
            compgen -G "${PYENV_ROOT:-$HOME/.pyenv}/versions/$version.*/bin/python$version" || true
            compgen -G "${UV_PYTHON_INSTALL_DIR:-$HOME/.local/share/uv/python}/cpython-$version.*/bin/python$version" || true
        } | sort --reverse --version-sort
    done
}

# How this distribution's users get a suitable Python.
cure() {
    local ID='' VERSION_ID=''
    # shellcheck source=/dev/null
    [ ! -r "$root/etc/os-release" ] || . "$root/etc/os-release"
    case "$ID $VERSION_ID" in
        "debian 12" | "debian 13" | "ubuntu 24.04") echo "as root: apt-get install python3-venv" ;;
        ubuntu*) echo "as root: add-apt-repository ppa:deadsnakes/ppa && apt-get install python3.13-venv" ;;
        fedora*) echo "as root: dnf install python3.13" ;;
        rhel* | rocky* | almalinux* | centos*) echo "as root: dnf install python3.12" ;;
        *) echo "with uv: uv python install 3.13" ;;
    esac
}

without_venv='' flaw=''
while read -r candidate; do
    # PYTHON=python3.13 may lie where no shell finds it
    [ "${candidate##*/}" = "${PYTHON:-${candidate##*/}}" ] || [ "$candidate" = "$PYTHON" ] || continue
    status=0
    answer=$("$candidate" "$check" 2>/dev/null) || status=$?
    case $status in
        0) printf '%s\n' "$answer" && exit ;;
        2)
            flaw=${flaw:-lacks ensurepip}
            # of the system's own, Debian has the rest in a package
            [[ $answer != "$root"/usr/bin/* ]] || without_venv=${without_venv:-$answer}
            ;;
        *) flaw=${flaw:-${answer:-is not there}} ;;
    esac
done < <(candidates)

if [ -n "$without_venv" ]; then
    printf '%s\n' "$without_venv"
elif [ -n "${PYTHON:-}" ]; then
    fail "PYTHON=$PYTHON $flaw; name a Python 3.11, 3.12 or 3.13"
else
    fail "needs Python 3.11, 3.12 or 3.13, but python3 $flaw; $(cure), or name one with PYTHON=/path/to/python"
fi
