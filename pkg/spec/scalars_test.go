package spec

import (
	"encoding"
	"testing"
	"time"
)

// readAs reads text as a T, and says whether it was one.
func readAs[T any, P interface {
	*T
	encoding.TextUnmarshaler
}](text string) (T, bool) {
	var v T
	err := P(&v).UnmarshalText([]byte(text))
	return v, err == nil
}

// scalarCase is a text, what it reads as, and how that is written. ok is false where the text must be refused.
type scalarCase[T any] struct {
	in    string
	want  T
	shown string
	ok    bool
}

func good[T any](in string, want T, shown string) scalarCase[T] {
	return scalarCase[T]{in, want, shown, true}
}

func bad[T any](in string) scalarCase[T] { return scalarCase[T]{in: in} }

func testScalars[T comparable, P interface {
	*T
	encoding.TextUnmarshaler
}](t *testing.T, show func(T) string, cases ...scalarCase[T]) {
	t.Helper()
	for _, c := range cases {
		got, ok := readAs[T, P](c.in)
		if ok != c.ok || got != c.want {
			t.Errorf("%q reads as %v, %t; want %v, %t", c.in, got, ok, c.want, c.ok)
		}
		if ok && show(got) != c.shown {
			t.Errorf("%q is written as %q, want %q", c.in, show(got), c.shown)
		}
	}
}

func TestDuration(t *testing.T) {
	testScalars(t, Duration.String,
		good("500ms", Duration(500*time.Millisecond), "500ms"),
		good("1m30s", Duration(90*time.Second), "1m30s"),
		good("300s", Duration(5*time.Minute), "5m"),
		good("3600s", Duration(time.Hour), "1h"),
		good("1h0m1s", Duration(time.Hour+time.Second), "1h0m1s"),
		good("90m", Duration(90*time.Minute), "1h30m"),
		good("10s", Duration(10*time.Second), "10s"),
		good("0", Duration(0), "0s"),
		good("0s", Duration(0), "0s"),
		bad[Duration](""), bad[Duration]("10"), bad[Duration]("-1s"), bad[Duration]("5 min"), bad[Duration]("1d"), bad[Duration]("infinity"),
		bad[Duration]("9999999h"),
	)
}

func TestBytes(t *testing.T) {
	testScalars(t, Bytes.String,
		good("0", Bytes(0), "0"),
		good("1023", Bytes(1023), "1023"),
		good("4G", Bytes(1<<32), "4G"),
		good("4Gi", Bytes(1<<32), "4G"),
		good("4GB", Bytes(1<<32), "4G"),
		good("4GiB", Bytes(1<<32), "4G"),
		good("4096M", Bytes(1<<32), "4G"),
		good("1.5K", Bytes(1536), "1536"),
		good("2T", Bytes(1<<41), "2T"),
		good("9007199254740993", Bytes(1<<53+1), "9007199254740993"),
		good("infinity", Unlimited, "infinity"),
		bad[Bytes](""), bad[Bytes]("K"), bad[Bytes]("4g"), bad[Bytes]("512m"), bad[Bytes]("4B"), bad[Bytes]("4i"), bad[Bytes]("4GG"), bad[Bytes]("4Gib"),
		bad[Bytes]("-1"), bad[Bytes]("+1"), bad[Bytes]("1e3"), bad[Bytes]("0x10"), bad[Bytes]("1_000"), bad[Bytes]("0.3K"), bad[Bytes](" 1"),
		bad[Bytes]("NaN"), bad[Bytes]("inf"), bad[Bytes]("9000000T"), bad[Bytes]("9223372036854775808"), bad[Bytes]("50%"),
	)
}

func TestCPU(t *testing.T) {
	testScalars(t, CPU.String,
		good("200%", CPU(2000), "200%"),
		good("2", CPU(2000), "200%"),
		good("2000m", CPU(2000), "200%"),
		good("1.5", CPU(1500), "150%"),
		good("0.1%", CPU(1), "0.1%"),
		good("33.3%", CPU(333), "33.3%"),
		bad[CPU](""), bad[CPU]("0"), bad[CPU]("%"), bad[CPU]("-1"), bad[CPU]("1e3"), bad[CPU]("0.01%"), bad[CPU]("2 cores"), bad[CPU]("infinity"), bad[CPU]("200%%"),
	)
}

func TestMode(t *testing.T) {
	testScalars(t, Mode.String,
		good("0644", Mode(0o644), "0644"),
		good("644", Mode(0o644), "0644"),
		good("0o644", Mode(0o644), "0644"),
		good("4755", Mode(0o4755), "4755"),
		good("0", Mode(0), "0000"),
		bad[Mode](""), bad[Mode]("0888"), bad[Mode]("10000"), bad[Mode]("rw-r--r--"), bad[Mode]("-1"), bad[Mode]("0x1ff"),
	)
}

func TestRlimit(t *testing.T) {
	testScalars(t, Rlimit.String,
		good("65536", Rlimit{65536, 65536}, "65536"),
		good("1024:65536", Rlimit{1024, 65536}, "1024:65536"),
		good("infinity", Rlimit{NoRlimit, NoRlimit}, "infinity"),
		good("0:infinity", Rlimit{0, NoRlimit}, "0:infinity"),
		bad[Rlimit](""), bad[Rlimit]("-1"), bad[Rlimit]("1:"), bad[Rlimit](":1"), bad[Rlimit]("2:1"), bad[Rlimit]("infinity:1"), bad[Rlimit]("1:2:3"), bad[Rlimit]("1K"),
	)
}

func TestSignal(t *testing.T) {
	testScalars(t, func(s Signal) string { return string(s) },
		good("SIGTERM", Signal("SIGTERM"), "SIGTERM"),
		good("TERM", Signal("SIGTERM"), "SIGTERM"),
		good("sigint", Signal("SIGINT"), "SIGINT"),
		bad[Signal](""), bad[Signal]("15"), bad[Signal]("SIG"), bad[Signal]("SIGNAL"), bad[Signal]("SIGRTMIN"),
	)
}

func TestClass(t *testing.T) {
	testScalars(t, Class.String,
		good("live", Live, "live"), good("reload", Reloaded, "reload"), good("restart", Restarted, "restart"), good("recreate", Recreated, "recreate"),
		bad[Class](""), bad[Class]("Live"),
	)
}

// FuzzScalars checks of every scalar type that what it reads it writes so that it reads the same, and that a refused text changes nothing.
func FuzzScalars(f *testing.F) {
	for _, s := range []string{"", "0", "4G", "1.5K", "200%", "0644", "1024:65536", "infinity", "SIGTERM", "1m30s", "9223372036854775807", "0.1%"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		roundTrip(t, s, Duration.MarshalText, func(d Duration) bool { return d >= 0 })
		roundTrip(t, s, Bytes.MarshalText, func(b Bytes) bool { return b >= 0 })
		roundTrip(t, s, CPU.MarshalText, func(c CPU) bool { return c > 0 })
		roundTrip(t, s, Mode.MarshalText, func(m Mode) bool { return m <= 0o7777 })
		roundTrip(t, s, Rlimit.MarshalText, func(r Rlimit) bool { return r.Soft <= r.Hard })
		roundTrip(t, s, func(s Signal) ([]byte, error) { return []byte(s), nil }, func(s Signal) bool { return len(s) > 3 })
	})
}

func roundTrip[T comparable, P interface {
	*T
	encoding.TextUnmarshaler
}](t *testing.T, text string, write func(T) ([]byte, error), sane func(T) bool) {
	t.Helper()
	v, ok := readAs[T, P](text)
	if !ok {
		if v != *new(T) {
			t.Errorf("%q is refused and leaves %v", text, v)
		}
		return
	}
	again, err := write(v)
	if err != nil {
		t.Fatalf("%q reads as %v, which can't be written: %v", text, v, err)
	}
	if back, ok := readAs[T, P](string(again)); !ok || back != v {
		t.Errorf("%q reads as %v, is written as %q, and that reads as %v, %t", text, v, again, back, ok)
	}
	if !sane(v) {
		t.Errorf("%q reads as %v", text, v)
	}
}
