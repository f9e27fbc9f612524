#!/bin/sh
# Installs Debian packages without letting them start anything. Run as root.
# Debian starts a service as soon as its package is installed; the launcher runs brokers of its own, and a
# system-wide one that nobody asked for must neither run now nor at the next boot.
set -eu

policy=/usr/sbin/policy-rc.d
ours=
if [ ! -e "$policy" ]; then
    ours=yes
    trap 'rm -f "$policy"' EXIT
    trap 'exit 130' INT TERM
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
fi

fresh=
for package in "$@"; do
    if ! dpkg -s "$package" >/dev/null 2>&1; then
        fresh="$fresh $package"
    fi
done

export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=300 "$@"

case "$fresh" in
*rabbitmq-server*)
    if command -v systemctl >/dev/null 2>&1; then
        systemctl disable rabbitmq-server.service >/dev/null 2>&1 || true
    fi
    ;;
esac
