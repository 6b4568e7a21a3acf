#!/bin/sh
# What the verbs need before any Python of ours can run: tools from the distribution, a virtual environment
# with the hashed requirements. Idempotent, quick when there is nothing to do; then it runs the verb.
#   bootstrap.sh VERB [ARGUMENTS]         REQUIREMENTS="a.txt b.txt" adds more locks than the controller's
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd)
venv="$root/.venv"
logs="$root/.laurel/logs"
no_vagrant="$root/.laurel/no-vagrant" # says that the distribution has none; containers are booted without it
mkdir -p "$logs"

fail() {
    printf 'laurel: %s\n' "$*" >&2
    exit 2
}

seconds() { date +%s; }

# Ansible 12 runs on these; the newest first that is there and can make virtual environments.
find_python() {
    for candidate in python3.13 python3.12 python3.11 python3; do
        if command -v "$candidate" > /dev/null 2>&1 && "$candidate" -c \
            'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2> /dev/null; then
            command -v "$candidate"
            return
        fi
    done
}

# What runs the hosts: as asked for, or as the cluster was made.
provider() {
    [ -n "${PROVIDER:-}" ] || PROVIDER=$(sed -n 's/^ *cluster_provider: *//p' "$root/ansible/inventories/local/addresses.yml" 2> /dev/null) || :
    printf '%s' "${PROVIDER:-docker}"
}

there() { command -v "$1" > /dev/null 2>&1 || [ -x "/usr/sbin/$1" ]; }

# A vendor's Vagrant takes no plugins from Debian; it has `vagrant plugin install`.
libvirt_packages() {
    case $(readlink -f "$(command -v vagrant)") in
    /opt/*) ;;
    *) [ -d /usr/share/doc/vagrant-libvirt ] || printf 'vagrant-libvirt ' ;;
    esac
    there libvirtd || printf 'libvirt-daemon-system '
    there virsh || printf 'libvirt-clients '
    there qemu-system-x86_64 || printf 'qemu-system-x86 '
    there qemu-img || printf 'qemu-utils '
    there dnsmasq || printf 'dnsmasq-base '
}

# Debian packages for the commands that are missing. Releases are built in a container, whatever the hosts are.
missing_packages() {
    [ -n "$(find_python)" ] || printf 'python3 python3-venv '
    command -v ssh > /dev/null 2>&1 || printf 'openssh-client '
    if [ "${ENVIRONMENT:-local}" = local ]; then
        command -v vagrant > /dev/null 2>&1 || [ "$(provider)/$(cat "$no_vagrant" 2> /dev/null)" = docker/none ] || printf 'vagrant '
        docker info > /dev/null 2>&1 || there dockerd || printf 'docker.io iptables '
        [ "$(provider)" != libvirt ] || libvirt_packages
    fi
    # Only needed where no registry has Debian's image, and only root can use it.
    if [ "$(id -u)" = 0 ] && ! command -v mmdebstrap > /dev/null 2>&1; then printf 'mmdebstrap '; fi
}

apt() {
    DEBIAN_FRONTEND=noninteractive apt-get "$@" >> "$logs/apt.log" 2>&1 && return
    printf ' failed\n'
    tail -n 15 "$logs/apt.log" >&2
    fail "apt-get could not install: $wanted- the whole log is $logs/apt.log"
}

install_packages() {
    wanted=$(missing_packages)
    [ -n "$wanted" ] || return 0
    if [ "$(id -u)" != 0 ]; then
        [ "$wanted" != 'vagrant ' ] || [ "$(provider)" != docker ] || return 0 # containers can be booted without it
        fail "missing on this machine: $wanted- as root: apt-get install $wanted"
    fi
    command -v apt-get > /dev/null 2>&1 || fail "missing on this machine: $wanted- and there is no apt-get; Laurel's verbs run on Debian 12 or newer and on Ubuntu"
    printf '  Installing %s…' "$wanted"
    started=$(seconds)
    : > "$logs/apt.log"
    apt update
    # Ubuntu 24.04 has no Vagrant in its archive.
    apt-cache show vagrant > /dev/null 2>&1 || echo none > "$no_vagrant"
    wanted=$(missing_packages)
    # shellcheck disable=SC2086 # a list of packages
    [ -z "$wanted" ] || apt install --yes --no-install-recommends $wanted
    printf ' done in %s s\n' "$(($(seconds) - started))"
}

install_python() {
    locks="$root/ansible/requirements.txt"
    for lock in ${REQUIREMENTS:-}; do locks="$locks $root/$lock"; done
    for lock in $locks; do
        stamp="$venv/.installed-$(printf '%s' "${lock#"$root"/}" | tr '/' '-')"
        [ -f "$stamp" ] && cmp -s "$stamp" "$lock" && continue
        python=$(find_python)
        [ -n "$python" ] || fail "no Python from 3.11 to 3.13 with venv was found; on Debian 12 and Ubuntu 24.04: apt-get install python3 python3-venv"
        printf '  Installing the Python packages of %s …' "${lock#"$root"/}"
        started=$(seconds)
        [ -x "$venv/bin/pip" ] || "$python" -m venv --clear "$venv" > "$logs/venv.log" 2>&1 || fail "no virtual environment could be made: $logs/venv.log"
        if ! "$venv/bin/pip" install --quiet --disable-pip-version-check --require-hashes --requirement "$lock" > "$logs/pip.log" 2>&1; then
            printf ' failed\n'
            tail -n 15 "$logs/pip.log" >&2
            fail "pip could not install $lock; the whole log is $logs/pip.log"
        fi
        cp "$lock" "$stamp"
        printf ' done in %s s\n' "$(($(seconds) - started))"
    done
}

case "${1:-}" in doctor) [ -x "$venv/bin/python" ] || install_packages ;; *) install_packages ;; esac
install_python
PYTHONPATH="$root/docker" exec "$venv/bin/python" -m cluster "$@"
