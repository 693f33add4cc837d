package procfs

import (
	"os"
	"testing"
)

func TestReadUIDs(t *testing.T) {
	real, effective, err := ReadUIDs(os.Getpid())
	if err != nil || int(real) != os.Getuid() || int(effective) != os.Geteuid() {
		t.Errorf("got %d, %d, %v", real, effective, err)
	}
	for _, c := range []struct {
		text            string
		real, effective uint32
		fails           bool
	}{
		{text: "Name:\tUid: 7\nUid:\t1000\t0\t1000\t1000\nGid:\t1\t1\t1\t1\n", real: 1000},
		{text: "Name:\tx\nUid:\t4294967295\t65534\t0\t0\n", real: 4294967295, effective: 65534},
		{text: "Name:\tx\n", fails: true},
		{text: "Name:\tx\nUid:\t1\n", fails: true},
		{text: "Name:\tx\nUid:\tone\ttwo\n", fails: true},
	} {
		real, effective, err := parseUIDs([]byte(c.text))
		if (err != nil) != c.fails || real != c.real || effective != c.effective {
			t.Errorf("%q: got %d, %d, %v", c.text, real, effective, err)
		}
	}
}
