package main

import (
	"slices"
	"strings"
	"unicode/utf8"
)

const topKeysHelp = `Keys, as htop has them: up, down, PgUp, PgDn, Home and End move; P, M and T sort by CPU, memory and CPU time, < > and F6 by the column before or after,
I inverts the order; H shows hosts and no daemons; F4 or \ filters by name, Esc ends that; F1 or ? is help, and q, F10 or ^C ends.`

// press does what a key is for, by its name, and says whether to go on.
func (v *topView) press(key string) bool {
	switch {
	case key == "ctrl-c":
		return false
	case v.help:
		v.help = false
		return true
	case v.typing:
		v.typeIn(key)
		return true
	}
	switch key {
	case "q", "f10":
		return false
	case "f1", "?", "h":
		v.help = true
	case "up":
		v.selected--
	case "down":
		v.selected++
	case "pgup":
		v.selected -= v.page
	case "pgdn":
		v.selected += v.page
	case "home":
		v.selected = 0
	case "end":
		v.selected = len(v.rows()) - 1
	case "P":
		v.sortBy = "cpu"
	case "M":
		v.sortBy = "memory"
	case "T":
		v.sortBy = "time"
	case "<", ",":
		v.stepSort(-1)
	case ">", ".", "f6":
		v.stepSort(1)
	case "I":
		v.reverse = !v.reverse
	case "H":
		v.perHost = !v.perHost
	case "f4", "\\", "/", "f3":
		v.typing = true
	case "esc":
		v.filter = ""
	}
	return true
}

func (v *topView) stepSort(by int) {
	words := sortWords()
	v.sortBy = words[(slices.Index(words, v.sortBy)+by+len(words))%len(words)]
}

// typeIn is a key while the filter is typed.
func (v *topView) typeIn(key string) {
	switch {
	case key == "enter":
		v.typing = false
	case key == "esc":
		v.typing, v.filter = false, ""
	case key == "backspace":
		_, n := utf8.DecodeLastRuneInString(v.filter)
		v.filter = v.filter[:len(v.filter)-n]
	case utf8.RuneCountInString(key) == 1 && len(v.filter) < 64:
		v.filter += key
	}
}

// sequences are what terminals send for keys that have no character: see the ctlseqs of xterm, and terminfo(5).
func sequences() map[string]string {
	return map[string]string{
		"\x1b[A": "up", "\x1b[B": "down", "\x1bOA": "up", "\x1bOB": "down", "\x1b[5~": "pgup", "\x1b[6~": "pgdn",
		"\x1b[H": "home", "\x1b[F": "end", "\x1bOH": "home", "\x1bOF": "end", "\x1b[1~": "home", "\x1b[4~": "end",
		"\x1bOP": "f1", "\x1b[11~": "f1", "\x1b[[A": "f1", "\x1bOR": "f3", "\x1b[13~": "f3", "\x1b[[C": "f3", "\x1bOS": "f4", "\x1b[14~": "f4", "\x1b[[D": "f4",
		"\x1b[17~": "f6", "\x1b[21~": "f10", "\x03": "ctrl-c", "\r": "enter", "\n": "enter", "\x7f": "backspace", "\x08": "backspace",
	}
}

// keysIn takes what a terminal sent at once apart into names of keys. A lone escape is the key; of a sequence that isn't known nothing is taken for keys.
func keysIn(sent string) (keys []string) {
	known := sequences()
	for sent != "" {
		n := 1
		if sent[0] == '\x1b' {
			n = sequenceLength(sent)
		} else if _, size := utf8.DecodeRuneInString(sent); size > 1 {
			n = size
		}
		one := sent[:n]
		sent = sent[n:]
		switch name, is := known[one]; {
		case is:
			keys = append(keys, name)
		case one == "\x1b":
			keys = append(keys, "esc")
		case len(one) > 1 && one[0] == '\x1b':
		case one[0] >= ' ' && utf8.ValidString(one):
			keys = append(keys, one)
		}
	}
	return keys
}

// sequenceLength is how long the escape sequence is that s begins with: ESC O x, ESC [ [ x, or ESC [ parameters and a final byte (ECMA-48, CSI).
func sequenceLength(s string) int {
	switch {
	case strings.HasPrefix(s, "\x1bO"):
		return min(len(s), 3)
	case strings.HasPrefix(s, "\x1b[["):
		return min(len(s), 4)
	case strings.HasPrefix(s, "\x1b["):
		for i := 2; i < len(s); i++ {
			if s[i] >= '@' && s[i] <= '~' {
				return i + 1
			}
		}
		return len(s)
	}
	return 1
}
