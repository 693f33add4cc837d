package systemd

import (
	"fmt"
	"strings"
	"testing"

	"reconciler.dev/reconciler/pkg/spec"
)

func TestLimits(t *testing.T) {
	for _, tt := range []struct {
		name              string
		cgroup            *spec.Cgroup
		properties, files string
	}{
		{
			"none", nil,
			"CPUQuotaPerSecUSec=18446744073709551615 MemoryMax=18446744073709551615 MemorySwapMax=18446744073709551615 MemoryHigh=18446744073709551615 TasksMax=18446744073709551615 CPUWeight=18446744073709551615 IOWeight=18446744073709551615",
			"cpu.max=max 100000 memory.max=max memory.high=max pids.max=max cpu.weight=100 io.weight=default 100",
		}, {
			"infinity", &spec.Cgroup{MemoryLimit: spec.Unlimited, MemoryHigh: spec.Unlimited},
			"CPUQuotaPerSecUSec=18446744073709551615 MemoryMax=18446744073709551615 MemorySwapMax=18446744073709551615 MemoryHigh=18446744073709551615 TasksMax=18446744073709551615 CPUWeight=18446744073709551615 IOWeight=18446744073709551615",
			"cpu.max=max 100000 memory.max=max memory.high=max pids.max=max cpu.weight=100 io.weight=default 100",
		}, {
			"all", &spec.Cgroup{CPULimit: 500, MemoryLimit: 1<<30 + 1, MemoryHigh: 10_000_000, PidsLimit: 64, CPUWeight: 50, IOWeight: 200},
			"CPUQuotaPerSecUSec=500000 MemoryMax=1073741825 MemorySwapMax=0 MemoryHigh=10000000 TasksMax=64 CPUWeight=50 IOWeight=200",
			"cpu.max=50000 100000* memory.max=1073741824* memory.high=9998336* pids.max=64* cpu.weight=50* io.weight=default 200*",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := limitsOf(tt.cgroup)
			var properties, files []string
			for _, p := range l.Properties() {
				properties = append(properties, fmt.Sprintf("%s=%v", p.Name, p.Value.Value()))
			}
			for _, f := range l.Files(4096) {
				text := f.Name + "=" + f.Want
				if f.Limited {
					text += "*"
				}
				files = append(files, text)
			}
			if got := strings.Join(properties, " "); got != tt.properties {
				t.Errorf("properties: %s, want %s", got, tt.properties)
			}
			if got := strings.Join(files, " "); got != tt.files {
				t.Errorf("files: %s, want %s", got, tt.files)
			}
		})
	}
}

// The kernel takes no less than a millisecond of quota, in a period of a second at most.
func TestSmallQuotas(t *testing.T) {
	for cpu, want := range map[spec.CPU]string{
		2000: "200000 100000", 1000: "100000 100000", 125: "12500 100000", 10: "1000 100000", 9: "1000 111111", 5: "1000 200000", 1: "1000 1000000", 1_000_000: "100000000 100000",
	} {
		if got := cpuMax(cpu); got != want {
			t.Errorf("%s of a core is %q, want %q", cpu, got, want)
		}
	}
}

func FuzzQuotasAreNearWhatIsAsked(f *testing.F) {
	f.Add(int64(500))
	f.Fuzz(func(t *testing.T, milli int64) {
		if milli < 1 || milli > 1e9 {
			return
		}
		var quota, period int64
		if _, err := fmt.Sscanf(cpuMax(spec.CPU(milli)), "%d %d", &quota, &period); err != nil {
			t.Fatal(err)
		}
		if quota < 1000 || period < 1000 || period > 1_000_000 {
			t.Errorf("the kernel refuses %d %d", quota, period)
		}
		if want := milli * period / 1000; quota < want-want/100 || quota > want+want/100+1 {
			t.Errorf("%d thousandths of a core are %d in %d, want %d", milli, quota, period, want)
		}
	})
}
