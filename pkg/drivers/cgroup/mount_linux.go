package cgroup

import (
	"cmp"
	"slices"
	"strings"
)

// mount is one mount of the cgroup2 file system.
type mount struct {
	// point is where it is mounted, and root what of the hierarchy is: both as this process sees them.
	point, root string
	readOnly    bool
}

// mounts are the cgroup file systems of this machine.
type mounts struct {
	v2 []mount
	// v1 are the mount points of the controllers of cgroup v1.
	v1 map[string]string
}

// parseMounts reads /proc/PID/mountinfo: see proc_pid_mountinfo(5). A line that makes no sense is none of ours.
func parseMounts(mountinfo string) mounts {
	m := mounts{v1: map[string]string{}}
	for line := range strings.Lines(mountinfo) {
		before, after, ok := strings.Cut(line, " - ")
		f, g := strings.Fields(before), strings.Fields(after)
		if !ok || len(f) < 6 || len(g) < 3 {
			continue
		}
		root, point := unescape(f[3]), unescape(f[4])
		options := append(strings.Split(f[5], ","), strings.Split(g[2], ",")...)
		switch g[0] {
		case "cgroup2":
			m.v2 = slices.DeleteFunc(m.v2, func(o mount) bool { return o.point == point }) // it is hidden now
			m.v2 = append(m.v2, mount{point, root, slices.Contains(options, "ro")})
		case "cgroup":
			for o := range strings.SplitSeq(g[2], ",") {
				m.v1[o] = point
			}
		}
	}
	return m
}

// unescape undoes how mountinfo writes space, tab, newline and backslash: as a backslash and three octal digits.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}

// parseOwn returns the group of cgroup v2 from /proc/PID/cgroup, as the reader's cgroup namespace shows it: see cgroup_namespaces(7). It is empty where there is none.
func parseOwn(text string) string {
	for line := range strings.Lines(text) {
		if group, ok := strings.CutPrefix(line, "0::"); ok {
			return strings.TrimSuffix(strings.TrimSuffix(group, "\n"), " (deleted)")
		}
	}
	return ""
}

// within returns the path below the mount of a group that /proc/PID/cgroup names, as in /a/b; ok is false where the mount doesn't show it.
func (m mount) within(group string) (rel string, ok bool) {
	if group == m.root && strings.HasPrefix(group, "/") {
		return "/", true
	}
	rest, ok := strings.CutPrefix(group, strings.TrimSuffix(m.root, "/")+"/")
	if !ok || slices.Contains(strings.Split(rest, "/"), "..") {
		return "", false
	}
	return "/" + rest, true
}

// group is within the other way round: what /proc/PID/cgroup calls a path below the mount.
func (m mount) group(rel string) string {
	return cmp.Or(strings.TrimSuffix(strings.TrimSuffix(m.root, "/")+rel, "/"), "/")
}
