#!/usr/bin/env bash
# install_system_packages.sh PACKAGE...: install Debian packages, or say what to install.
set -euo pipefail

fail() {
    printf 'setup: %s\n' "$*" >&2
    exit 1
}

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

quietly() {
    local output
    output=$("$@" 2>&1) || { printf '%s\n' "$output" >&2; return 1; }
}

command -v apt-get >/dev/null ||
    fail "this system lacks what Debian calls: $*; install it with your package manager, then try again"
if [ "$(id -u)" != 0 ] && ! command -v sudo >/dev/null; then
    fail "missing system packages; run as root: apt-get install $*"
fi

printf 'setup: installing system packages %s\n' "$*"
apt=(env DEBIAN_FRONTEND=noninteractive apt-get -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300)
install=("${apt[@]}" install --yes --no-install-recommends "$@")
# the lists of packages may be there, or may be missing or old
as_root "${install[@]}" >/dev/null 2>&1 ||
    { quietly as_root "${apt[@]}" update && quietly as_root "${install[@]}"; } ||
    fail "apt-get failed (see above); fix that, or run as root: apt-get install $*"
