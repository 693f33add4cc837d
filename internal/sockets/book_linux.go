package sockets

import (
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"
)

// book is what a holder holds, by what the sockets are called in manifests.
type book map[string]*held

// take makes name want these sockets and no others, and returns them in that order. Sockets may be wanted by many names of one family; those that nobody wants any more are closed. On
// an error nothing was opened, and nothing closed that is still wanted.
func (b book) take(family, name string, want []Socket) ([]*held, error) {
	for _, s := range want {
		if h := b[s.String()]; h != nil && !h.wantedBy(family) {
			return nil, fmt.Errorf("listen on %s: it is held for daemon %s", s, h.anybody())
		}
	}
	opened, err := b.openMissing(name, want)
	if err != nil {
		return nil, err
	}
	found := make([]*held, 0, len(want))
	for _, s := range want {
		h := b[s.String()]
		if fresh := opened[s.String()]; fresh != nil {
			if h != nil { // its file was removed
				fresh.by = h.by
				h.close()
			}
			h, b[s.String()] = fresh, fresh
		}
		h.by[name] = true
		found = append(found, h)
	}
	b.drop(name, want)
	return found, nil
}

// openMissing opens what isn't open, and has the files of the rest belong to whom they shall.
func (b book) openMissing(name string, want []Socket) (opened map[string]*held, err error) {
	opened = map[string]*held{}
	for _, s := range want {
		h := b[s.String()]
		if h != nil && h.there() && h.belong(s) == nil {
			continue
		}
		if h, err = open(s); errors.Is(err, unix.EADDRINUSE) && b.drop(name, want) {
			h, err = open(s) // one that isn't wanted any more stood in the way, as that of all addresses does to one
		}
		if err != nil {
			for _, h := range opened {
				h.close()
			}
			return nil, err
		}
		opened[s.String()] = h
	}
	return opened, nil
}

// belong gives the file of the socket to whom s says.
func (h *held) belong(s Socket) error {
	h.Socket = s
	if s.Network != "unix" {
		return nil
	}
	return h.own()
}

// drop makes name want none but those of keep, and closes what nobody wants any more. It tells whether there was such a one.
func (b book) drop(name string, keep []Socket) (closed bool) {
	for key, h := range b {
		if !h.by[name] || slices.ContainsFunc(keep, func(s Socket) bool { return s.String() == key }) {
			continue
		}
		if delete(h.by, name); len(h.by) == 0 {
			h.close()
			delete(b, key)
			closed = true
		}
	}
	return closed
}

// dropFamily closes what a family has.
func (b book) dropFamily(family string) {
	for key, h := range b {
		if h.wantedBy(family) {
			h.close()
			delete(b, key)
		}
	}
}

// wantedBy tells whether one of a family wants the socket.
func (h *held) wantedBy(family string) bool {
	for name := range h.by {
		if Family(name) == family {
			return true
		}
	}
	return len(h.by) == 0
}

func (h *held) anybody() string {
	for name := range h.by {
		return Family(name)
	}
	return ""
}
