#!/usr/bin/env bash
# Brings what the tests need and no Python package carries: PostgreSQL's server programs, Chromium, and Go and
# Java for the programs of docs/validating-tokens.md.
# What is already there stays as it is; nothing is started.
set -euo pipefail

has_postgresql() {
    local folder
    for folder in /usr/lib/postgresql/*/bin "$(pg_config --bindir 2>/dev/null || true)" \
        "$(dirname "$(readlink -f "$(command -v postgres || true)")" 2>/dev/null || true)"; do
        if [[ -x "$folder/initdb" && -x "$folder/postgres" && -x "$folder/psql" ]]; then
            return 0
        fi
    done
    return 1
}

has_chromium() {
    local name
    for name in chromium chromium-browser google-chrome google-chrome-stable; do
        if command -v "$name" >/dev/null; then
            return 0
        fi
    done
    # Playwright's own, which it finds by itself.
    compgen -G "${PLAYWRIGHT_BROWSERS_PATH:-$HOME/.cache/ms-playwright}/chromium-*" >/dev/null
}

refuse() {
    echo "make test needs $1. $2" >&2
    exit 1
}

as_root() {
    if [[ "$(id -u)" == 0 ]]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        return 1
    fi
}

apt_install() {
    command -v apt-get >/dev/null || return 1
    local log
    log="$(mktemp)"
    echo "Installing $* from the system's packages (once) ..."
    if as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$@" >"$log" 2>&1 ||
        { as_root apt-get update -qq >>"$log" 2>&1 &&
            as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$@" >>"$log" 2>&1; }; then
        rm -f "$log"
        return 0
    fi
    tail -n 20 "$log" >&2
    rm -f "$log"
    return 1
}

install_postgresql() {
    # Debian's package would create and start a cluster of its own; the tests only need the programs.
    if [[ ! -e /etc/postgresql-common/createcluster.conf ]]; then
        apt_install postgresql-common || return 1
        as_root sed -i -E 's/^#?[[:space:]]*create_main_cluster[[:space:]]*=.*/create_main_cluster = false/' \
            /etc/postgresql-common/createcluster.conf || return 1
    fi
    apt_install postgresql
}

install_chromium() {
    apt_install chromium && has_chromium && return 0
    # Ubuntu's package only points to a snap, and other systems name it differently.
    .venv/bin/python -m playwright install chromium
}

cd "$(dirname "$0")/.."

if ! has_postgresql; then
    install_postgresql && has_postgresql ||
        refuse "PostgreSQL's server programs (14 or newer)" "Install them as root, for example: apt-get install postgresql"
fi
if ! has_chromium; then
    install_chromium && has_chromium ||
        refuse "Chromium" "Install it as root, for example: apt-get install chromium"
fi
if ! command -v go >/dev/null; then
    { apt_install golang-go && command -v go >/dev/null; } ||
        refuse "Go (1.19 or newer)" "Install it as root, for example: apt-get install golang-go"
fi
if ! command -v javac >/dev/null; then
    { apt_install default-jdk-headless && command -v javac >/dev/null; } ||
        refuse "a Java development kit (17 or newer)" "Install it as root, for example: apt-get install default-jdk-headless"
fi
