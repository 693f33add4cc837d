package spec

import (
	"fmt"
	"io/fs"
	"math"
	"strconv"
	"strings"
	"time"
)

// Duration is a length of time, written as Go writes it but without its zero units: "500ms", "1m30s", "1h".
type Duration time.Duration

// D returns it as the standard library has it.
func (d Duration) D() time.Duration { return time.Duration(d) }

func (d Duration) String() string {
	s := time.Duration(d).String()
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-2]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-2]
	}
	return s
}

// MarshalText writes it as String does.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads a duration that is not negative.
func (d *Duration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	if err != nil || v < 0 {
		return fmt.Errorf("%q is not a duration: write a number with a unit, as in 500ms, 10s, 1m30s or 2h", b)
	}
	*d = Duration(v)
	return nil
}

// Bytes is an amount of memory or disk. K, M, G and T are powers of 1024 as systemd has them, Ki, Mi, Gi and Ti the same. Unlimited is "infinity".
type Bytes int64

// Unlimited is Bytes without a limit.
const Unlimited Bytes = math.MaxInt64

func (b Bytes) String() string {
	if b == Unlimited {
		return "infinity"
	}
	for i, u := range []string{"T", "G", "M", "K"} {
		if unit := Bytes(1) << (10 * (4 - i)); b != 0 && b%unit == 0 {
			return strconv.FormatInt(int64(b/unit), 10) + u
		}
	}
	return strconv.FormatInt(int64(b), 10)
}

// MarshalText writes it as String does.
func (b Bytes) MarshalText() ([]byte, error) { return []byte(b.String()), nil }

// UnmarshalText reads a number of bytes with an optional unit.
func (b *Bytes) UnmarshalText(t []byte) error {
	s := string(t)
	if s == "infinity" {
		*b = Unlimited
		return nil
	}
	num, unit := s, int64(1)
	if i := strings.IndexAny(s, "KMGT"); i >= 0 {
		switch s[i+1:] {
		case "", "i", "B", "iB":
			num, unit = s[:i], 1<<(10*(1+strings.IndexByte("KMGT", s[i])))
		}
	}
	v, ok := product(num, unit)
	if !ok {
		return fmt.Errorf("%q is not a size: write whole bytes or a number with K, M, G or T (powers of 1024), as in 512M or 4G, or infinity", s)
	}
	*b = Bytes(v)
	return nil
}

// product is a decimal number times a unit, where that is a whole number.
func product(num string, unit int64) (int64, bool) {
	if whole, err := strconv.ParseUint(num, 10, 63); err == nil {
		return int64(whole) * unit, int64(whole) <= math.MaxInt64/unit
	}
	f, err := strconv.ParseFloat(num, 64)
	v := f * float64(unit)
	return int64(v), err == nil && isDecimal(num) && v >= 0 && v < math.MaxInt64 && v == math.Trunc(v)
}

// CPU is CPU time in thousandths of a core.
type CPU int64

func (c CPU) String() string {
	return strconv.FormatFloat(float64(c)/10, 'f', -1, 64) + "%"
}

// MarshalText writes it as a percentage of one core.
func (c CPU) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText reads "200%", "2", "1.5" or "1500m".
func (c *CPU) UnmarshalText(t []byte) error {
	s, scale := string(t), 1000.0
	num := s
	if n, ok := strings.CutSuffix(s, "%"); ok {
		num, scale = n, 10
	} else if n, ok := strings.CutSuffix(s, "m"); ok {
		num, scale = n, 1
	}
	f, err := strconv.ParseFloat(num, 64)
	v := math.Round(f * scale)
	if err != nil || !isDecimal(num) || v < 1 || v > 1e9 {
		return fmt.Errorf("%q is not an amount of CPU: write percent of one core, cores or thousandths, as in 200%%, 2 or 2000m", s)
	}
	*c = CPU(v)
	return nil
}

// Mode is a file mode or umask, written in octal.
type Mode fs.FileMode

func (m Mode) String() string { return fmt.Sprintf("%04o", uint32(m)) }

// MarshalText writes four octal digits.
func (m Mode) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText reads octal digits, 0 to 7777.
func (m *Mode) UnmarshalText(b []byte) error {
	v, err := strconv.ParseUint(strings.TrimPrefix(string(b), "0o"), 8, 32)
	if err != nil || v > 0o7777 {
		return fmt.Errorf("%q is not a mode: write octal digits in quotes, as in \"0644\"", b)
	}
	*m = Mode(v)
	return nil
}

// Rlimit is a process limit: see getrlimit(2). NoRlimit is "infinity".
type Rlimit struct{ Soft, Hard uint64 }

// NoRlimit is RLIM_INFINITY.
const NoRlimit = math.MaxUint64

func (r Rlimit) String() string {
	one := func(v uint64) string {
		if v == NoRlimit {
			return "infinity"
		}
		return strconv.FormatUint(v, 10)
	}
	if r.Soft == r.Hard {
		return one(r.Soft)
	}
	return one(r.Soft) + ":" + one(r.Hard)
}

// MarshalText writes it as String does.
func (r Rlimit) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads "N", "SOFT:HARD" or "infinity".
func (r *Rlimit) UnmarshalText(b []byte) error {
	soft, hard, two := strings.Cut(string(b), ":")
	if !two {
		hard = soft
	}
	s, err1 := parseLimit(soft)
	h, err2 := parseLimit(hard)
	switch {
	case err1 != nil || err2 != nil:
		return fmt.Errorf("%q is not a process limit: write N, SOFT:HARD or infinity", b)
	case s > h:
		return fmt.Errorf("%q is not a process limit: the soft limit is above the hard one", b)
	}
	*r = Rlimit{s, h}
	return nil
}

func parseLimit(s string) (uint64, error) {
	if s == "infinity" {
		return NoRlimit, nil
	}
	return strconv.ParseUint(s, 10, 63)
}
