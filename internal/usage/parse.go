package usage

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"time"

	"reconciler.dev/reconciler/pkg/spec"
)

// errFormat is what a file that isn't as the kernel's documentation has it comes to.
var errFormat = errors.New("unknown format")

// keyed calls set with each line's key and value, as in cpu.stat, memory.stat and memory.events.
func keyed(text []byte, set func(key []byte, value int64)) error {
	for line := range bytes.Lines(text) {
		key, word, ok := bytes.Cut(bytes.TrimSuffix(line, []byte("\n")), []byte(" "))
		n, err := number(word)
		if !ok || err != nil {
			return fmt.Errorf("%w: %q", errFormat, line)
		}
		set(key, n)
	}
	return nil
}

// number reads digits. It is strconv.ParseInt for text that the kernel wrote, without an allocation.
func number(word []byte) (int64, error) {
	n := int64(0)
	for _, c := range word {
		if c < '0' || c > '9' || n > (1<<63-1-9)/10 {
			return 0, errFormat
		}
		n = 10*n + int64(c-'0')
	}
	if len(word) == 0 {
		return 0, errFormat
	}
	return n, nil
}

// single reads a file with one number, as memory.current.
func single(text []byte) (*int64, error) {
	n, err := number(bytes.TrimSpace(text))
	if err != nil {
		return nil, fmt.Errorf("%w: %q", err, text)
	}
	return &n, nil
}

// bound reads a file with one number or "max", as memory.max.
func bound(text []byte) (*spec.Bound, error) {
	most := spec.Unbounded
	if word := bytes.TrimSpace(text); string(word) != "max" {
		n, err := number(word)
		if err != nil {
			return nil, fmt.Errorf("%w: %q", err, text)
		}
		most = spec.Bound(n)
	}
	return &most, nil
}

// cpuBound reads cpu.max: microseconds in each period, or "max", and the period.
func cpuBound(text []byte) (*spec.Bound, error) {
	quota, rest, _ := bytes.Cut(bytes.TrimSpace(text), []byte(" "))
	most := spec.Unbounded
	if string(quota) == "max" {
		return &most, nil
	}
	q, err := number(quota)
	p, err2 := number(rest)
	if err = errors.Join(err, err2); err != nil || p == 0 || q > 1<<50 {
		return nil, fmt.Errorf("%w: %q", errFormat, text)
	}
	most = spec.Bound((q*1000 + p/2) / p)
	return &most, nil
}

// cpuStat reads cpu.stat.
func cpuStat(text []byte) (u spec.CPUUse, err error) {
	err = keyed(text, func(key []byte, n int64) {
		switch string(key) {
		case "usage_usec":
			u.Usage = micros(n)
		case "user_usec":
			u.User = micros(n)
		case "system_usec":
			u.System = micros(n)
		case "nr_periods":
			u.Periods = &n
		case "nr_throttled":
			u.ThrottledPeriods = &n
		case "throttled_usec":
			u.Throttled = micros(n)
		}
	})
	return u, err
}

func micros(n int64) *time.Duration {
	d := time.Duration(n) * time.Microsecond
	return &d
}

// pressure reads cpu.pressure, memory.pressure or io.pressure: lines as "some avg10=0.12 avg60=0.34 avg300=0.56 total=789".
func pressure(text []byte) (*spec.Stalls, error) {
	var s spec.Stalls
	for line := range bytes.Lines(text) {
		stall := &spec.Stall{}
		for word := range bytes.FieldsSeq(line) {
			key, value, is := bytes.Cut(word, []byte("="))
			var err error
			switch {
			case !is && string(word) == "some":
				s.Some = stall
			case !is && string(word) == "full":
				s.Full = stall
			case string(key) == "avg10":
				stall.Avg10, err = strconv.ParseFloat(string(value), 64)
			case string(key) == "total":
				var n int64
				n, err = number(value)
				stall.Total = time.Duration(n) * time.Microsecond
			}
			if err != nil {
				return nil, fmt.Errorf("%w: %q", errFormat, line)
			}
		}
	}
	if s.Some == nil {
		return nil, fmt.Errorf("%w: %q", errFormat, text)
	}
	return &s, nil
}

// ioStat sums up io.stat, whose lines are "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0". counts says whether a device is one to count: what goes to a device that is made
// of others is listed there once more.
func ioStat(text []byte, counts func(device string) bool) (spec.IOUse, error) {
	var sum [4]int64
	for line := range bytes.Lines(text) {
		device, rest, _ := bytes.Cut(bytes.TrimSpace(line), []byte(" "))
		if !bytes.Contains(device, []byte(":")) {
			return spec.IOUse{}, fmt.Errorf("%w: %q", errFormat, line)
		}
		if !counts(string(device)) {
			continue
		}
		for word := range bytes.FieldsSeq(rest) {
			key, value, _ := bytes.Cut(word, []byte("="))
			i := map[string]int{"rbytes": 1, "wbytes": 2, "rios": 3, "wios": 4}[string(key)] - 1
			if i < 0 {
				continue
			}
			n, err := number(value)
			if err != nil {
				return spec.IOUse{}, fmt.Errorf("%w: %q", errFormat, line)
			}
			sum[i] += n
		}
	}
	return spec.IOUse{ReadBytes: &sum[0], WriteBytes: &sum[1], ReadOps: &sum[2], WriteOps: &sum[3]}, nil
}

func missing(s *spec.Sample, field, reason string) {
	s.Missing = append(s.Missing, spec.Loss{Field: field, Reason: reason})
}
