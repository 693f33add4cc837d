package systemd

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
	"github.com/google/go-cmp/cmp"
)

// raw is a message as the manager sends it.
func raw(t testing.TB, order binary.ByteOrder, m *dbus.Message) []byte {
	t.Helper()
	if len(m.Body) > 0 {
		m.Headers[dbus.FieldSignature] = dbus.MakeVariant(dbus.SignatureOf(m.Body...))
	}
	var b bytes.Buffer
	if err := m.EncodeTo(&b, order); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func signalOf(path dbus.ObjectPath, iface, member string, body ...any) *dbus.Message {
	return &dbus.Message{Type: dbus.TypeSignal, Headers: map[dbus.HeaderField]dbus.Variant{
		dbus.FieldPath: dbus.MakeVariant(path), dbus.FieldInterface: dbus.MakeVariant(iface), dbus.FieldMember: dbus.MakeVariant(member),
	}, Body: body}
}

func changeOf(unit, iface string, n int) *dbus.Message {
	return signalOf(unitPath(unit), "org.freedesktop.DBus.Properties", "PropertiesChanged", iface, map[string]dbus.Variant{"N": dbus.MakeVariant(n)}, []string{})
}

func removalOf(unit string) *dbus.Message {
	return signalOf(managerPath, managerInterface, "JobRemoved", uint32(7), dbus.ObjectPath("/org/freedesktop/systemd1/job/7"), unit, "done")
}

// told says in a word what a message is.
func told(m *dbus.Message) string {
	if m.Type != dbus.TypeSignal {
		return fmt.Sprint("reply ", m.Body)
	}
	member := m.Headers[dbus.FieldMember].Value().(string)
	switch member {
	case "PropertiesChanged":
		iface := m.Body[0].(string)
		return fmt.Sprint(unitNamed(m.Headers[dbus.FieldPath].Value().(dbus.ObjectPath)), " ", iface[len(iface)-4:], " ", m.Body[1].(map[string]dbus.Variant)["N"].Value())
	case "JobRemoved":
		return fmt.Sprint("job of ", m.Body[2])
	}
	return member
}

// TestTap: what the tap passes on of what a manager sends, in both byte orders, in one piece and byte by byte.
func TestTap(t *testing.T) {
	reply := &dbus.Message{Type: dbus.TypeMethodReply, Headers: map[dbus.HeaderField]dbus.Variant{dbus.FieldReplySerial: dbus.MakeVariant(uint32(3))}, Body: []any{"hello"}}
	sent := []*dbus.Message{
		signalOf(managerPath, managerInterface, "UnitNew", "web.service", unitPath("web.service")),
		signalOf(managerPath, managerInterface, "JobNew", uint32(7), dbus.ObjectPath("/org/freedesktop/systemd1/job/7"), "web.service"),
		changeOf("basic.target", unitInterface, 1),
		changeOf("web.service", serviceInterface, 1), changeOf("web.service", unitInterface, 1),
		changeOf("api.service", unitInterface, 1), changeOf("nobodys.service", unitInterface, 1),
		changeOf("db.service", serviceInterface, 1), changeOf("db.service", unitInterface, 1), changeOf("db.service", unitInterface, 2),
		reply,
		changeOf("web.service", serviceInterface, 2), changeOf("web.service", unitInterface, 2),
		removalOf("nobodys.service"), removalOf("web.service"),
		signalOf(managerPath, managerInterface, "Reloading", true),
		changeOf("api.service", unitInterface, 2), changeOf("db.service", unitInterface, 3),
	}
	want := []string{"db.service vice 1", "db.service Unit 1", "reply [hello]", "web.service vice 2", "web.service Unit 2", "job of web.service", "Reloading"}
	later := []string{"api.service Unit 2", "db.service Unit 3"} // in whatever order
	hold := func(path string) (time.Duration, bool) {
		switch unitNamed(dbus.ObjectPath(path)) {
		case "web.service":
			return time.Hour, false
		case "api.service":
			return 300 * time.Millisecond, false
		case "db.service":
			return 300 * time.Millisecond, true
		}
		return 0, false
	}
	for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
		for _, piece := range []int{1, 7, 1 << 20} {
			t.Run(fmt.Sprint(order, " ", piece), func(t *testing.T) {
				var all []byte
				for _, m := range sent {
					all = append(all, raw(t, order, m)...)
				}
				var got []string
				through(t, hold, all, piece, len(want)+len(later), func(m *dbus.Message) { got = append(got, told(m)) })
				slices.Sort(got[len(want):])
				if d := cmp.Diff(slices.Concat(want, later), got); d != "" {
					t.Errorf("passed on is another (-want +got):\n%s", d)
				}
			})
		}
	}
}

// through sends bytes through a tap, in pieces, and reads n messages out of it.
func through(t *testing.T, hold func(string) (time.Duration, bool), all []byte, piece, n int, got func(*dbus.Message)) {
	t.Helper()
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	there, err := net.Dial("unix", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer there.Close()
	here, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer here.Close()
	go func() {
		for part := range slices.Chunk(all, piece) {
			if _, err := there.Write(part); err != nil {
				return
			}
		}
	}()
	tap := newTap(here, hold)
	if _, err := tap.Write([]byte("BEGIN\r\n")); err != nil {
		t.Fatal(err)
	}
	deadline := time.AfterFunc(20*time.Second, func() { here.Close() })
	defer deadline.Stop()
	for range n {
		m, err := dbus.DecodeMessage(tap)
		if err != nil {
			t.Fatal(err)
		}
		got(m)
	}
}

// TestTapHoldsNothingForLonger: a manager that never stops talking of something else keeps nothing back.
func TestTapHoldsNothingForLonger(t *testing.T) {
	here, there := net.Pipe()
	defer here.Close()
	go func() {
		defer there.Close()
		if _, err := there.Write(raw(t, binary.LittleEndian, changeOf("web.service", unitInterface, 1))); err != nil {
			return
		}
		for noise := raw(t, binary.LittleEndian, changeOf("basic.target", unitInterface, 1)); ; {
			if _, err := there.Write(noise); err != nil {
				return
			}
		}
	}()
	tap := newTap(here, func(string) (time.Duration, bool) { return 5 * time.Millisecond, false })
	tap.begun = true
	m, err := dbus.DecodeMessage(tap)
	if err != nil || told(m) != "web.service Unit 1" {
		t.Errorf("passed on is %v, %v", m, err)
	}
}

// FuzzParseSignal: nothing that a manager could send makes the tap fall over, or hold back what it can't read.
func FuzzParseSignal(f *testing.F) {
	for _, m := range []*dbus.Message{changeOf("web.service", unitInterface, 1), removalOf("web.service"), signalOf("/", "a.b", "C")} {
		f.Add(raw(f, binary.LittleEndian, m))
		f.Add(raw(f, binary.BigEndian, m))
	}
	f.Fuzz(func(t *testing.T, m []byte) {
		if len(m) < headLen {
			return
		}
		n, err := messageLen(m)
		if err != nil || n > len(m) {
			return
		}
		m = m[:n]
		_, ok := parseSignal(m)
		tap := newTap(nil, func(string) (time.Duration, bool) { return 0, false })
		tap.take(m)
		if !ok && !bytes.Equal(tap.ready.Bytes(), m) {
			t.Error("what it can't read isn't passed on")
		}
	})
}
