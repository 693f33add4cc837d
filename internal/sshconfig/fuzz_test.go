package sshconfig

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// FuzzConfig reads what may stand in a file. Nothing may crash it, hang it, or run; and what is read is the same each time.
func FuzzConfig(f *testing.F) {
	names, err := filepath.Glob("testdata/*.conf")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range names {
		content, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(content), "Include config\nPort 22\n", "gpu-1")
	}
	f.Fuzz(func(t *testing.T, content, more, host string) {
		files := memory{"/home/bob/.ssh/config": content, "/home/bob/.ssh/more": more}
		config, err := Load(files, paths(), bob())
		if err != nil {
			if strings.TrimSpace(err.Error()) == "" {
				t.Error("an error says nothing")
			}
			return
		}
		s, err := config.Resolve(Query{Host: host, Also: []string{"other"}}, bob())
		if err != nil {
			return
		}
		if s.HostName == "" && !strings.Contains(strings.ToLower(content+more), "hostname") || s.User == "" || s.Port < 1 || s.Port > 65535 || s.ConnectTimeout < 0 || s.ServerAliveInterval < 0 {
			t.Errorf("%+v", s)
		}
		for _, n := range s.Notes {
			if n.Line == 0 || n.Word == "" || n.Why == "" {
				t.Errorf("a note says nothing: %+v", n)
			}
		}
	})
}
