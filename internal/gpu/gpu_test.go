package gpu

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// machine has drivers, and tools that answer by what they are asked first.
func machine(t *testing.T, devices, tools []string, answers map[string]string) Machine {
	t.Helper()
	dir := t.TempDir()
	for _, name := range append(devices, tools...) {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return Machine{Path: []string{"bin", dir}, Dev: dir, Run: func(_ context.Context, path string, args ...string) ([]byte, error) {
		for asked, answer := range answers {
			if strings.HasPrefix(args[0], asked) {
				return []byte(answer), nil
			}
		}
		return nil, errors.New("exit status 9")
	}}
}

func TestNVIDIA(t *testing.T) {
	m := machine(t, []string{"nvidiactl"}, []string{"nvidia-smi"}, map[string]string{
		"--query-gpu":          "GPU-a, NVIDIA H100 80GB HBM3, 81559, 37\nGPU-b, \"NVIDIA GRID, virtual\", [N/A], [Not Supported]\n",
		"--query-compute-apps": "GPU-a, 4711, 1024\nGPU-b, 4711, [N/A]\nGPU-a, 4712, [Insufficient Permissions]\n",
	})
	got, err := m.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := Reading{
		Devices: map[string]Device{
			"GPU-a": {UUID: "GPU-a", Name: "NVIDIA H100 80GB HBM3", Total: new(int64(81559 << 20)), Utilisation: new(37.0)},
			"GPU-b": {UUID: "GPU-b", Name: "NVIDIA GRID, virtual"},
		},
		Uses: []Use{{4711, "GPU-a", new(int64(1 << 30))}, {4711, "GPU-b", nil}, {4712, "GPU-a", nil}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestAMD(t *testing.T) {
	list := `[{"gpu": 0, "bdf": "0000:05:00.0", "uuid": "aaff-0"}, {"gpu": 1, "bdf": "0000:06:00.0", "uuid": "N/A"}]`
	list = strings.Replace(list, `, "uuid": "N/A"`, "", 1)
	answers := map[string]string{
		"list":   "WARNING: no permission for /dev/dri\n" + list,
		"static": `{"gpu_data": [{"gpu": 0, "asic": {"market_name": "AMD Instinct MI300X"}}, {"gpu": 1, "asic": "N/A"}]}`,
		"metric": `{"gpu_data": [{"gpu": 0, "usage": {"gfx_activity": {"value": 40, "unit": "%"}}, "mem_usage": {"total_vram": {"value": 196592, "unit": "MB"}}},
			{"gpu": 1, "usage": {"gfx_activity": "N/A"}, "mem_usage": {"total_vram": {"value": 1, "unit": "furlong"}}}]}`,
		"process": `[{"gpu": 0, "process_list": [{"process_info": {"name": "a", "pid": 42, "memory_usage": {"vram_mem": {"value": 4096, "unit": "B"}}}},
			{"process_info": {"pid": 43, "memory_usage": {"vram_mem": "N/A"}}}]}, {"gpu": 1, "process_list": [{"process_info": "No running processes detected"}]}]`,
	}
	got, err := machine(t, []string{"kfd"}, []string{"amd-smi"}, answers).Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := Reading{
		Devices: map[string]Device{
			"aaff-0": {UUID: "aaff-0", Name: "AMD Instinct MI300X", Total: new(int64(196592 << 20)), Utilisation: new(40.0)},
			"amd:1":  {UUID: "amd:1"},
		},
		Uses: []Use{{42, "aaff-0", new(int64(4096))}, {43, "aaff-0", nil}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	answers["process"] = `[{"gpu": 7}]`
	if _, err := machine(t, []string{"kfd"}, []string{"amd-smi"}, answers).Read(t.Context()); err == nil {
		t.Error("a GPU that isn't there is believed in")
	}
}

func TestWhatCantBeToldIsNoZero(t *testing.T) {
	gpus := "GPU-a, H100, 1, 2\n"
	for name, c := range map[string]struct {
		tools   []string
		answers map[string]string
		says    string
	}{
		"no tool":            {nil, nil, "nvidia-smi isn't, which tells who uses the GPU"},
		"a tool that fails":  {[]string{"nvidia-smi"}, nil, "exit status 9"},
		"it can't tell both": {[]string{"nvidia-smi"}, map[string]string{"--query-gpu": gpus}, "exit status 9"},
		"another format":     {[]string{"nvidia-smi"}, map[string]string{"--query-gpu": "NVIDIA-SMI has failed\n"}, "NVIDIA-SMI has failed"},
		"no process":         {[]string{"nvidia-smi"}, map[string]string{"--query-gpu": gpus, "--query-compute": "GPU-a, me, 1\n"}, `"me" is no process`},
	} {
		if r, err := machine(t, []string{"nvidiactl"}, c.tools, c.answers).Read(t.Context()); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
	if r, err := machine(t, nil, []string{"nvidia-smi"}, nil).Read(t.Context()); err != nil || len(r.Uses) > 0 {
		t.Errorf("without a driver nobody uses a GPU, and a tool needn't be asked: %+v, %v", r, err)
	}
}

func FuzzTools(f *testing.F) {
	f.Add("GPU-a, H100, 1, 2\n", `[{"gpu": 0}]`)
	f.Fuzz(func(t *testing.T, csv, json string) {
		run := func(text string) func(...string) ([]byte, error) {
			return func(...string) ([]byte, error) { return []byte(text), nil }
		}
		for _, read := range []func() (Reading, error){
			func() (Reading, error) { return readNVIDIA(t.Context(), run(csv)) },
			func() (Reading, error) { return readAMD(t.Context(), run(json)) },
		} {
			r, err := read()
			for _, u := range r.Uses {
				if err == nil && (u.PID <= 0 || u.Memory != nil && *u.Memory < 0) {
					t.Errorf("%q, %q: %+v", csv, json, u)
				}
			}
		}
	})
}
