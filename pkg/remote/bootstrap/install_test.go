package bootstrap

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// put makes a file of that age.
func put(t *testing.T, age time.Duration, path ...string) string {
	t.Helper()
	file := filepath.Join(path...)
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	at := time.Now().Add(-age)
	for _, p := range []string{file, filepath.Dir(file)} {
		if err := os.Chtimes(p, at, at); err != nil {
			t.Fatal(err)
		}
	}
	return file
}

// left lists the files below dir.
func left(t *testing.T, dir string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			names = append(names, strings.TrimPrefix(path, dir+"/"))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func name(i int) string { return fmt.Sprintf("%016x", i) }

func TestInstallMovesWhatIsRight(t *testing.T) {
	dir := t.TempDir()
	temp, final := put(t, 0, dir, name(1), "part.host.1"), filepath.Join(dir, name(1), agentFile)
	sum := sha256.Sum256([]byte(temp))
	put(t, 0, dir, name(1), agentFile)
	if err := Install(hex.EncodeToString(sum[:]), temp, final); err != nil {
		t.Fatal(err)
	}
	if got := left(t, dir); !slices.Equal(got, []string{name(1) + "/" + agentFile}) {
		t.Errorf("left are %q", got)
	}
	text, err := os.ReadFile(final)
	if err != nil || string(text) != temp {
		t.Errorf("%q, %v", text, err)
	}
	if fi, err := os.Stat(final); err != nil || fi.Mode().Perm() != 0o755 {
		t.Errorf("mode %v, %v", fi.Mode(), err)
	}
}

func TestInstallRefusesWhatIsWrong(t *testing.T) {
	dir := t.TempDir()
	temp, final := put(t, 0, dir, name(1), "part.host.1"), put(t, 0, dir, name(1), agentFile)
	if err := Install(strings.Repeat("0", 64), temp, final); err == nil || !strings.Contains(err.Error(), "SHA-256") {
		t.Errorf("got %v", err)
	}
	if text, err := os.ReadFile(final); err != nil || string(text) != final {
		t.Errorf("what was there is %q, %v", text, err)
	}
	if err := Install("", filepath.Join(dir, "missing"), final); err == nil {
		t.Error("what isn't there was installed")
	}
}

func TestSweepTakesWhatNobodyUses(t *testing.T) {
	const day = 24 * time.Hour
	dir := t.TempDir()
	put(t, 400*day, dir, name(0), agentFile) // the one that was just installed, whatever the clock says
	var want []string
	want = append(want, name(0)+"/"+agentFile)
	for i := 1; i <= mostAgents; i++ {
		put(t, time.Duration(i)*5*day, dir, name(i), agentFile)
		want = append(want, name(i)+"/"+agentFile)
	}
	put(t, 25*day, dir, name(10), agentFile) // one too many
	put(t, 31*day, dir, name(11), agentFile) // unused
	put(t, 2*day, dir, name(0), "part.host.1")
	put(t, 2*day, dir, name(12), "part.host.2") // of an agent that never came
	put(t, time.Hour, dir, name(13), "part.host.3")
	want = append(want, name(13)+"/part.host.3")
	others := []string{put(t, 400*day, dir, "README"), put(t, 400*day, dir, "mine", agentFile), put(t, 400*day, dir, name(1), "mine")}
	sweep(dir, name(0), time.Now())
	for _, o := range others {
		want = append(want, strings.TrimPrefix(o, dir+"/"))
	}
	slices.Sort(want)
	got := left(t, dir)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("left are\n%q, want\n%q", got, want)
	}
	sweep(filepath.Join(dir, "missing"), name(0), time.Now())
}

func TestSweepLeavesWhatRuns(t *testing.T) {
	dir := t.TempDir()
	for i := range 3 * mostAgents { // as many controllers of as many versions
		put(t, time.Hour+time.Duration(i)*time.Minute, dir, name(i), agentFile)
	}
	sweep(dir, name(0), time.Now())
	if got := left(t, dir); len(got) != 3*mostAgents {
		t.Errorf("left are %q, and all were in use today", got)
	}
}

func TestKeepInUse(t *testing.T) {
	age := func(path string) time.Duration {
		fi, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return time.Since(fi.ModTime()).Round(time.Hour)
	}
	dir := t.TempDir()
	mine, other := put(t, 100*time.Hour, dir, name(1), agentFile), put(t, 100*time.Hour, dir, "bin", agentFile)
	synctest.Test(t, func(t *testing.T) { // its clock begins in the year 2000
		for _, path := range []string{mine, other} {
			old := time.Now().Add(-100 * time.Hour)
			if err := os.Chtimes(path, old, old); err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		go KeepInUse(ctx, mine)
		go KeepInUse(ctx, other)
		synctest.Wait()
		if got := age(mine); got != 0 {
			t.Errorf("at its start it is %v old", got)
		}
		time.Sleep(60*24*time.Hour + time.Minute)
		synctest.Wait()
		if got := age(mine); got > touchEvery {
			t.Errorf("after two months of use it is %v old", got)
		}
		if got := age(other); got < 100*time.Hour {
			t.Errorf("a program that is none of ours was touched: it is %v old", got)
		}
		cancel()
		synctest.Wait()
	})
}
