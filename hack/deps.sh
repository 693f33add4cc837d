#!/bin/sh
# Installs what the tests run beside the project itself: Debian's redis-server, nginx and memcached (real daemons to keep alive), gcc (for -race), and
# what hosts for tests are made with: mmdebstrap (their root), ip (their network) and linux (a kernel that runs as a program, for the limits); ssh, with
# ssh-keygen, and sshd are OpenSSH's own, which ours has to agree with; zsh, ksh, tcsh and fish are login shells
# that hosts have, busybox is all that small ones have, visudo reads the line that lets an account run an agent as root,
# chromium shows the page of a run, and prometheus scrapes its metrics. The bench has ansible beside it, which it is compared with.
#
# usage: hack/deps.sh [redis-server nginx memcached gcc mmdebstrap ip linux ssh sshd zsh ksh tcsh fish busybox visudo chromium prometheus ansible]...    without arguments: all of them, but for ansible
#
# As root on Debian or Ubuntu it installs the missing ones with apt. Anywhere else it says what is missing and how to get it, and fails.
# The services that these packages bring are neither started nor enabled, and nothing that runs already is touched.
set -eu

[ $# -gt 0 ] || set -- redis-server nginx memcached gcc mmdebstrap ip linux ssh sshd zsh ksh tcsh fish busybox visudo chromium prometheus

package() { # the Debian packages that bring a command
  case $1 in
    nginx) echo nginx-light ;;
    gcc) echo gcc libc6-dev ;;
    ip) echo iproute2 ;;
    mmdebstrap) echo mmdebstrap debian-archive-keyring ;;
    linux) echo user-mode-linux ;;
    ssh) echo openssh-client ;;
    sshd) echo openssh-server ;;
    visudo) echo sudo ;;
    ansible) echo ansible-core ;;
    *) echo "$1" ;;
  esac
}

missing='' packages=''
for command; do
  command -v "$command" >/dev/null 2>&1 || [ -x "/usr/sbin/$command" ] || {
    missing="$missing $command" packages="$packages $(package "$command")"
  }
done
[ -n "$missing" ] || exit 0

if ! command -v apt-get >/dev/null 2>&1; then
  echo "hack/deps.sh: missing:$missing. Install them with this system's package manager (Debian calls them:$packages), then run this again." >&2
  exit 1
fi
if [ "$(id -u)" -ne 0 ]; then
  echo "hack/deps.sh: missing:$missing. Install them, then run this again:  sudo hack/deps.sh$missing" >&2
  exit 1
fi

# Debian's packages start and enable their service when they are installed. Their scripts do that through these helpers, which they find in PATH, so
# a PATH for this one run of dpkg that answers in their stead keeps the services off without leaving anything on the machine.
shim=$(mktemp -d)
trap 'rm -rf "$shim"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
for helper in invoke-rc.d deb-systemd-invoke deb-systemd-helper update-rc.d; do
  printf '#!/bin/sh\nexit 0\n' >"$shim/$helper"
  chmod 755 "$shim/$helper"
done

echo "hack/deps.sh: installing$packages"
export DEBIAN_FRONTEND=noninteractive
apt-get update -q
# The names come from the list above, one word each.
# shellcheck disable=SC2086
apt-get install -q -y --no-install-recommends \
  -o DPkg::Lock::Timeout=300 -o DPkg::Path="$shim:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" \
  $packages

for command; do
  command -v "$command" >/dev/null 2>&1 || [ -x "/usr/sbin/$command" ] || {
    echo "hack/deps.sh: apt-get installed$packages, yet there is no $command" >&2
    exit 1
  }
done
