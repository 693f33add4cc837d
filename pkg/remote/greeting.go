package remote

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"reconciler.dev/reconciler/internal/plaintext"
	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
)

// Protocol is the number of what agents and controllers of this version speak. It grows with every change that an older side would misunderstand.
const Protocol = 2

// mark begins the line in which an agent greets. What stands before it is the noise of login scripts.
const mark = "\x1freconciler-agent "

const (
	maxNoise    = 64 << 10
	maxGreeting = 1 << 20
)

// Facts are what an agent says of its machine.
type Facts struct {
	// Version is the agent's.
	Version string `json:"version"`
	OS      string `json:"os"`
	Arch    string `json:"arch"`
	// Hostname is what the machine calls itself.
	Hostname string `json:"hostname"`
	// User and UID are whose daemons it speaks of, Home their home directory, and Path the PATH in which programs are looked up.
	User string `json:"user"`
	UID  int    `json:"uid"`
	Home string `json:"home,omitempty"`
	Path string `json:"path,omitempty"`
	// Programs is where that machine keeps programs by their content.
	Programs string `json:"programs,omitempty"`
	// Keeps stands for the daemons that it speaks of: two agents that say the same act on the same ones, by whatever names their hosts were reached. Empty where that can't be told.
	Keeps string `json:"keeps,omitempty"`
}

// greeting is the first that an agent says.
type greeting struct {
	Protocol int   `json:"protocol"`
	Facts    Facts `json:"facts"`
	// Error says why the machine can't be opened; the rest is void then.
	Error *failure `json:"error,omitempty"`

	Drivers     []driverFacts                              `json:"drivers,omitempty"`
	Best        spec.DriverKind                            `json:"best,omitempty"`
	Unavailable []*drivers.Unavailable                     `json:"unavailable,omitempty"`
	Fallback    map[spec.DriverKind][]*drivers.Unavailable `json:"fallback,omitempty"`
}

// driverFacts are what is asked of a driver so often that it is said beforehand.
type driverFacts struct {
	Kind spec.DriverKind `json:"kind"`
	// Patient is its StartsWait.
	Patient bool `json:"patient,omitempty"`
}

// hello is the first that a controller says.
type hello struct {
	Protocol int `json:"protocol"`
	// Silence is how many milliseconds without a sign of the controller mean that the link is lost.
	Silence int64 `json:"silence"`
	// Host is how the controller calls the agent's machine.
	Host string `json:"host,omitempty"`
}

// errNoAgent marks a stream on which nobody greets.
var errNoAgent = errors.New("no agent answers")

// scanGreeting finds the greeting among the noise of login scripts. Nothing behind it is consumed.
func scanGreeting(r *bufio.Reader) (*greeting, error) {
	var noise []byte
	for len(noise) <= maxNoise {
		line, err := readLine(r, maxGreeting)
		if _, after, ok := bytes.Cut(line, []byte(mark)); ok && err == nil {
			g := &greeting{}
			if err := json.Unmarshal(after, g); err != nil {
				return nil, fmt.Errorf("read the agent's greeting: %w", err)
			}
			return g, nil
		}
		noise = append(noise, line...)
		if err != nil {
			return nil, fmt.Errorf("%w, but %s: %w", errNoAgent, heard(noise), err)
		}
	}
	return nil, fmt.Errorf("%w, but more than %d bytes of something else: %s", errNoAgent, maxNoise, heard(noise))
}

// readLine reads to the end of a line, or of limit bytes.
func readLine(r *bufio.Reader, limit int) (line []byte, err error) {
	for {
		part, err := r.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case !errors.Is(err, bufio.ErrBufferFull):
			return line, err
		case len(line) > limit:
			return line, fmt.Errorf("a line of more than %d bytes", limit)
		}
	}
}

// heard quotes the last of what was said instead of a greeting.
func heard(noise []byte) string {
	lines := strings.Split(strings.TrimSpace(string(noise)), "\n")
	if last := strings.TrimSpace(lines[len(lines)-1]); last != "" {
		return fmt.Sprintf("%q", plaintext.Line(last, 200))
	}
	return "silence"
}

// writeGreeting greets. The first newline ends a line that a login script left open.
func writeGreeting(w io.Writer, g greeting) error {
	b, err := json.Marshal(g)
	if err != nil {
		return fmt.Errorf("greet: %w", err)
	}
	_, err = w.Write(append(append([]byte("\n"+mark), b...), '\n'))
	return err
}
