#!/bin/sh
# Prints the directory of the root file system that the tests' hosts boot from, and makes it first where there is none: the machine's own release of
# Debian or Ubuntu, as small as systemd, D-Bus and sshd allow, with an account for alice. About 35 s and 170 MB, once for each version of this recipe.
#
# usage: hack/rootfs.sh [RELEASE]    another release of Debian, as trixie: for hosts with another systemd than this machine's release has
#
# It lies in ${XDG_CACHE_HOME:-$HOME/.cache}/reconciler-test, belongs to nobody's project in particular, and may be removed at any time that no test runs.
# It must be root, as the files have owners. Others have no hosts to test on: they are told so, and that is no error.
set -eu

if [ "$(id -u)" -ne 0 ]; then
  echo "hack/rootfs.sh: only root can make hosts: the tests that need one will be skipped" >&2
  exit 0
fi

# shellcheck disable=SC1091
ID='' VERSION_CODENAME='' && . /etc/os-release
case $ID in
  debian | ubuntu) suite=${1:-$VERSION_CODENAME} ;;
  *) suite=${1:-bookworm} ;;
esac
digest=$(printf '%s\n' "$suite" "$(uname -m)" | cat - "$0" | sha256sum | cut -c 1-12)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/reconciler-test
root=$cache/rootfs-$digest

if [ -d "$root" ]; then
  echo "$root"
  exit 0
fi
for tool in mmdebstrap flock unshare; do
  command -v $tool >/dev/null || {
    echo "hack/rootfs.sh: there is no $tool here; hack/deps.sh installs it on Debian and Ubuntu" >&2
    exit 1
  }
done

mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9
[ -d "$root" ] && echo "$root" && exit 0 # somebody else made it meanwhile

rm -rf --one-file-system "$cache"/part-* # of one that was killed
part=$(mktemp -d "$cache/part-XXXXXX")
trap 'rm -rf --one-file-system "$part"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
echo "hack/rootfs.sh: making $root ($suite)" >&2

# What a machine runs and a host in a namespace or a test of a minute has no use for. logind stays, as it makes user managers.
masked='apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service fstrim.timer motd-news.timer
  getty.target systemd-pstore.service systemd-udevd.service systemd-udev-trigger.service systemd-udevd-control.socket systemd-udevd-kernel.socket
  systemd-hwdb-update.service systemd-random-seed.service systemd-boot-system-token.service systemd-modules-load.service kmod-static-nodes.service
  systemd-remount-fs.service systemd-binfmt.service systemd-sysctl.service systemd-sysusers.service systemd-firstboot.service
  systemd-machine-id-commit.service systemd-journal-flush.service systemd-update-utmp.service systemd-update-utmp-runlevel.service
  systemd-tmpfiles-setup-dev.service systemd-tmpfiles-clean.timer systemd-initctl.socket systemd-networkd.service systemd-resolved.service
  systemd-ask-password-console.path systemd-ask-password-wall.path dev-mqueue.mount dev-hugepages.mount sys-kernel-debug.mount
  sys-kernel-tracing.mount sys-kernel-config.mount sys-fs-fuse-connections.mount proc-sys-fs-binfmt_misc.automount
  modprobe@configfs.service modprobe@dm_mod.service modprobe@drm.service modprobe@efi_pstore.service modprobe@fuse.service modprobe@loop.service'

# mmdebstrap mounts /proc and /dev for the packages' scripts: in a mount namespace of its own, so that none can be left behind.
# The words of $masked are separate arguments. Words in '…$1' are for the hook's own shell, and $1 is the root.
# shellcheck disable=SC2086,SC2016
unshare --mount mmdebstrap --quiet --mode=root --variant=minbase \
  --include=systemd-sysv,dbus,dbus-user-session,libpam-systemd,openssh-server,iproute2,sudo \
  --aptopt='Acquire::Retries "3"' \
  --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
  --customize-hook='chroot "$1" useradd --create-home --uid 1000 --user-group --shell /bin/bash alice' \
  --customize-hook='chroot "$1" systemctl --quiet set-default multi-user.target' \
  --customize-hook="chroot \"\$1\" systemctl --quiet mask $(echo $masked)" \
  --customize-hook='ln -s /dev/null "$1/etc/tmpfiles.d/tmp.conf"' \
  --customize-hook='rm -f "$1/etc/machine-id" "$1/etc/hostname" "$1/var/lib/dbus/machine-id"' \
  "$suite" "$part/root" >&2

mv "$part/root" "$root"
echo "$root"
