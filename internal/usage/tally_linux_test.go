package usage

import (
	"testing"
	"time"
)

// ticks are CPU times, in hundredths of a second.
func ticks(user, childUser int) times {
	return times{user: time.Duration(user) * tick, childUser: time.Duration(childUser) * tick}
}

// TestATreeIsCountedOnce follows a tree through passes: whoever ends is counted, whether somebody waited for it or not, and never twice.
func TestATreeIsCountedOnce(t *testing.T) {
	type procs = map[process]times
	main, worker, other := process{1, 10}, process{2, 20}, process{2, 99} // the last has the number of one that has gone
	for _, c := range []struct {
		name   string
		passes []procs
		want   []int
	}{
		{"it grows", []procs{{main: ticks(5, 0)}, {main: ticks(9, 0)}}, []int{5, 9}},
		{"children that ended before the first pass", []procs{{main: ticks(5, 7)}}, []int{12}},
		{"a child that was waited for", []procs{{main: ticks(5, 0), worker: ticks(8, 0)}, {main: ticks(5, 9)}}, []int{13, 14}},
		{"a child that nobody waited for", []procs{{main: ticks(5, 0), worker: ticks(8, 0)}, {main: ticks(6, 0)}, {main: ticks(7, 0)}}, []int{13, 14, 15}},
		{"a child with children of its own", []procs{{main: ticks(5, 0), worker: ticks(8, 30)}, {main: ticks(5, 40)}}, []int{43, 45}},
		{"its number is used again", []procs{{main: ticks(5, 0), worker: ticks(8, 0)}, {main: ticks(5, 0), other: ticks(1, 0)}}, []int{13, 14}},
		{"all of it goes", []procs{{main: ticks(5, 0), worker: ticks(8, 0)}, {}}, []int{13, 13}},
	} {
		var last *tally
		for i, p := range c.passes {
			now := &tally{}
			if user, _ := now.cpuOf(p, last); user != time.Duration(c.want[i])*tick {
				t.Errorf("%s: pass %d makes %v of %v, want %v", c.name, i, user, p, time.Duration(c.want[i])*tick)
			}
			last = now
		}
	}
}

// FuzzCountersNeverGoDown shows a property of any course of things.
func FuzzCountersNeverGoDown(f *testing.F) {
	f.Add([]byte{1, 2, 3, 4, 5, 6, 7, 8})
	f.Fuzz(func(t *testing.T, steps []byte) {
		procs := map[process]times{}
		var last *tally
		was, wasIO := time.Duration(0), int64(0)
		for i, b := range steps {
			p := process{int(b % 4), int64(b % 3)}
			if b > 200 {
				delete(procs, p)
			} else {
				procs[p] = procs[p].plus(ticks(int(b), int(b%5)))
			}
			now, copied, sum := &tally{}, map[process]times{}, counts{}
			for p, v := range procs {
				copied[p] = v
				sum.read += int64(v.user)
			}
			user, _ := now.cpuOf(copied, last)
			read := *now.ioOf(sum, last).ReadBytes
			if user < was || read < wasIO {
				t.Fatalf("step %d: %v after %v, %d after %d", i, user, was, read, wasIO)
			}
			was, wasIO, last = user, read, now
		}
	})
}
