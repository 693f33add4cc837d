package e2e

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"reconciler.dev/reconciler/test/labhost"
)

// stranger is an item of get --unmanaged -o json.
type stranger struct {
	Kind, Name, Cgroup, User, Owner string
	PIDs                            []int
	Command                         []string
}

// strangers are what get --unmanaged finds, by name.
func (r *remote) strangers() map[string]stranger {
	r.t.Helper()
	var list struct{ Items []stranger }
	if err := json.Unmarshal([]byte(r.ok("reconciler", "get", "--unmanaged", "-o", "json").stdout), &list); err != nil {
		r.t.Fatal(err)
	}
	all := map[string]stranger{}
	for _, s := range list.Items {
		all[s.Name] = s
	}
	return all
}

// TestUnmanaged puts things into our slices that aren't ours: each is told, ours aren't, and neither is what runs elsewhere.
func TestUnmanaged(t *testing.T) {
	t.Parallel()
	const evil = "\x1b[31mred\x1b]0;x\a"
	for kind, prepare := range map[labhost.Kind]func(r *remote) map[string]stranger{
		labhost.Systemd: func(r *remote) map[string]stranger {
			r.ok("systemd-run", "--unit=stray", "--slice=shop.slice", "/bin/sleep", "1000051")
			r.ok("systemd-run", "--unit=evil", "--slice=reconciler.slice", "--uid=alice", "/bin/sh", "-c", "sleep 1000052; :", evil)
			r.ok("systemd-run", "--unit=elsewhere", "/bin/sleep", "1000053")
			return map[string]stranger{
				"stray.service": {Kind: "unit", Cgroup: "/shop.slice/stray.service", User: "root", Command: []string{"/bin/sleep", "1000051"}},
				"evil.service":  {Kind: "unit", Cgroup: "/reconciler.slice/evil.service", User: "alice", Command: []string{"/bin/sh", "-c", "sleep 1000052; :", evil}},
			}
		},
		labhost.Cgroup: func(r *remote) map[string]stranger {
			in := func(group, command string) {
				r.ok("sh", "-c", fmt.Sprintf(`g=$(findmnt -n -o TARGET -t cgroup2 | tail -1)%s; mkdir -p $g; setsid sh -c 'echo $$ >'$g'/cgroup.procs; exec %s' </dev/null >/dev/null 2>&1 & sleep 0.1`, group, command))
			}
			in("/shop.slice/stray", "sleep 1000051")
			in("/reconciler.slice/evil", `sleep 1000052 "$(printf "\\033[31mred")"`)
			in("/else.slice/elsewhere", "sleep 1000053")
			r.put("/etc/other.yaml", strings.NewReplacer("name: web", "name: other", "1000004", "1000054").Replace(limited))
			r.ok("reconciler", "--state-dir", "/var/tmp/other", "apply", "-f", "/etc/other.yaml")
			return map[string]stranger{
				"/shop.slice/stray": {Kind: "cgroup", Cgroup: "/shop.slice/stray", User: "root", Command: []string{"sleep", "1000051"}},
				"/shop.slice/other": {Kind: "cgroup", Cgroup: "/shop.slice/other", User: "root", Command: []string{"/bin/sleep", "1000054"}, Owner: "of daemon other of another reconciler, which keeps /var/tmp/other/run"},
			}
		},
	} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			r := newRemote(t, kind)
			r.put("/etc/daemons/web.yaml", limited)
			r.ok("reconciler", "apply", "-f", "/etc/daemons/web.yaml", "--wait")
			want := prepare(r)
			got := r.strangers()
			for name, w := range want {
				g := got[name]
				if g.Kind != w.Kind || g.Cgroup != w.Cgroup || g.User != w.User || g.Owner != w.Owner || !slices.Equal(g.Command, w.Command) || len(g.PIDs) == 0 {
					t.Errorf("%s is told as %+v, want %+v", name, g, w)
				}
				delete(got, name)
			}
			delete(got, "/reconciler.slice/evil") // its sleep may have refused such a number, and ended
			for name := range got {
				t.Errorf("%s is told, and shouldn't be: %+v", name, got[name])
			}
			table := r.ok("reconciler", "get", "--unmanaged", "-o", "wide").stdout
			if strings.ContainsAny(table, "\x1b\a") || !strings.Contains(table, "stray") {
				t.Errorf("the table: %q", table)
			}
			now := r.get()["web"]
			if len(now.PIDs) != 1 || now.PIDs[0] != now.PID || now.Ports == nil {
				t.Errorf("its own daemon is told with processes %v, ports %v", now.PIDs, now.Ports)
			}
		})
	}
}

// TestPorts has a daemon whose child listens: it is known by its sockets.
func TestPorts(t *testing.T) {
	t.Parallel()
	r := newRemote(t, labhost.Bare)
	r.put("/etc/daemons/web.yaml", `apiVersion: reconciler.dev/v1
kind: DaemonSpec
metadata: {name: web}
spec:
  binary: /bin/sh
  args: [-c, "perl -MIO::Socket::INET -e '$s = IO::Socket::INET->new(Listen => 1, LocalAddr => q(127.0.0.1:8123)); sleep 1000055' & wait"]
`)
	r.ok("reconciler", "apply", "-f", "/etc/daemons/web.yaml", "--wait")
	r.until("its port is known", func() bool {
		now := r.get()["web"]
		return len(now.PIDs) == 2 && now.PIDs[0] == now.PID && len(now.Ports) == 1 && now.Ports[0].Port == 8123 && now.Ports[0].Address == "127.0.0.1" && now.Ports[0].PID == now.PIDs[1]
	})
	r.shows("get -o wide", r.ok("reconciler", "get", "-o", "wide").stdout, "127.0.0.1:8123")
}
