package sshconfig

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// flag reads yes and no, which may be in any case.
func flag(arg string) (bool, error) {
	switch strings.ToLower(arg) {
	case "yes", "true":
		return true, nil
	case "no", "false":
		return false, nil
	}
	return false, fmt.Errorf("%q isn't yes or no", arg)
}

// strictness reads the argument of StrictHostKeyChecking.
func strictness(arg string) (string, error) {
	switch word := strings.ToLower(arg); word {
	case "yes", "true":
		return "yes", nil
	case "no", "false", "off":
		return "no", nil
	case "ask", "accept-new":
		return word, nil
	}
	return "", fmt.Errorf("%q isn't yes, accept-new, ask or no", arg)
}

// port reads a port's number. Of the names of services it knows that of ssh.
func port(arg string) (int, error) {
	if arg == "ssh" {
		return 22, nil
	}
	n, err := strconv.Atoi(arg)
	if err != nil || n < 1 || n > 65535 {
		return 0, fmt.Errorf("%q isn't a port: a number from 1 to 65535", arg)
	}
	return n, nil
}

// count reads a number of times.
func count(arg string) (int, error) {
	n, err := strconv.Atoi(arg)
	if err != nil || n < 0 || n > math.MaxInt32 {
		return 0, fmt.Errorf("%q isn't a number", arg)
	}
	return n, nil
}

var errTime = errors.New("isn't a time, such as 30, 30s or 1h30m")

// interval reads a time as sshd_config(5) has it under TIME FORMATS: numbers with the units s, m, h, d, w, which add up.
func interval(arg string) (time.Duration, error) {
	units := map[byte]int64{'s': 1, 'm': 60, 'h': 3600, 'd': 86400, 'w': 7 * 86400}
	var total int64
	for s := arg; s != "" || arg == ""; {
		digits := len(s) - len(strings.TrimLeft(s, "0123456789"))
		n, err := strconv.ParseInt(s[:digits], 10, 32)
		if err != nil {
			return 0, fmt.Errorf("%q %w", arg, errTime)
		}
		unit := int64(1)
		if s = s[digits:]; s != "" {
			if unit = units[s[0]|0x20]; unit == 0 {
				return 0, fmt.Errorf("%q %w", arg, errTime)
			}
			s = s[1:]
		}
		if total += n * unit; n > math.MaxInt32/unit || total > math.MaxInt32 {
			return 0, fmt.Errorf("%q %w: it is too long", arg, errTime)
		}
	}
	return time.Duration(total) * time.Second, nil
}
