package labhost

import (
	"encoding/binary"
	"net"
	"os/exec"
	"strconv"
	"testing"
	"time"
)

// A program beside a host reaches it by its address, as ssh(1) would, and is this machine's in all else.
func TestBeside(t *testing.T) {
	t.Parallel()
	h := Start(t, Systemd)
	words := append(h.Beside(), "bash", "-c", `read -r banner <"/dev/tcp/$0/22"; echo "${banner%%-*} $$"`, h.Addr)
	cmd := exec.CommandContext(t.Context(), words[0], words[1:]...)
	out, err := cmd.CombinedOutput()
	if want := "SSH " + strconv.Itoa(cmd.Process.Pid) + "\n"; err != nil || string(out) != want {
		t.Errorf("it said %q, want %q: %v", out, want, err)
	}
}

// A cable that loses packets loses about as many as it is told to, both ways, and none once it is mended.
func TestLose(t *testing.T) {
	t.Parallel()
	h := Start(t, Bare)
	conn, err := h.Dial(t.Context(), "ip4:icmp", h.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	lose := func(p float64) {
		t.Helper()
		if err := h.Lose(p); err != nil {
			t.Fatal(err)
		}
	}
	const n = 200
	seq := uint16(0)
	// answered sends n questions and counts the answers: all of those that came have come when one that can't be lost has.
	answered := func(p float64) (count int) {
		lose(p)
		for range n {
			seq++
			ask(t, conn, seq)
		}
		lose(0)
		seq++
		ask(t, conn, seq)
		for hears(t, conn) != seq {
			count++
		}
		return count
	}
	if got := answered(0); got != n {
		t.Errorf("a good cable brought %d answers to %d questions", got, n)
	}
	if got := answered(0.5); got < n/4-37 || got > n/4+37 { // six standard deviations
		t.Errorf("a cable that loses half of the packets brought %d answers to %d questions, want about %d", got, n, n/4)
	}
	lose(0.1)
	lose(0.9)
	for _, bad := range []float64{-0.1, 1} {
		if h.Lose(bad) == nil {
			t.Errorf("packets can be lost with probability %g", bad)
		}
	}
}

// ask sends an echo request, RFC 792.
func ask(t *testing.T, conn net.Conn, seq uint16) {
	t.Helper()
	packet := []byte{8, 0, 0, 0, 0, 1, 0, 0}
	binary.BigEndian.PutUint16(packet[6:], seq)
	binary.BigEndian.PutUint16(packet[2:], ^(8<<8 + 1 + seq)) // no sum of these carries
	if _, err := conn.Write(packet); err != nil {
		t.Fatal(err)
	}
}

// hears returns the number of the next echo reply.
func hears(t *testing.T, conn net.Conn) uint16 {
	t.Helper()
	packet := make([]byte, 1500)
	if err := conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	for {
		n, _, err := conn.(net.PacketConn).ReadFrom(packet) // which takes the IP header off
		if err != nil {
			t.Fatal(err)
		}
		if n >= 8 && packet[0] == 0 {
			return binary.BigEndian.Uint16(packet[6:])
		}
	}
}
