#!/usr/bin/env bash
# Proves `make demo` and `make test` where nothing is installed but Python and make: a clone of
# this checkout's last commit in a fresh Debian made by debootstrap. As root:
#
#   tests/bare_machine.sh [CACHE] [COMMAND...]     the commands default to: make demo, make test
#
# The root file system has its own processes and mounts, which end with it. pip's settings, proxies
# and certificates of this machine are lent to it, and nothing else of the environment.
set -euo pipefail
cd "$(dirname "$0")/.."
cache=${1:-${XDG_CACHE_HOME:-$HOME/.cache}/chaosrun}
shift || true
[[ $# -gt 0 ]] || set -- "make demo" "make test"
suite=bookworm
base=$cache/bare-$suite.tar

[[ $(id -u) -eq 0 ]] || { echo "this needs root: sudo make bare" >&2; exit 2; }
command -v debootstrap >/dev/null || { echo "apt-get install debootstrap" >&2; exit 2; }

if [[ ! -e $base ]]; then
  echo "making a bare Debian $suite with Python and make (once)"
  making=$(mktemp -d)
  # Debian keeps the part of Python that makes virtual environments in python3-venv.
  debootstrap --variant=minbase --include=python3,python3-venv,make "$suite" "$making" >"$cache/debootstrap.log" ||
    { tail -n 20 "$cache/debootstrap.log" >&2; exit 1; }
  tar --one-file-system -C "$making" -cf "$base.part" . && mv "$base.part" "$base"
  rm -rf "$making"
fi

root=$(mktemp -d)
trap 'rm -rf --one-file-system "$root"' EXIT
tar -C "$root" -xf "$base"
chmod 755 "$root" # the tests let servers run as other users
git clone --quiet --no-local . "$root/root/chaosrun"
[[ -z $(git status --porcelain) ]] || echo "note: only what is committed is proven"

lend() { # a file or folder of this machine, at the same path
  [[ -e $1 ]] && mkdir -p "$root$(dirname "$1")" && cp -aL "$1" "$root$(dirname "$1")/"
}
environment=(HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin)
while IFS= read -r name; do
  environment+=("$name=${!name}")
  [[ ${!name} == /* ]] && lend "${!name}"
done < <(compgen -e | grep -iE '^(PIP_.*|(https?|no|all)_proxy|SSL_CERT_FILE|REQUESTS_CA_BUNDLE)$' | grep -v CACHE)
for file in /etc/resolv.conf /etc/hosts /etc/pip.conf /etc/ssl/certs/ca-certificates.crt; do
  lend "$file" || true
done

for command in "$@"; do
  echo "--- $command"
  # shellcheck disable=SC2016
  unshare --mount --pid --fork --kill-child bash -c '
    set -eu
    mount --bind "$1" "$1" # a root that is a mount point, so that tests can have mounts of their own
    mount -t proc proc "$1/proc"
    mount --rbind /dev "$1/dev" && mount --make-rslave "$1/dev"
    exec chroot "$1" /usr/bin/env -i "${@:3}" sh -c "cd /root/chaosrun && $2"
  ' bare "$root" "$command" "${environment[@]}"
done
