// Package loadgen asks an HTTP server many times a second, half over connections that are kept alive and half over fresh ones, and tells what became of each request: it measures what those
// who use a daemon see of its restarts.
//
// It must never try a request again that a plain client wouldn't, or call one answered that wasn't.
package loadgen

import (
	"cmp"
	"context"
	"fmt"
	"time"
)

// Options are how a server is asked.
type Options struct {
	// Address is HOST:PORT of the server, Path what it is asked for.
	Address, Path string
	// Rate is how many requests are begun in a second, whatever becomes of those before; 0: 1000.
	Rate int
	// Timeout bounds each request; 0: 10 s.
	Timeout time.Duration
}

// Result is what became of the requests.
type Result struct {
	// Sent are all. Answered got a whole response with status 200.
	Sent, Answered int
	// Refused are those whose connection was refused: nobody listened.
	Refused int
	// Cut are those whose connection broke before the answer was whole, as those are that a process had in hand when it was killed.
	Cut int
	// Late are those that weren't answered in time, Other those that got another status or failed otherwise.
	Late, Other int
	// Again are those of kept connections that the server had closed meanwhile, and that were sent again over a fresh one: the protocol says so (RFC 9110, 9.2.2). They count as what became of
	// them then.
	Again int
	// Took is from the first request to the last answer.
	Took time.Duration
	// Median, P99 and Longest are the times to the answers.
	Median, P99, Longest time.Duration
	// Why is the first error that isn't a refusal.
	Why error
}

// String is the result in a line.
func (r Result) String() string {
	s := fmt.Sprintf("%d requests in %s (%.0f/s): %d answered, %d refused, %d cut, %d late, %d other, %d sent again; answers took %s, 99 %% %s, at most %s",
		r.Sent, r.Took.Round(10*time.Millisecond), float64(r.Sent)/r.Took.Seconds(), r.Answered, r.Refused, r.Cut, r.Late, r.Other, r.Again,
		r.Median.Round(10*time.Microsecond), r.P99.Round(100*time.Microsecond), r.Longest.Round(time.Millisecond))
	if r.Why != nil {
		s += "; the first error: " + r.Why.Error()
	}
	return s
}

// most is how many requests may be under way at once: as many as come in a restart that takes seconds.
const most = 8192

// Run asks until ctx ends, and then waits for the answers that are due.
func Run(ctx context.Context, o Options) Result {
	o.Rate, o.Timeout = cmp.Or(o.Rate, 1000), cmp.Or(o.Timeout, 10*time.Second)
	g := &generator{Options: o, room: make(chan struct{}, most)}
	began := time.Now()
	g.pace(ctx, began)
	g.underWay.Wait()
	g.result.Took = time.Since(began)
	g.close()
	g.times()
	return g.result
}

// pace begins requests, fresh and kept in turn, until ctx ends.
func (g *generator) pace(ctx context.Context, began time.Time) {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for told := 0; ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for due := int(time.Since(began).Seconds() * float64(g.Rate)); told < due; told++ {
			select {
			case g.room <- struct{}{}:
			case <-ctx.Done():
				return
			}
			ask := g.fresh
			if told%2 == 1 {
				ask = g.kept
			}
			g.underWay.Go(func() {
				at := time.Now()
				again, err := ask()
				g.note(time.Since(at), again, err)
				<-g.room
			})
		}
	}
}
