package gpu

import (
	"bytes"
	"context"
	"encoding/csv"
	"fmt"
	"strconv"
	"strings"
)

// mebibyte is the unit of nvidia-smi's amounts of memory.
const mebibyte = 1 << 20

// readNVIDIA asks nvidia-smi: see nvidia-smi --help-query-gpu and --help-query-compute-apps.
func readNVIDIA(_ context.Context, run func(args ...string) ([]byte, error)) (Reading, error) {
	text, err := run("--query-gpu=uuid,name,memory.total,utilization.gpu", "--format=csv,noheader,nounits")
	if err != nil {
		return Reading{}, err
	}
	r := Reading{Devices: map[string]Device{}}
	err = records(text, 4, func(f []string) error {
		r.Devices[f[0]] = Device{UUID: f[0], Name: f[1], Total: scaled(f[2], mebibyte), Utilisation: figure(f[3])}
		return nil
	})
	if err != nil {
		return Reading{}, err
	}
	if text, err = run("--query-compute-apps=gpu_uuid,pid,used_gpu_memory", "--format=csv,noheader,nounits"); err != nil {
		return Reading{}, err
	}
	err = records(text, 3, func(f []string) error {
		pid, err := strconv.Atoi(f[1])
		if err != nil || pid <= 0 {
			return fmt.Errorf("%q is no process", f[1])
		}
		r.Uses = append(r.Uses, Use{PID: pid, UUID: f[0], Memory: scaled(f[2], mebibyte)})
		return nil
	})
	return r, err
}

// records calls do with the fields of each line.
func records(text []byte, fields int, do func([]string) error) error {
	in := csv.NewReader(bytes.NewReader(text))
	in.FieldsPerRecord, in.TrimLeadingSpace, in.LazyQuotes = fields, true, true
	all, err := in.ReadAll()
	if err != nil {
		return fmt.Errorf("it printed %.100q: %w", text, err)
	}
	for _, f := range all {
		for i := range f {
			f[i] = strings.TrimSpace(f[i])
		}
		if err := do(f); err != nil {
			return fmt.Errorf("it printed %.100q: %w", strings.Join(f, ", "), err)
		}
	}
	return nil
}

// figure is a number that isn't negative; nil for [N/A], [Not Supported] and the like.
func figure(text string) *float64 {
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || !(n >= 0 && n < 1<<53) {
		return nil
	}
	return &n
}

func scaled(text string, unit float64) *int64 {
	n := figure(text)
	if n == nil || *n*unit >= 1<<62 {
		return nil
	}
	b := int64(*n * unit)
	return &b
}
