package plainfile

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestWhatSomebodyStillWrites isn't said to be there before they have closed it: until then it can't be executed.
func TestWhatSomebodyStillWrites(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	began := time.Now()
	if err := Unwritten(ctx, path); err != nil || time.Since(began) > longestStray/2 {
		t.Errorf("who is told to stop: %v, after %v", err, time.Since(began))
	}
	done := make(chan error)
	go func() { done <- Unwritten(t.Context(), path) }()
	select {
	case err := <-done:
		t.Errorf("it ended while the file is written: %v", err)
	case <-time.After(20 * time.Millisecond):
	}
	f.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
