package drivers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"reconciler.dev/reconciler/internal/layout"
	"reconciler.dev/reconciler/pkg/spec"
)

const many = 50

func newBook(t *testing.T) *pauseBook {
	t.Helper()
	dirs := layout.Under(t.TempDir())
	if err := dirs.Make(); err != nil {
		t.Fatal(err)
	}
	return &pauseBook{dirs: dirs, file: pausedBook}
}

// setAll sets the pause of daemons from to to-1, all at once, and returns how each went.
func setAll(ctx context.Context, b *pauseBook, from, to int, pause *spec.Pause) []error {
	errs := make([]error, to-from)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() { errs[i] = b.set(ctx, fmt.Sprintf("d%d", from+i), pause) })
	}
	wg.Wait()
	return errs
}

func paused(t *testing.T, b *pauseBook) int {
	t.Helper()
	all, err := b.read()
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}

// until waits until cond holds under the book's mutex.
func until(t *testing.T, b *pauseBook, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		b.mu.Lock()
		holds := cond()
		b.mu.Unlock()
		if holds {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("it isn't so within a minute")
		}
	}
}

// TestEditsThatWaitAreWrittenTogether: while one edit waits for another process, all others wait for its writer, who takes them in one go.
func TestEditsThatWaitAreWrittenTogether(t *testing.T) {
	b := newBook(t)
	lock, err := LockName(t.Context(), b.dirs, "/"+pausedBook)
	if err != nil {
		t.Fatal(err)
	}
	first, others := make(chan []error), make(chan []error)
	go func() { first <- setAll(t.Context(), b, 0, 1, &spec.Pause{By: "test"}) }()
	until(t, b, func() bool { return b.writing && len(b.waiting) == 0 })
	go func() { others <- setAll(t.Context(), b, 1, many, &spec.Pause{By: "test"}) }()
	until(t, b, func() bool { return len(b.waiting) == many-1 })
	if n := paused(t, b); n != 0 {
		t.Errorf("%d are paused while another process has the lock", n)
	}
	lock.Release()
	if err := errors.Join(append(<-first, <-others...)...); err != nil {
		t.Error(err)
	}
	if n := paused(t, b); n != many {
		t.Errorf("%d are paused, want %d", n, many)
	}
}

// TestTwoProcessesLoseNoEdit: two books over one directory are two processes.
func TestTwoProcessesLoseNoEdit(t *testing.T) {
	b := newBook(t)
	other := &pauseBook{dirs: b.dirs, file: pausedBook}
	if err := errors.Join(setAll(t.Context(), b, 0, many, &spec.Pause{By: "before"})...); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := errors.Join(setAll(t.Context(), b, 0, many, nil)...); err != nil {
			t.Error(err)
		}
	})
	wg.Go(func() {
		if err := errors.Join(setAll(t.Context(), other, many, 2*many, &spec.Pause{By: "other"})...); err != nil {
			t.Error(err)
		}
	})
	wg.Wait()
	all, err := b.read()
	if err != nil || len(all) != many {
		t.Errorf("%d are paused, want %d: %v", len(all), many, err)
	}
	for name, p := range all {
		if p.By != "other" {
			t.Errorf("%s is paused by %s", name, p.By)
		}
	}
}

func TestAnEditThatIsThereAlreadyCostsNoWrite(t *testing.T) {
	b := newBook(t)
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	if err := b.set(t.Context(), "web", &spec.Pause{At: at, By: "first"}); err != nil {
		t.Fatal(err)
	}
	before, err := os.Stat(b.path())
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(b.set(t.Context(), "web", &spec.Pause{By: "second"}), b.set(t.Context(), "db", nil)); err != nil {
		t.Fatal(err)
	}
	after, err := os.Stat(b.path())
	if err != nil || !os.SameFile(before, after) {
		t.Errorf("the book was written again: %v", err)
	}
	if all, err := b.read(); err != nil || all["web"] != (spec.Pause{At: at, By: "first"}) {
		t.Errorf("the first pause is %+v: %v", all["web"], err)
	}
}

func TestAnEditThatCannotBeWrittenSaysSo(t *testing.T) {
	b := newBook(t)
	lock, err := LockName(t.Context(), b.dirs, "/"+pausedBook)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Release()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
	defer cancel()
	for i, err := range setAll(ctx, b, 0, 3, &spec.Pause{By: "test"}) {
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("edit %d: %v", i, err)
		}
	}
	if n := paused(t, b); n != 0 {
		t.Errorf("%d are paused", n)
	}
}
