package logfile

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/fsnotify/fsnotify"
)

// How often Follow looks without being told: a file may be made anew, and some file systems tell nothing.
const (
	lookAnyway    = time.Second
	lookUnwatched = 50 * time.Millisecond
)

// Follow copies the stream to w from where the reader is, and what is written later as it comes, until ctx ends or w fails. It loses and repeats nothing however
// the log is rotated, as long as it keeps up with what is kept.
func (r *Reader) Follow(ctx context.Context, w io.Writer) error {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("follow log %s: %w", r.path, err)
	}
	defer watcher.Close()
	watched := false
	tick := time.NewTicker(lookUnwatched)
	defer tick.Stop()
	for {
		if !watched { // before the read, so that nothing is written between the two unseen
			if watched = watcher.Add(r.path) == nil; watched {
				tick.Reset(lookAnyway)
			}
		}
		if _, err := io.Copy(w, r); err != nil {
			return fmt.Errorf("follow log %s: %w", r.path, err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case e := <-watcher.Events:
			if e.Has(fsnotify.Remove) || e.Has(fsnotify.Rename) {
				watched = false
				tick.Reset(lookUnwatched)
			}
		case err := <-watcher.Errors:
			if !errors.Is(err, fsnotify.ErrEventOverflow) {
				return fmt.Errorf("follow log %s: %w", r.path, err)
			}
		case <-tick.C:
			if again, err := r.renew(); err != nil {
				return err
			} else if again {
				watched = false
			}
		}
	}
}
