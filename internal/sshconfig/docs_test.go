package sshconfig

import (
	"os"
	"strings"
	"testing"
)

func TestTheDocumentationNamesEveryWord(t *testing.T) {
	text, err := os.ReadFile("../../docs/ssh-config.md")
	if err != nil {
		t.Fatal(err)
	}
	named := map[string]bool{}
	for i, word := range strings.Split(string(text), "`") {
		if i%2 == 1 {
			named[strings.ToLower(word)] = true
		}
	}
	for _, o := range others() {
		for name := range strings.FieldsSeq(o.words) {
			if _, known := honoured(name); known {
				t.Errorf("%s is honoured and isn't", name)
			}
			if o.why != "" && !named[name] {
				t.Errorf("docs/ssh-config.md doesn't say that %s %s", name, o.why)
			}
			delete(named, name)
		}
	}
	for name := range named {
		_, known := honoured(name)
		if known || strings.ContainsAny(name, " ~%/$@.:") || strings.Contains(" host match include all canonical final originalhost user localuser ignoreunknown home hostkey proxyjump identityfile ssh ", " "+name+" ") {
			continue
		}
		t.Errorf("docs/ssh-config.md speaks of %s, which isn't known", name)
	}
}

// TestWordsAreThoseOfSSH holds both tables against what ssh -G prints, which is every word that it knows by its main name.
func TestWordsAreThoseOfSSH(t *testing.T) {
	want, ok, said := real(t, Query{Host: "x"}, os.DevNull)
	if !ok {
		t.Fatal(said)
	}
	for name := range want {
		if name == "host" {
			continue
		}
		_, known := honoured(name)
		for _, o := range others() {
			known = known || strings.Contains(" "+o.words+" ", " "+strings.ToLower(name)+" ")
		}
		if !known {
			t.Errorf("%s is in neither table", name)
		}
	}
}
