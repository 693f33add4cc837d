package usage

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"reconciler.dev/reconciler/pkg/spec"
)

func TestCPUStat(t *testing.T) {
	for text, want := range map[string]spec.CPUUse{
		"usage_usec 1500\nuser_usec 1000\nsystem_usec 500\ncore_sched.force_idle_usec 0\nnr_periods 10\nnr_throttled 4\nthrottled_usec 70\nnr_bursts 0\nburst_usec 0\n": {
			Usage: new(1500 * time.Microsecond), User: new(time.Millisecond), System: new(500 * time.Microsecond),
			Periods: new(int64(10)), ThrottledPeriods: new(int64(4)), Throttled: new(70 * time.Microsecond),
		},
		"usage_usec 1\n": {Usage: new(time.Microsecond)}, // without the controller there is no more than usage, user and system
		"":               {},
	} {
		got, err := cpuStat([]byte(text))
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%q: %v\n%s", text, err, diff)
		}
	}
	for _, bad := range []string{"usage_usec\n", "usage_usec -1\n", "usage_usec 99999999999999999999\n", "x y z\n", "\n"} {
		if got, err := cpuStat([]byte(bad)); err == nil {
			t.Errorf("%q is taken for %+v", bad, got)
		}
	}
}

func TestBounds(t *testing.T) {
	for text, want := range map[string]spec.Bound{"max\n": spec.Unbounded, "4096\n": 4096, "0\n": 0} {
		if got, err := bound([]byte(text)); err != nil || *got != want {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	for text, want := range map[string]spec.Bound{"max 100000\n": spec.Unbounded, "150000 100000\n": 1500, "2000 100000\n": 20} {
		if got, err := cpuBound([]byte(text)); err != nil || *got != want {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	for _, bad := range []string{"", "x", "-1", "1 0", "max1", "9223372036854775807 1"} {
		_, err := bound([]byte(bad))
		if _, err2 := cpuBound([]byte(bad)); err == nil || err2 == nil {
			t.Errorf("%q is a limit", bad)
		}
	}
}

func TestPressure(t *testing.T) {
	got, err := pressure([]byte("some avg10=12.50 avg60=1.00 avg300=0.10 total=1234\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=5\n"))
	want := &spec.Stalls{Some: &spec.Stall{Avg10: 12.5, Total: 1234 * time.Microsecond}, Full: &spec.Stall{Total: 5 * time.Microsecond}}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
	for _, bad := range []string{"", "full avg10=1 total=1\n", "some avg10=x total=1\n", "some avg10=1 total=-1\n"} {
		if got, err := pressure([]byte(bad)); err == nil {
			t.Errorf("%q is taken for %+v", bad, got)
		}
	}
}

func TestWhatGoesToADeviceOfDevicesIsCountedOnce(t *testing.T) {
	text := "8:0 rbytes=100 wbytes=200 rios=3 wios=4 dbytes=0 dios=0\n253:0 rbytes=100 wbytes=200 rios=3 wios=4 dbytes=0 dios=0\n8:16 rbytes=1 wbytes=0 rios=1 wios=0\n7:0 \n"
	got, err := ioStat([]byte(text), func(device string) bool { return device != "253:0" })
	want := spec.IOUse{ReadBytes: new(int64(101)), WriteBytes: new(int64(200)), ReadOps: new(int64(4)), WriteOps: new(int64(4))}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
	if got, err := ioStat(nil, nil); err != nil || *got.ReadBytes != 0 || *got.WriteOps != 0 {
		t.Errorf("a cgroup that has done none yet has %+v, %v, want zeros", got, err)
	}
	if _, err := ioStat([]byte("8:0 rbytes=x\n"), func(string) bool { return true }); err == nil {
		t.Error("a word is taken for a number")
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"usage_usec 1\n", "some avg10=1 total=1\n", "8:0 rbytes=1\n", "max 100000\n", "4096\n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if u, err := cpuStat(text); err == nil && u.Usage != nil && *u.Usage < 0 {
			t.Errorf("%q: CPU time %v", text, *u.Usage)
		}
		if b, err := bound(text); err == nil && *b < 0 {
			t.Errorf("%q: a limit of %d", text, *b)
		}
		if b, err := cpuBound(text); err == nil && *b < 0 {
			t.Errorf("%q: a limit of %d", text, *b)
		}
		_, _ = pressure(text)
		_, _ = ioStat(text, func(string) bool { return true })
	})
}
