package systemd

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode/utf16"

	"reconciler.dev/reconciler/pkg/spec"
)

// Section is where our stamp stands in a unit file. systemd ignores sections whose names begin with X-.
const Section = "[X-Reconciler]"

const (
	keyDigest = "Settings=" // of all that stands before the section
	keyStamp  = "Stamp="    // JSON
	keyLong   = "StampPart="
)

// longest is the length of a line that is still readable by every version of systemd: more than 1 MiB makes it refuse the whole file.
const longest = 512 << 10

// seal appends the section with the stamp to what systemd reads of a unit.
func seal(settings []byte, s *spec.Stamp) ([]byte, error) {
	text, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("write the stamp of daemon %s: %w", s.Name, err)
	}
	text = onlyCharacters(text)
	b := bytes.NewBuffer(slices.Clone(settings))
	fmt.Fprintf(b, "\n%s\n%s%s\n", Section, keyDigest, digest(settings))
	if len(text) <= longest {
		fmt.Fprintf(b, "%s%s\n", keyStamp, text)
		return b.Bytes(), nil
	}
	for part := range slices.Chunk(text, longest/2) {
		fmt.Fprintf(b, "%s%s\n", keyLong, base64.StdEncoding.EncodeToString(part))
	}
	return b.Bytes(), nil
}

// onlyCharacters escapes what is JSON and not text for systemd, which would refuse the whole file.
func onlyCharacters(text []byte) []byte {
	if carriable(string(text)) {
		return text
	}
	var b []byte
	for _, r := range string(text) {
		switch {
		case character(r):
			b = append(b, string(r)...)
		case r > 0xffff:
			hi, lo := utf16.EncodeRune(r)
			b = fmt.Appendf(b, `\u%04x\u%04x`, hi, lo)
		default:
			b = fmt.Appendf(b, `\u%04x`, r)
		}
	}
	return b
}

func digest(settings []byte) string {
	sum := sha256.Sum256(settings)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// split returns what stands before our section and what stands in it. The section is the last of a file that we wrote.
func split(text []byte) (settings, section []byte, ours bool) {
	i := bytes.LastIndex(text, []byte("\n"+Section+"\n"))
	if i < 0 {
		return text, nil, false
	}
	return text[:i], text[i+len(Section)+2:], true
}

// ParseStamp returns the stamp of a unit file, nil where the file isn't ours. An error says that it is ours, and damaged.
func ParseStamp(text []byte) (*spec.Stamp, error) {
	_, section, ours := split(text)
	if !ours {
		return nil, nil
	}
	data, err := stampOf(section)
	if err != nil {
		return nil, err
	}
	var s spec.Stamp
	if err := json.Unmarshal(data, &s); err != nil {
		return nil, fmt.Errorf("read the stamp: %w", err)
	}
	if s.Name == "" {
		return nil, fmt.Errorf("read the stamp: it names no daemon")
	}
	return &s, nil
}

// stampOf returns the JSON of a stamp.
func stampOf(section []byte) (data []byte, err error) {
	for line := range bytes.Lines(section) {
		line = bytes.TrimSuffix(line, []byte("\n"))
		if whole, ok := bytes.CutPrefix(line, []byte(keyStamp)); ok {
			return whole, nil
		}
		part, ok := bytes.CutPrefix(line, []byte(keyLong))
		if !ok {
			continue
		}
		if data, err = base64.StdEncoding.AppendDecode(data, part); err != nil {
			return nil, fmt.Errorf("read the stamp: %w", err)
		}
	}
	return data, nil
}

// Intact tells whether what systemd reads of a unit file is what we wrote. It holds for a file that another version of reconciler wrote, too.
func Intact(text []byte) bool {
	settings, section, ours := split(text)
	if !ours {
		return false
	}
	for line := range bytes.Lines(section) {
		if is, ok := strings.CutPrefix(string(line), keyDigest); ok {
			return strings.TrimSuffix(is, "\n") == digest(settings)
		}
	}
	return false
}
