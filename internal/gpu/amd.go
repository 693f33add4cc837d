package gpu

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"strconv"
)

// amd is one GPU in what amd-smi prints as JSON, whatever was asked for: see its manual, "CLI tool usage". What it doesn't know is "N/A" in the place of anything.
type amd struct {
	GPU       json.Number  `json:"gpu"`
	UUID      any          `json:"uuid"`
	ASIC      lax[amdASIC] `json:"asic"`
	Memory    lax[amdMem]  `json:"mem_usage"`
	Usage     lax[amdUse]  `json:"usage"`
	Processes lax[[]struct {
		Info lax[amdProcess] `json:"process_info"`
	}] `json:"process_list"`
}

type (
	amdASIC struct {
		Name lax[string] `json:"market_name"`
	}
	amdMem struct {
		Total lax[quantity] `json:"total_vram"`
	}
	amdUse struct {
		Activity lax[quantity] `json:"gfx_activity"`
	}
	amdProcess struct {
		PID    int `json:"pid"`
		Memory lax[struct {
			VRAM lax[quantity] `json:"vram_mem"`
		}] `json:"memory_usage"`
	}
	// quantity is a figure with its unit.
	quantity struct {
		Value json.Number `json:"value"`
		Unit  string      `json:"unit"`
	}
)

// lax is a T, or the zero T where something else stands.
type lax[T any] struct{ v T }

// UnmarshalJSON never fails for JSON.
func (l *lax[T]) UnmarshalJSON(b []byte) error {
	var v T
	if err := json.Unmarshal(b, &v); err == nil {
		l.v = v
	}
	return nil
}

// bytes is an amount of memory; nil where its unit isn't known.
func (q quantity) bytes() *int64 {
	unit := map[string]float64{"B": 1, "KB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30}[q.Unit]
	if unit == 0 {
		return nil
	}
	return scaled(string(q.Value), unit)
}

// readAMD asks amd-smi.
func readAMD(_ context.Context, run func(args ...string) ([]byte, error)) (Reading, error) {
	r := Reading{Devices: map[string]Device{}}
	byNumber := map[json.Number]string{}
	for _, question := range []struct {
		args []string
		take func(d *Device, a amd)
	}{
		{[]string{"list", "--json"}, nil},
		{[]string{"static", "--asic", "--json"}, func(d *Device, a amd) { d.Name = a.ASIC.v.Name.v }},
		{[]string{"metric", "--usage", "--mem-usage", "--json"}, func(d *Device, a amd) {
			d.Total, d.Utilisation = a.Memory.v.Total.v.bytes(), figure(string(a.Usage.v.Activity.v.Value))
		}},
		{[]string{"process", "--json"}, func(d *Device, a amd) {
			for _, p := range a.Processes.v {
				if pid := p.Info.v.PID; pid > 0 {
					r.Uses = append(r.Uses, Use{PID: pid, UUID: d.UUID, Memory: p.Info.v.Memory.v.VRAM.v.bytes()})
				}
			}
		}},
	} {
		text, err := run(question.args...)
		if err != nil {
			return Reading{}, err
		}
		all, err := gpusIn(text)
		if err != nil {
			return Reading{}, fmt.Errorf("%s: %w", question.args[0], err)
		}
		for _, a := range all {
			if question.take == nil {
				uuid, _ := a.UUID.(string)
				uuid = cmp.Or(uuid, "amd:"+string(a.GPU))
				byNumber[a.GPU], r.Devices[uuid] = uuid, Device{UUID: uuid}
				continue
			}
			uuid, known := byNumber[a.GPU]
			if !known {
				return Reading{}, fmt.Errorf("%s: it tells of GPU %s, which it doesn't list", question.args[0], strconv.Quote(string(a.GPU)))
			}
			d := r.Devices[uuid]
			question.take(&d, a)
			r.Devices[uuid] = d
		}
	}
	return r, nil
}

// gpusIn reads a list of GPUs: bare, or since amd-smi 25.4 in an object. Lines before it are warnings.
func gpusIn(text []byte) (all []amd, err error) {
	at := bytes.IndexAny(text, "[{")
	if at < 0 {
		return nil, fmt.Errorf("it printed %.100q", text)
	}
	text = text[at:]
	if text[0] == '[' {
		err = json.Unmarshal(text, &all)
	} else {
		var in struct {
			GPUs []amd `json:"gpu_data"`
		}
		err = json.Unmarshal(text, &in)
		all = in.GPUs
	}
	if err != nil {
		return nil, fmt.Errorf("it printed %.100q: %w", text, err)
	}
	return all, nil
}
