package main

import (
	"cmp"
	"encoding/hex"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"reconciler.dev/reconciler/pkg/reconcile"
	"reconciler.dev/reconciler/pkg/spec"
)

// inCell is how many of a list a cell has room for.
const inCell = 4

// cellOf is a list in a cell; a nil one is unknown.
func cellOf[T any](all []T, show func(T) string) string {
	if all == nil {
		return unknown
	}
	var words []string
	for _, v := range all[:min(len(all), inCell)] {
		words = append(words, show(v))
	}
	text := strings.Join(words, ",")
	if more := len(all) - inCell; more > 0 {
		text += "+" + strconv.Itoa(more)
	}
	return text
}

// portWord is a port as ss(8) writes it: *:80, 127.0.0.1:80, [::1]:80, and *:53/udp.
func portWord(p spec.Port) string {
	host := p.Address
	if a, err := netip.ParseAddr(p.Address); err == nil && a.IsUnspecified() {
		host = "*"
	}
	word := net.JoinHostPort(host, strconv.Itoa(p.Port))
	if strings.HasPrefix(p.Network, "udp") {
		word += "/udp"
	}
	return word
}

// portWords are the ports of a daemon, once each: one that is open for IPv4 and IPv6 alike is one to people.
func portWords(ports []spec.Port) []string {
	if ports == nil {
		return nil
	}
	words := []string{}
	for _, p := range ports {
		if w := portWord(p); !slices.Contains(words, w) {
			words = append(words, w)
		}
	}
	return words
}

// exitWord is how a daemon ended last, in a word.
func exitWord(e *lastExit) string {
	switch {
	case e == nil:
		return ""
	case e.Reason == exitOOM:
		return exitOOM
	case e.Signal != "":
		return e.Signal
	case e.Code != nil:
		return strconv.Itoa(*e.Code)
	}
	return unknown
}

// digestShown is how many digits of a digest tell programs apart.
const digestShown = 12

// binaryWord is a program's path; of one that is kept by its content, whose folder is its digest, the name and the beginning of that.
func binaryWord(path string) string {
	folder := filepath.Base(filepath.Dir(path))
	if raw, err := hex.DecodeString(folder); err != nil || len(raw) != 32 {
		return path
	}
	return filepath.Base(path) + "@" + folder[:digestShown]
}

// moment is a time in a cell, by the local wall clock.
func moment(p *time.Time) string {
	if p == nil || p.IsZero() {
		return ""
	}
	return p.Local().Format("2006-01-02T15:04:05")
}

// wideRow is what -o wide tells beside.
func wideRow(v reconcile.View, d detail) []string {
	o := v.Observed
	var set, generation, binary, service, instance string
	if s := o.Stamp; s != nil {
		set, generation, binary = s.Owner.Set, strconv.FormatInt(s.Generation, 10), binaryWord(s.Spec.Binary)
		service, instance = placeNames(s.Name, s.Spec.Cgroup)
	}
	cgroup := o.Cgroup
	if o.State == spec.Unknown {
		cgroup = cmp.Or(cgroup, unknown)
	}
	return []string{
		cellOf(d.pids, strconv.Itoa), cellOf(portWords(d.ports), strings.Clone), healthOf(v), moment(sinceOf(o)), exitWord(exitOf(o)),
		string(o.Driver), service, instance, cgroup, set, generation, binary, remark(v),
	}
}

// wideHeader are the columns of wideRow.
func wideHeader() []string {
	return []string{"PIDS", "PORTS", "HEALTH", "SINCE", "LAST-EXIT", "DRIVER", "SERVICE", "INSTANCE", "CGROUP", "SET", "GENERATION", "BINARY", "NOTE"}
}

// hostColumn is where the host stands among them, where it isn't the first column of all.
const hostColumn = 11
