// Package remote shows the program at work on hosts behind SSH as people use it: the real binary on an administrator's machine, real sshd on hosts that systemd booted, each with its own
// address and key. Its tests cut what lies between, kill what works there, and reboot, freeze and fill the hosts; after each fault everything is as declared again, once, and
// nothing was missed meanwhile.
//
// Each test has an administrator of its own, with a home and an owner set. The hosts are shared, as booting them is what costs; a test leaves none of its daemons there, and nothing of this
// machine is used or changed beside directories of its own.
package remote
