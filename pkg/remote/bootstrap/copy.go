package bootstrap

import (
	"bufio"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
)

// copy puts the agent in its place on a host of which f was found. whole is its cksum.
func (b *booter) copy(ctx context.Context, f facts, whole string) error {
	from := b.usablePart(f)
	b.say("copying the agent (%s, %s) to %s on %s", b.binary.Platform, megabytes(b.binary.Size-from.size), f.folder, b.Host)
	out, err := b.send(ctx, f, from, whole)
	if err == nil && !out.installed && from.id != "" && !out.full() {
		out, err = b.send(ctx, f, part{}, whole) // the part wasn't what it seemed: from the start, then
	}
	if err != nil || out.installed {
		return err
	}
	return b.copyProblem(f, out)
}

// usablePart returns the longest part on the host that is the beginning of the agent, or none.
func (b *booter) usablePart(f facts) (best part) {
	for _, p := range f.parts {
		if p.size > b.binary.Size || p.size <= best.size {
			continue
		}
		if sum, err := b.binary.prefixCksum(p.size); err == nil && sum == p.sum {
			best = p
		}
	}
	return best
}

// copied is how a copy came out.
type copied struct {
	installed bool
	// stage is what the script said last: failed, before anything was copied; short, while it was; installed, where the copy couldn't put itself into place.
	stage string
	// text is the reason, the host's own words.
	text string
	// status is the exit status of the copy that was to put itself into place.
	status int
}

// full tells whether the host had no room for it.
func (c copied) full() bool { return isFull(c.text) }

// send runs uploadScript once.
func (b *booter) send(ctx context.Context, f facts, from part, whole string) (copied, error) {
	s, err := b.startScript(ctx, uploadScript)
	if s == nil {
		return copied{}, err
	}
	var out copied
	if err == nil {
		err = b.converse(s, f, from, whole, &out)
	}
	end := s.done()
	if err := b.left(ctx, end); err != nil {
		return out, err
	}
	if err == nil || out.stage != "" {
		return out, nil
	}
	if end.late {
		return out, b.problem(Hanging, fmt.Sprintf("it stopped taking the copy of the agent for %s", b.Patience),
			"try again: the copy goes on where it stopped", end.said)
	}
	return out, b.problem(Broken, "the copy of the agent ended early: "+err.Error(), "try again: the copy goes on where it stopped", end.said)
}

// converse answers the script. The error of a write isn't the last word: what the script says of why it reads no more is.
func (b *booter) converse(s *script, f facts, from part, whole string, out *copied) error {
	zip := ""
	if f.gzip {
		zip = "gzip"
	}
	size := ""
	if from.id != "" {
		size = strconv.FormatInt(from.size, 10)
	}
	if err := s.tell(stdinPath(b.place.folderOfFile()), from.id, size, whole, b.binary.Hash, zip); err != nil {
		return err
	}
	for {
		key, value, err := s.next()
		if err != nil {
			return err
		}
		switch key {
		case "have":
			have, err := strconv.ParseInt(value, 10, 64)
			if err != nil || have != 0 && have != from.size {
				return fmt.Errorf("it says that it has %q of it", value)
			}
			_ = b.stream(s, have, f.gzip) // where the script stopped reading, it says next why
			_ = s.CloseWrite()
		case "failed":
			out.stage, out.text = key, reason(value)
		case "short":
			_, out.text, _ = strings.Cut(value, " ")
			out.stage = key
		case "installed":
			status, text, _ := strings.Cut(value, " ")
			out.status, _ = strconv.Atoi(status)
			out.stage, out.text, out.installed = key, text, status == "0"
		case endLine:
			return nil
		}
	}
}

// stream writes the agent from an offset on.
func (b *booter) stream(w io.Writer, offset int64, zip bool) error {
	f, err := os.Open(b.binary.open)
	if err != nil {
		return err
	}
	defer f.Close()
	rest := io.NewSectionReader(f, offset, b.binary.Size-offset)
	if !zip {
		_, err = io.Copy(w, rest)
		return err
	}
	packets := bufio.NewWriterSize(w, 32<<10) // gzip writes a few bytes at a time
	z, err := gzip.NewWriterLevel(packets, gzip.BestSpeed)
	if err != nil {
		return err
	}
	if _, err := io.Copy(z, rest); err != nil {
		return err
	}
	if err := z.Close(); err != nil {
		return err
	}
	return packets.Flush()
}

func megabytes(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }
