package web_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"reconciler.dev/reconciler/internal/web"
	"reconciler.dev/reconciler/pkg/spec"
)

func running(host, name, instance string) web.Daemon {
	return web.Daemon{Host: host, Observed: spec.Observed{Name: name, State: spec.Running, Instance: &spec.Instance{ID: instance}}}
}

func names(b *web.Board) (all []string) {
	for _, d := range b.Daemons() {
		all = append(all, d.Host+"/"+d.Name)
	}
	return all
}

func TestBoard(t *testing.T) {
	var b web.Board
	b.Put(web.Host{Name: "localhost", Reachable: true})
	b.Put(web.Host{Name: "gpu-1", Reachable: true})
	b.See(running("localhost", "web", "1"))
	b.See(running("gpu-1", "web", "1"))
	b.See(running("gpu-1", "api", "1"))
	given := b.Daemons()
	if diff := cmp.Diff([]string{"gpu-1/api", "gpu-1/web", "localhost/web"}, names(&b)); diff != "" {
		t.Errorf("daemons (-want +got):\n%s", diff)
	}
	b.Put(web.Host{Name: "gpu-1", Why: "unreachable"})
	if d, ok := b.Daemon("gpu-1", "web"); !ok || !d.Stale || d.State != spec.Running {
		t.Errorf("a daemon of a lost host: %+v, want as it was found, and stale", d)
	}
	if given[0].Stale {
		t.Error("what was given away changed afterwards")
	}
	b.Put(web.Host{Name: "gpu-1", Reachable: true})
	if d, _ := b.Daemon("gpu-1", "web"); !d.Stale {
		t.Error("a daemon counts as known again before anybody looked at it")
	}
	b.See(running("gpu-1", "web", "1"))
	if d, _ := b.Daemon("gpu-1", "web"); d.Stale {
		t.Error("a daemon that was looked at again is stale")
	}
	b.Forget("gpu-1", "api")
	b.Drop("localhost")
	if diff := cmp.Diff([]string{"gpu-1/web"}, names(&b)); diff != "" || len(b.Hosts()) != 1 {
		t.Errorf("daemons after all that (-want +got):\n%s", diff)
	}
}

// TestBoardTellsOnlyNews: a look that found what the one before found is none.
func TestBoardTellsOnlyNews(t *testing.T) {
	var b web.Board
	d := running("localhost", "web", "1")
	tell := func(what string, news bool, change func()) {
		t.Helper()
		before, more := b.Changed()
		change()
		told := false
		select {
		case <-more:
			told = true
		default:
		}
		if after, _ := b.Changed(); told != news || (after > before) != news {
			t.Errorf("%s: told %v, from %d to %d, want news %v", what, told, before, after, news)
		}
	}
	tell("a new daemon", true, func() { b.See(d) })
	tell("the same again, later", false, func() {
		again := running("localhost", "web", "1")
		again.Instance.Up, again.Seen = time.Hour, time.Unix(1, 0)
		b.See(again)
	})
	if now, _ := b.Daemon("localhost", "web"); now.Instance.Up != time.Hour {
		t.Errorf("up %v, want what the last look found", now.Instance.Up)
	}
	tell("another instance", true, func() { b.See(running("localhost", "web", "2")) })
	tell("a host", true, func() { b.Put(web.Host{Name: "localhost"}) })
	tell("the same host", false, func() { b.Put(web.Host{Name: "localhost"}) })
	tell("one daemon less", true, func() { b.Forget("localhost", "web") })
}
