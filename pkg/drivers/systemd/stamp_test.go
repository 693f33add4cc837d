package systemd

import (
	"bytes"
	"strings"
	"testing"
	"testing/quick"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"reconciler.dev/reconciler/internal/testprog"
	"reconciler.dev/reconciler/pkg/spec"
)

// sealed renders a unit with text wherever a manifest has any.
func sealed(t *testing.T, text string) (*spec.Stamp, []byte) {
	t.Helper()
	d := daemonOf(t, manifestHead)
	d.Spec.Args, d.Annotations = []string{text}, map[string]string{"note": text}
	s := stampOf1(d)
	u, err := Render(d, s, factsOf(252, false))
	if err != nil {
		t.Fatal(err)
	}
	return s, u.Text
}

// Whatever a manifest says, the stamp of its unit is read as it was written, and systemd can read every line of the file.
func TestTheStampComesBack(t *testing.T) {
	check := func(text string) bool {
		text = strings.ToValidUTF8(strings.ReplaceAll(text, "\x00", ""), "?") // manifests are UTF-8
		want, unit := sealed(t, text)
		got, err := ParseStamp(unit)
		if err != nil || !Intact(unit) {
			t.Errorf("%q: %v; intact: %v", text, err, Intact(unit))
			return false
		}
		for line := range bytes.Lines(unit) {
			if len(line) >= 1<<20 || !carriable(string(line)) || bytes.HasSuffix(line, []byte("\\\n")) {
				t.Errorf("%q: systemd can't read the line of %d bytes that begins %.80q", text, len(line), line)
				return false
			}
		}
		return cmp.Equal(want, got)
	}
	for _, text := range append(testprog.Hostile(), "\n"+Section+"\nStamp={}\n", strings.Repeat(`"\`, 30<<10), strings.Repeat("\ufffe", 30<<10)) {
		if utf8.ValidString(text) && !check(text) {
			t.Errorf("%.100q didn't come back", text)
		}
	}
	if err := quick.Check(check, nil); err != nil {
		t.Error(err)
	}
}

func TestALongStampComesBack(t *testing.T) {
	d := daemonOf(t, manifestHead)
	for range 9 {
		d.Spec.Args = append(d.Spec.Args, strings.Repeat("1\x01", 10<<10))
	}
	d.Annotations = map[string]string{"long": strings.Repeat("x\\", 1<<20)}
	want := stampOf1(d)
	u, err := Render(d, want, factsOf(252, false))
	if err != nil {
		t.Fatal(err)
	}
	got, err := ParseStamp(u.Text)
	if err != nil {
		t.Fatal(err)
	}
	if !cmp.Equal(want, got) || !Intact(u.Text) {
		t.Error("it didn't")
	}
	for line := range bytes.Lines(u.Text) {
		if len(line) >= 1<<20 {
			t.Errorf("a line has %d bytes", len(line))
		}
	}
}

func TestParseStampOfOtherFiles(t *testing.T) {
	for _, tt := range []struct{ name, text, err string }{
		{"nothing", "", ""},
		{"somebody's unit", "[Service]\nExecStart=/bin/true\n", ""},
		{"somebody's unit that mentions us", "[Service]\nExecStart=/bin/echo [X-Reconciler]\n", ""},
		{"an empty section", "[Service]\n\n[X-Reconciler]\n", "read the stamp: "},
		{"no JSON", "[Service]\n\n[X-Reconciler]\nStamp=x\n", "read the stamp: "},
		{"cut off", "[Service]\n\n[X-Reconciler]\nStamp={\"metadata\":{\"na", "read the stamp: "},
		{"no base64", "[Service]\n\n[X-Reconciler]\nStampPart=!\n", "read the stamp: "},
		{"of nobody", "[Service]\n\n[X-Reconciler]\nStamp={}\n", "read the stamp: it names no daemon"},
	} {
		s, err := ParseStamp([]byte(tt.text))
		if s != nil || (err == nil) != (tt.err == "") || err != nil && !strings.HasPrefix(err.Error(), tt.err) || Intact([]byte(tt.text)) {
			t.Errorf("%s: %v, %v", tt.name, s, err)
		}
	}
}

func FuzzParseStamp(f *testing.F) {
	f.Add([]byte("[Service]\n\n[X-Reconciler]\nSettings=x\nStamp={\"metadata\":{\"name\":\"a\"}}\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := ParseStamp(text)
		if s != nil && (err != nil || s.Name == "") {
			t.Errorf("%+v, %v", s, err)
		}
		Settings(text)
	})
}
