package testprog

import "strings"

// Hostile are more than 200 strings that something between a manifest and a process might take for more than text: a shell, systemd, a flag parser, a decoder of UTF-8. None
// has a NUL, and none is longer than a file name may be.
func Hostile() []string {
	all := []string{
		"", " ", "  two  spaces  ", "\t", "\n", "\r\n", " leading", "trailing ", "\ttab first", "tab last\t", "line one\nline two\n", "\r",
		"$", "$$", "$$$", "$HOME", "${HOME}", "$HOME/x", "x$HOME", "x${HOME}y", "$$HOME", "${", "${}", "}", "$}", "${HOME", "$1", "$@", "$*", "$?", "$(id)", "$((1+1))", "${A:-b}", "${A:+b}", "trailing$",
		"`id`", "``", "`", "%", "%%", "%%%", "%n", "%%n", "%i %I %n %N %p %P", "%H%m%b%v", "%u%U%h%s", "%t/%S/%C/%L", "%%%%", "100%", "%q", "% d", "%0", "%\n",
		`"`, `""`, `"""`, `'`, `''`, `'''`, `"quoted"`, `'quoted'`, `"unbalanced`, `'unbalanced`, `un"balanced`, `mid"dle"quotes`, `it's`, `"'"'"`, `'"'"'`, `a" b`, `a' b`, `"a" "b"`,
		`\`, `\\`, `\\\`, `trailing\`, `trailing\\`, `trailing\\\`, `\n`, `\t`, `\x41`, `\x00`, `\0`, `\101`, `\u0041`, `\U00000041`, `\"`, `\'`, `\$`, `\%`, `\;`, `\ `, `\x2`, `\q`, `C:\dir\file`, "\\\n", "a\\\nb", `"\`, `'\`,
		";", ";;", "; id", "a;b", " ; ", "&", "&&", "|", "||", "<", ">", ">>", "2>&1", "(", ")", "{", "{a,b}", "[", "[a]", "[Service]", "\n[Service]\nExecStart=/bin/false\n", "]", "!", "!!", "#", "# comment", "a #b", "//", "/*", "~", "~root", "~/", "*", "?", "**", "^", "^a^b^",
		"-", "--", "---", "-x", "--help", "-rf /", "--=", "=", "==", "a=b", "=b", "a=", "@", "@x", ":", ":x", "+", "+x", "!x", "!!x", "|x", "-@:+!x", "@/bin/true",
		".", "..", "../../etc/passwd", "/", "/etc/passwd", "a/b", "./a", "a//b", "a/", ",", ",,", "a,b",
		"null", "true", "no", "0", "-1", "0x10", "1e3", "infinity", "NaN", "$MAINPID", "${MAINPID}", "$INVOCATION_ID", "EOF", "exit 1", "rm -rf *", "<xml/>", "&amp;", `{"json": "\n"}`, "a: b", "- a", "\\u0000",
		"größe", "漢字", "🚀", "e\u0301", "\u00a0", "\u2028", "\u2029", "\u200b", "\ufeff", "\u202e", "\u0085", "\ufffd", "\ufffe", "\uffff", "\ufdd0", "\U0001fffe", "\U0010ffff", "\ue000",
		"\xff", "\xfe\xff", "\xc3", "\xc3\x28", "\xe2\x28\xa1", "\xed\xa0\x80", "\xf8\x88\x80\x80\x80", "\xc0\x80", "caf\xe9", "\x80",
		"\x1b[31mred\x1b[0m", "\x1b]0;title\a", "\b\b\b", "\x7f", "\x01\x02",
		strings.Repeat("x", 255), strings.Repeat(`"`, 100), strings.Repeat(`\`, 101), strings.Repeat("$", 99), strings.Repeat("%", 99), strings.Repeat(" ", 64), strings.Repeat("漢", 80),
	}
	for c := byte(1); c < 0x80; c++ {
		all = append(all, string([]byte{'a', c, 'b'}))
	}
	return append(all, everyByte())
}

// everyByte is each byte once but the NUL.
func everyByte() string {
	var b []byte
	for c := 1; c < 256; c++ {
		b = append(b, byte(c))
	}
	return string(b)
}

// HostileNames are those of Hostile that a file can be called.
func HostileNames() (names []string) {
	for _, s := range Hostile() {
		if s != "" && s != "." && s != ".." && !strings.Contains(s, "/") {
			names = append(names, s)
		}
	}
	return names
}

// HostileVariables are names that a variable may have, as far as the kernel is concerned.
func HostileVariables() (names []string) {
	for _, s := range Hostile() {
		if s != "" && !strings.Contains(s, "=") {
			names = append(names, s)
		}
	}
	return append(names, "RECONCILER_ENV_", "RECONCILER_ENV_0", "RECONCILER_ENV_1", "MAINPID", "IFS", "BASH_ENV", "lower", "_", "1st", "with-dash", "with.dot", "with space", "BASH_FUNC_x%%")
}
