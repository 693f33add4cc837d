// Package figure writes what is measured for people, in few characters and the same wherever they read it: in a table, on a terminal, on a page. It must never write what isn't known as a
// number.
package figure

import "strconv"

// Unknown stands for what isn't known, which is never 0.
const Unknown = "?"

// Known writes a figure, or that it isn't known.
func Known[T any](v *T, write func(T) string) string {
	if v == nil {
		return Unknown
	}
	return write(*v)
}

// Percent is a share as a percentage; of CPU time, 100 is one core.
func Percent(share float64) string {
	if p := share * 100; p < 99.95 {
		return strconv.FormatFloat(p, 'f', 1, 64)
	}
	return strconv.FormatFloat(share*100, 'f', 0, 64)
}

// Amount is a number of bytes in four characters at most and a unit, as powers of 1024.
func Amount[N int64 | float64](n N) string {
	const units = "BKMGTPE"
	v, i := float64(n), 0
	for v >= 1000 && i < len(units)-1 {
		v /= 1024
		i++
	}
	if i == 0 || v >= 99.95 {
		return strconv.FormatFloat(v, 'f', 0, 64) + units[i:i+1]
	}
	return strconv.FormatFloat(v, 'f', 1, 64) + units[i:i+1]
}

// Integer is a count.
func Integer(n int64) string { return strconv.FormatInt(n, 10) }
