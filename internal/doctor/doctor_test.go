package doctor

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"reconciler.dev/reconciler/internal/layout"
)

var update = flag.Bool("update", false, "write the golden files instead of comparing")

// healthy is a machine that lacks nothing, for root.
func healthy() Facts {
	all := []string{"cpuset", "cpu", "io", "memory", "pids"}
	return Facts{
		Platform: Platform{OS: "linux", Arch: "amd64", Kernel: "6.1.0", Distribution: "Debian GNU/Linux 12 (bookworm)"},
		User:     "root", Init: "systemd", Systemd: true, SystemdVersion: "252", Grub: true,
		Cgroup: Cgroup{Mount: "/sys/fs/cgroup", Root: all, Group: "/", Has: all},
		Drivers: []Driver{
			{Kind: "systemd", Usable: true, Chosen: true},
			{Kind: "cgroup", Reason: "systemd keeps the cgroups of this machine", Mend: "systemd-run --scope"},
			{Kind: "process", Usable: true},
		},
		Limits: Limits{Enforced: []string{"cpuLimit", "memoryLimit"}},
		Dirs:   []Dir{{Name: "state", Path: "/var/lib/reconciler", Free: 50 << 30, Size: 100 << 30, FreeFiles: 1000, Files: 2000}},
		Clock:  Clock{Known: true, Synchronised: true, Now: time.Unix(1e9, 0).UTC()},
	}
}

type change = func(*Facts)

func user(f *Facts) {
	f.UID, f.User, f.Lingers = 1000, "alice", true
	f.Cgroup.Group, f.Cgroup.Has = "/user.slice/user-1000.slice/user@1000.service", []string{"memory", "pids"}
	f.Limits = Limits{Enforced: []string{"memoryLimit"}, Lost: []Loss{{"cpuLimit", "no cpu controller"}, {"cpuWeight", "no cpu controller"}, {"ioWeight", "no io controller"}}}
}

func bare(f *Facts) {
	f.Init, f.Systemd, f.SystemdVersion, f.Grub = "tini", false, "", false
	f.Cgroup = Cgroup{}
	f.Drivers = []Driver{
		{Kind: "systemd", Reason: "systemd isn't the first process of this machine"},
		{Kind: "cgroup", Reason: "no cgroup2 file system is mounted", Mend: "as root: mount -t cgroup2 cgroup2 /sys/fs/cgroup"},
		{Kind: "process", Usable: true, Chosen: true},
	}
	f.Limits = Limits{Lost: []Loss{{"memoryLimit", "the process driver limits nothing"}}}
}

func hybrid(f *Facts) {
	f.Cgroup = Cgroup{Mount: "/sys/fs/cgroup/unified", Group: "/", V1: []string{"cpu", "cpuacct", "blkio", "memory", "pids"}}
}

func disk(edit func(*Dir)) change { return func(f *Facts) { edit(&f.Dirs[0]) } }

func manifest(d Daemon) change { return func(f *Facts) { f.Daemons = append(f.Daemons, d) } }

// machines are what Examine is shown.
func machines() map[string][]change {
	return map[string][]change{
		"lacks nothing":               nil,
		"a user":                      {user},
		"a user who doesn't linger":   {user, func(f *Facts) { f.Lingers = false }},
		"a journal on the disk":       {user, func(f *Facts) { f.Journal.OnDisk = true }},
		"a journal in memory":         {user, func(f *Facts) { f.Journal = Journal{InMemory: true, Readable: true} }},
		"somebody else's journal":     {user, func(f *Facts) { f.Journal.InMemory = true }},
		"root's journal":              {func(f *Facts) { f.Journal.InMemory = true }},
		"neither systemd nor cgroups": {bare},
		"only cgroup v1":              {bare, func(f *Facts) { f.Cgroup.V1 = []string{"cpu"} }},
		"hybrid, with systemd":        {hybrid},
		"hybrid, without systemd":     {bare, hybrid},
		"no driver at all":            {bare, func(f *Facts) { f.Drivers = f.Drivers[:2] }},
		"another system": {func(f *Facts) {
			*f = Facts{Platform: Platform{OS: "darwin", Arch: "arm64"}, Drivers: []Driver{{Kind: "process", Reason: "it needs Linux"}}}
		}},
		"disk full":                           {disk(func(d *Dir) { d.Free = 1 << 20 })},
		"disk nearly full":                    {disk(func(d *Dir) { d.Free, d.Size = 100<<20, 100<<30 })},
		"a small disk that is empty":          {disk(func(d *Dir) { d.Free, d.Size = 64<<20, 65<<20 })},
		"no inode left":                       {disk(func(d *Dir) { d.FreeFiles = 0 })},
		"few inodes left":                     {disk(func(d *Dir) { d.FreeFiles, d.Files = 10, 1000 })},
		"a file system without inode numbers": {disk(func(d *Dir) { d.FreeFiles, d.Files = 0, 0 })},
		"read-only":                           {disk(func(d *Dir) { d.ReadOnly = true })},
		"not to be written to":                {disk(func(d *Dir) { d.Err = "permission denied" })},
		"noexec":                              {disk(func(d *Dir) { d.NoExec = true })},
		"a clock that nothing keeps right":    {func(f *Facts) { f.Clock.Synchronised = false }},
		"a clock that can't be told":          {func(f *Facts) { f.Clock.Known = false }},
		"a clock that was set back":           {func(f *Facts) { f.Clock.Written = f.Clock.Now.Add(24 * time.Hour) }},
		"a clock that was corrected a little": {func(f *Facts) { f.Clock.Written = f.Clock.Now.Add(time.Second) }},
		"a GPU":                               {func(f *Facts) { f.GPU = []string{"/usr/bin/nvidia-smi"} }},
		"manifests that don't load":           {func(f *Facts) { f.Mistakes = []string{"web.yaml:5:11: spec.binary: \"web\" is not found"} }},
		"a daemon":                            {manifest(Daemon{Name: "web", Ports: []Port{{Field: "spec.health.tcp", Address: "127.0.0.1:80"}}})},
		"a daemon of nobody's": {manifest(Daemon{Name: "web", Source: "web.yaml:1", User: "no one's", UserErr: "there is no such user", Refused: "user no one's: there is none",
			Ports: []Port{{"spec.health.tcp", "127.0.0.1:80", "nginx (pid 7)"}}})},
		"a daemon that is refused": {manifest(Daemon{Name: "web", Refused: "spec.binary: there is no /usr/bin/web", Lost: []Loss{{"spec.nice", "not permitted"}}})},
	}
}

// TestExamine compares what is said of each machine, where it differs from what is said of one that lacks nothing.
func TestExamine(t *testing.T) {
	usual := Examine(healthy())
	var b strings.Builder
	for _, name := range slices.Sorted(func(yield func(string) bool) {
		for n := range machines() {
			if !yield(n) {
				return
			}
		}
	}) {
		f := healthy()
		for _, edit := range machines()[name] {
			edit(&f)
		}
		found := Examine(f)
		fmt.Fprintf(&b, "# %s: %s\n", name, Worst(found))
		for _, x := range found {
			if name != "lacks nothing" && slices.Contains(usual, x) {
				continue
			}
			fmt.Fprintf(&b, "%-4s %s: %s\n", x.Status, x.Check, x.Found)
			if x.Lost != "" {
				fmt.Fprintf(&b, "     lost: %s\n", x.Lost)
			}
			if x.Mend != "" {
				fmt.Fprintf(&b, "     mend: %s\n", x.Mend)
			}
		}
	}
	file := filepath.Join("testdata", "examine.golden")
	if *update {
		if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), b.String()); diff != "" {
		t.Error(diff)
	}
}

// TestEveryFindingIsOfUse checks that what isn't well says what is lost by it, and that what is well asks for nothing.
func TestEveryFindingIsOfUse(t *testing.T) {
	for name, edits := range machines() {
		f := healthy()
		for _, edit := range edits {
			edit(&f)
		}
		for _, x := range Examine(f) {
			switch {
			case x.Check == "" || x.Found == "":
				t.Errorf("%s: an empty finding: %+v", name, x)
			case x.Status == OK && (x.Lost != "" || x.Mend != ""), x.Status != OK && x.Lost == "":
				t.Errorf("%s: %+v", name, x)
			}
		}
	}
}

func TestGather(t *testing.T) {
	if runtime.GOOS != "linux" {
		return
	}
	dirs := layout.Under(filepath.Join(t.TempDir(), "not", "made"))
	f := Gather(dirs)
	if f.Platform.Kernel == "" || f.Init == "" || f.User == "" || len(f.Dirs) != 3 {
		t.Errorf("gathered %+v", f)
	}
	for _, d := range f.Dirs {
		if d.Err != "" || d.Size == 0 || !strings.HasPrefix(dirs.State, d.Path) {
			t.Errorf("the directory of one that isn't made yet: %+v", d)
		}
	}
	if err := os.MkdirAll(dirs.State, 0o755); err != nil {
		t.Fatal(err)
	}
	ahead := time.Now().Add(time.Hour).Truncate(time.Second)
	file := filepath.Join(dirs.State, "events")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(file, ahead, ahead); err != nil {
		t.Fatal(err)
	}
	if got := Gather(dirs).Clock.Written; !got.Equal(ahead) {
		t.Errorf("written last at %s, want %s", got, ahead)
	}
	if err := os.WriteFile(dirs.Log, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if d := Gather(dirs).Dirs[2]; d.Err == "" {
		t.Errorf("a file in the place of a directory: %+v", d)
	}
}
