// Package labhost gives tests real Linux hosts: with systemd, without it, with a cgroup tree of their own or with none, and with a kernel of their own where limits
// must hold.
//
// A test that is to run on such a host is wrapped in Test; one that looks at a host from outside, reboots it or cuts its power gets it from Start. Both need
//
//	func TestMain(m *testing.M) { labhost.Main(m) }
//
// A program that is no test, as one that measures, calls Stage and Open instead.
//
// # How it works
//
// The first host that is asked for starts the lab: this binary again, as process 1 of fresh network, mount and PID namespaces. It holds a bridge, 10.77.0.1/24,
// and a file system in memory. Each host is a process 1 of namespaces below those, with its own root: an overlay, in the lab's memory, of a small Debian root
// (hack/rootfs.sh) or of the machine's own. Its eth0 is on the bridge, its /sys is read-only, its cgroup root is a cgroup of this run. It boots in a fraction of a
// second, and many run side by side. A kernel of its own is User Mode Linux, a program that runs in the lab's namespaces as well.
//
// A Server is a machine that stands in the lab's network with such a kernel, and so with a clock of its own.
//
// What boots systemd hosts is what boots any machine: units are started by process 1, a service of the host runs the test, sshd answers at the host's address.
//
// # What it must never do
//
// Change anything of the machine: no mount outside of the lab's namespaces, no interface, no setting, no cgroup beside its own, labhost-RANDOM. Nor leave anything: a
// host ends with its test; the lab ends with the test process, however that ends, because its standard input does; and the kernel kills what is in its PID namespace.
// What a killed run leaves are empty cgroups, which the next run removes. What stays are the files of /run/lock/labhost, by whose locks all test programs of a machine share the
// room that it has for hosts with systemd: a start waits for room.
//
// It needs root, as that is who may make namespaces of a machine. For others each test that wants a host is skipped, and says so.
package labhost
