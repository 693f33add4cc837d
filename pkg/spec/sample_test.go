package spec

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// sampled is a sample of an instance, seconds after boot.
func sampled(instance string, seconds int) Sample {
	return Sample{Name: "web", State: Running, Instance: instance, Clock: time.Duration(seconds) * time.Second}
}

func TestRates(t *testing.T) {
	before, after := sampled("i1", 100), sampled("i1", 110)
	before.CPU = CPUUse{Usage: new(3 * time.Second), User: new(2 * time.Second), Periods: new(int64(50)), ThrottledPeriods: new(int64(10))}
	after.CPU = CPUUse{Usage: new(18 * time.Second), User: new(2 * time.Second), Periods: new(int64(150)), ThrottledPeriods: new(int64(35))}
	before.IO = IOUse{ReadBytes: new(int64(1000)), WriteBytes: new(int64(500))}
	after.IO = IOUse{ReadBytes: new(int64(6000)), WriteBytes: new(int64(400)), ReadOps: new(int64(7))}
	want := Rate{Over: 10 * time.Second, CPU: new(1.5), User: new(0.0), Throttled: new(0.25), ReadBytes: new(500.0)}
	if diff := cmp.Diff(want, Rates(before, after)); diff != "" {
		t.Errorf("what is known of one of the two only, and what went down, is no rate:\n%s", diff)
	}
}

func TestNoRates(t *testing.T) {
	full := func(instance string, seconds int) Sample {
		s := sampled(instance, seconds)
		s.CPU.Usage = new(time.Duration(seconds))
		return s
	}
	other := full("i1", 110)
	other.Name = "db"
	unknown := full("i1", 110)
	unknown.State = Unknown
	for name, pair := range map[string][2]Sample{
		"another instance":      {full("i1", 100), full("i2", 110)},
		"another daemon":        {full("i1", 100), other},
		"no instance":           {full("", 100), full("", 110)},
		"the same moment":       {full("i1", 100), full("i1", 100)},
		"the host was rebooted": {full("i1", 100), full("i1", 5)},
		"not known any more":    {full("i1", 100), unknown},
	} {
		if got := Rates(pair[0], pair[1]); got != (Rate{}) {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestWhatLacksPeriodsWasntThrottledAtAll(t *testing.T) {
	before, after := sampled("i1", 100), sampled("i1", 110)
	before.CPU = CPUUse{Periods: new(int64(5)), ThrottledPeriods: new(int64(5))}
	after.CPU = before.CPU
	if got := Rates(before, after).Throttled; got == nil || *got != 0 {
		t.Errorf("it didn't want to run, and was throttled by %v", got)
	}
}

func TestSampleTravelsAsJSON(t *testing.T) {
	s := sampled("i1", 100)
	s.At = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	s.CPU.Limit, s.Memory.Limit = new(Unbounded), new(Bound(1<<20))
	s.Tasks = new(int64(0))
	s.GPUs = []GPUUse{}
	s.Ports = []Port{{Network: "tcp", Address: "127.0.0.1", Port: 80, PID: 7}}
	s.Pressure.CPU = &Stalls{Some: &Stall{Avg10: 1.5, Total: time.Second}}
	b, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"name":"web","state":"Running","instance":"i1","at":"2026-01-02T03:04:05Z","clockNs":100000000000,"cpu":{"limitMilli":"infinity"},"memory":{"limitBytes":1048576},` +
		`"pressure":{"cpu":{"some":{"avg10":1.5,"totalNs":1000000000}}},"tasks":0,"gpus":[],"ports":[{"network":"tcp","address":"127.0.0.1","port":80,"pid":7}]}`
	if diff := cmp.Diff(want, string(b)); diff != "" {
		t.Error(diff)
	}
	var back Sample
	if err := json.Unmarshal(b, &back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(s, back); diff != "" {
		t.Error(diff)
	}
	if err := json.Unmarshal([]byte(`"much"`), new(Bound)); err == nil {
		t.Error("a word is a limit")
	}
}
