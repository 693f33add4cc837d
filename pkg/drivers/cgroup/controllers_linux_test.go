package cgroup

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"reconciler.dev/reconciler/pkg/spec"
)

// files makes a directory tree that looks like cgroups: the files of each group, by its path.
func files(t *testing.T, groups map[string]map[string]string) string {
	t.Helper()
	top := t.TempDir()
	for group, files := range groups {
		if err := os.MkdirAll(filepath.Join(top, group), 0o755); err != nil {
			t.Fatal(err)
		}
		for name, text := range files {
			if err := os.WriteFile(filepath.Join(top, group, name), []byte(text+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	return top
}

// TestEnable: what is asked for is enabled from the subtree down to the parent of the leaf, no further and not above; what is enabled already isn't written, and what isn't there isn't tried.
func TestEnable(t *testing.T) {
	const all = "cpuset cpu io"
	group := func(enabled string) map[string]string {
		return map[string]string{"cgroup.controllers": all, "cgroup.subtree_control": enabled, "cgroup.type": "domain", "cgroup.procs": ""}
	}
	top := files(t, map[string]map[string]string{
		"": group("old"), "ours": group(""), "ours/a.slice": group("cpu"), "ours/a.slice/b": group(""), "ours/a.slice/b/leaf": group("old"), "ours/other": group("old"),
	})
	cs := controllers{sub: &subtree{mount: mount{point: top, root: "/"}, rel: "/ours"}, done: map[string]enabled{}}
	cs.enable("/ours/a.slice/b/leaf", &spec.Cgroup{CPULimit: 500}, false)
	got := map[string]string{}
	for _, g := range []string{"", "ours", "ours/a.slice", "ours/a.slice/b", "ours/a.slice/b/leaf", "ours/other"} {
		got[g] = strings.Join(words(filepath.Join(top, g), "cgroup.subtree_control"), " ")
	}
	want := map[string]string{"": "old", "ours": "+cpu", "ours/a.slice": "cpu", "ours/a.slice/b": "+cpu", "ours/a.slice/b/leaf": "old", "ours/other": "old"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +have)\n%s", diff)
	}
}

// TestWhy says for each limit that can't be had why that is.
func TestWhy(t *testing.T) {
	memory := limits()[1]
	if memory.controller != "memory" {
		t.Fatal("the table was sorted anew")
	}
	self := fmt.Sprint(os.Getpid())
	const c, s, typ, procs = "cgroup.controllers", "cgroup.subtree_control", "cgroup.type", "cgroup.procs"
	for name, tt := range map[string]struct {
		groups map[string]map[string]string
		v1     map[string]string
		rel    string
		want   string
	}{
		"the root, which has it":        {map[string]map[string]string{"": {c: "memory", s: ""}}, nil, "/", ""},
		"the root, where it is on v1":   {map[string]map[string]string{"": {c: "hugetlb", s: ""}}, map[string]string{"memory": "/x"}, "/", "no memory controller in TOP: it is on cgroup v1"},
		"the root, of another kernel":   {map[string]map[string]string{"": {c: "", s: ""}}, nil, "/", "no memory controller in TOP: the kernel has none"},
		"not delegated":                 {map[string]map[string]string{"a": {c: "pids", s: "", typ: "domain"}}, nil, "/a", "it isn't delegated to this group"},
		"delegated, and we are in it":   {map[string]map[string]string{"a": {c: "memory", s: "", typ: "domain", procs: self, "memory.max": ""}}, nil, "/a", ""},
		"delegated, and others are too": {map[string]map[string]string{"a": {c: "memory", s: "", typ: "domain", procs: self + "\n1", "memory.max": ""}}, nil, "/a", "processes 1 are in TOP/a"},
		"others, but it is enabled":     {map[string]map[string]string{"a": {c: "memory", s: "memory", typ: "domain", procs: "1", "memory.max": ""}}, nil, "/a", ""},
		"a kernel without the file":     {map[string]map[string]string{"a": {c: "memory", s: "", typ: "domain", procs: ""}}, nil, "/a", "this kernel has the memory controller without memory.max"},
		"a slice that lacks it":         {map[string]map[string]string{"": {c: "memory", s: "memory"}, "r.slice": {c: "pids", s: ""}}, nil, "/", "somebody keeps it from that group"},
		"a slice that has it":           {map[string]map[string]string{"": {c: "memory", s: "memory"}, "r.slice": {c: "memory", s: "", "memory.max": ""}}, nil, "/", ""},
	} {
		t.Run(name, func(t *testing.T) {
			top := files(t, tt.groups)
			cs := controllers{sub: &subtree{mount: mount{point: top, root: "/"}, rel: tt.rel, v1: tt.v1}}
			got := cs.why(memory, tt.rel+"/r.slice/web")
			if tt.rel == "/" {
				got = cs.why(memory, "/r.slice/web")
			}
			if want := strings.ReplaceAll(tt.want, "TOP", top); got != want && (want == "" || !strings.Contains(got, want)) {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

func TestOccupantsAreNamed(t *testing.T) {
	for n, want := range map[int]string{1: "100", 3: "100, 101, 102", 9: "100, 101, 102, 103, 104, and 4 others"} {
		var pids []int
		for i := range n {
			pids = append(pids, 100+i)
		}
		if got := list(pids); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
