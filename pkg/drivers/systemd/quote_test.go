package systemd

import "testing"

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
		{verbatimWord, `a\b %n`, `"a\b %%n"`},
		{verbatimWord, `a"b'c`, `"a"'"'"b'c"`},
	} {
		if got := quote(tt.text, tt.as); got != tt.want {
			t.Errorf("%q is written %s, want %s", tt.text, got, tt.want)
		}
	}
}
