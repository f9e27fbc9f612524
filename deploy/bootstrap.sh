#!/bin/sh
# Makes the environment that everything else runs in: .venv, with exactly what requirements/ pins.
#   deploy/bootstrap.sh            the environment; leaves the stamp .venv/.ready
#   deploy/bootstrap.sh browser    Chromium for the tests, where there is none
#   deploy/bootstrap.sh broker     RabbitMQ, where there is none
set -eu
cd "$(dirname "$0")/.."

PYTHON=${PYTHON:-python3}

say() { printf '• %s\n' "$*"; }

# install_package PACKAGE WHY: installs it when we may, and says the exact command when we may not.
install_package() {
    if ! command -v apt-get >/dev/null 2>&1; then
        say "$1 is missing ($2), and this is not Debian or Ubuntu: install it by hand, then try again." >&2
        exit 1
    fi
    say "installing $1: $2"
    log=$(mktemp)
    if [ "$(id -u)" = 0 ]; then
        sh deploy/apt-install.sh "$1" >"$log" 2>&1 || { tail -n 30 "$log" >&2; exit 1; }
    elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
        sudo -n sh deploy/apt-install.sh "$1" >"$log" 2>&1 || { tail -n 30 "$log" >&2; exit 1; }
    else
        say "only root may install it. Run this, then try again:" >&2
        say "    sudo sh deploy/apt-install.sh $1" >&2
        exit 1
    fi
    rm -f "$log"
}

# quietly COMMAND…: shows what it printed only when it fails.
quietly() {
    log=$(mktemp)
    "$@" >"$log" 2>&1 || { cat "$log" >&2; exit 1; }
    rm -f "$log"
}

environment() {
    if ! "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        say "Python 3.11 or newer is needed; choose one: PYTHON=python3.12 make …" >&2
        exit 1
    fi
    if [ ! -x .venv/bin/python ] || ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
        if ! "$PYTHON" -c 'import ensurepip' 2>/dev/null; then
            install_package python3-venv "Debian keeps ensurepip in a package of its own"
        fi
        say "creating .venv"
        quietly "$PYTHON" -m venv --clear .venv
    fi
    say "installing uv"
    quietly .venv/bin/python -m pip install --disable-pip-version-check --require-hashes -r requirements/uv.txt
    say "installing what requirements/lock.txt pins"
    # The virtual environment by its path: an active one of another project must not be changed.
    VIRTUAL_ENV="$PWD/.venv"
    export VIRTUAL_ENV
    quietly .venv/bin/uv pip sync --quiet --require-hashes requirements/lock.txt
    say "installing the portal itself, editable"
    quietly .venv/bin/uv pip install --quiet --no-deps --no-build-isolation -e .
    touch .venv/.ready
}

browser() {
    for name in chromium chromium-browser google-chrome; do
        if command -v "$name" >/dev/null 2>&1; then
            return
        fi
    done
    install_package chromium "the tests look at the portal's pages in a real browser"
}

case "${1:-environment}" in
environment) environment ;;
browser) browser ;;
broker) .venv/bin/python -m deploy.local.rabbitmq ;;
*)
    say "unknown part: $1" >&2
    exit 2
    ;;
esac
