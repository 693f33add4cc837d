package figure

import "testing"

func TestAmount(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0B", 999: "999B", 1000: "1.0K", 1 << 20: "1.0M", 100 << 20: "100M", 1000 << 20: "1.0G", 1.5 * (1 << 30): "1.5G", 1023 << 30: "1.0T", 1 << 62: "4.0E",
	} {
		if got, same := Amount(n), Amount(float64(n)); got != want || same != want {
			t.Errorf("%d bytes are %q and %q, want %q", n, got, same, want)
		}
	}
}

func TestPercent(t *testing.T) {
	for share, want := range map[float64]string{0: "0.0", 0.0004: "0.0", 0.5: "50.0", 0.9999: "100", 1.5: "150", 64: "6400"} {
		if got := Percent(share); got != want {
			t.Errorf("%v is %s %%, want %s", share, got, want)
		}
	}
}

// TestWhatIsNotKnownIsNoNumber while 0 is one.
func TestWhatIsNotKnownIsNoNumber(t *testing.T) {
	if got := Known(nil, Integer) + Known(new(int64), Integer); got != "?0" {
		t.Errorf("unknown and none are %q", got)
	}
}
