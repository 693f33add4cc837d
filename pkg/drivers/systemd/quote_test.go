package systemd

import (
	"slices"
	"strings"
	"testing"

	"reconciler.dev/reconciler/internal/testprog"
)

func TestQuote(t *testing.T) {
	for _, tt := range []struct {
		as         kind
		text, want string
	}{
		{word, "plain", "plain"},
		{word, "", `""`},
		{word, "a b", `"a b"`},
		{word, ";", `";"`},
		{word, `q"b\s'`, `"q\"b\\s'"`},
		{word, "100% $HOME", `"100%% $HOME"`},
		{argument, "100% $HOME", `"100%% $$HOME"`},
		{word, "a\nb\tc\rd\x01\x7f", `"a\nb\tc\rd\x01\x7f"`},
		{word, "größe 漢字", `"größe 漢字"`},
		{word, "#", `"#"`},
		{simpleWord, `a\b "c" %n`, `"a\\b \"c\" %%n"`},
	} {
		if got := quote(tt.text, tt.as); got != tt.want {
			t.Errorf("%q is written %s, want %s", tt.text, got, tt.want)
		}
	}
}

func TestWhole(t *testing.T) {
	for text, want := range map[string]string{
		"/a b": "/a b", "/100%": "/100%%", `/a\b"c'd`: `/a\b"c'd`, `/a\`: `/a\/.`, "/a ": "/a /.", "/a\t": "/a\t/.",
	} {
		if got := whole(text); got != want {
			t.Errorf("%q is written %s, want %s", text, got, want)
		}
	}
}

// checkQuoting holds everything that writes a value against what systemd makes of it.
func checkQuoting(t *testing.T, s string) {
	t.Helper()
	if u, err := unwrap(wrap(s)); err != nil || u != s || !carriable(wrap(s)) {
		t.Errorf("%q is carried as %q, which is %q (%v)", s, wrap(s), u, err)
	}
	if !carriable(s) {
		return
	}
	line := commandLine("/bin/"+strings.ReplaceAll(s, `"`, ""), []string{s, "between", s})
	path, argv, err := readCommand(line)
	if bin := "/bin/" + strings.ReplaceAll(s, `"`, ""); err != nil || path != bin || !slices.Equal(argv, []string{bin, s, "between", s}) {
		t.Errorf("%q is written %s, which is %q, %q (%v)", s, line, path, argv, err)
	}
	words, err := splitWords(quote(s, word), false)
	if err == nil && len(words) == 1 {
		words[0], err = doubled(words[0], "%")
	}
	if err != nil || !slices.Equal(words, []string{s}) {
		t.Errorf("%q is written %s, which is %q (%v)", s, quote(s, word), words, err)
	}
	if strings.ContainsAny(line, "\n\r\x00") || strings.HasSuffix(line, `\`) {
		t.Errorf("%q is written %q, which is no line", s, line)
	}
	if vars, err := readEnvFile("A=" + quoteEnvFile(s) + "\nB=" + quoteEnvFile(s+s) + "\n"); err != nil || vars["A"] != s || vars["B"] != s+s {
		t.Errorf("%q is written %s, which is %q (%v)", s, quoteEnvFile(s), vars, err)
	}
	if !plain(s) {
		return
	}
	path = "/" + s
	words, err = splitWords(quote(path, simpleWord), true)
	if err == nil && len(words) == 1 {
		words[0], err = doubled(words[0], "%")
	}
	if err != nil || !slices.Equal(words, []string{path}) {
		t.Errorf("%q is written %s, which is %q (%v)", path, quote(path, simpleWord), words, err)
	}
	if got, err := readPath(whole(path)); err != nil || got != strings.TrimSuffix(path, "/.") {
		t.Errorf("%q is written %q, which is %q (%v)", path, whole(path), got, err)
	}
}

func TestQuotingIsUndone(t *testing.T) {
	for _, s := range testprog.Hostile() {
		checkQuoting(t, s)
	}
}

func FuzzQuotingIsUndone(f *testing.F) {
	for _, s := range testprog.Hostile() {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if strings.IndexByte(s, 0) < 0 {
			checkQuoting(t, s)
		}
	})
}
