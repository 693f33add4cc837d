package driverstest

import (
	"encoding/json"
	"os"
	"slices"
	"strconv"

	"reconciler.dev/reconciler/internal/testprog"
	"reconciler.dev/reconciler/pkg/spec"
)

// simulatedProgram is where the simulated machine has the test program.
const simulatedProgram = "/simulated/prog"

// simulate is what the test program does, told in Behaviours.
func simulate(o testprog.Options) Behaviour {
	return Behaviour{
		Start: func(p *Proc) {
			if o.Background {
				o.Background, o.Role = false, "background"
				p.Spawn(simulate(o))
				p.After(0, func() { p.Exit(0) })
				return
			}
			simulateChild(p, o)
			for _, text := range []string{o.Say, o.Complain} {
				if text != "" {
					p.Append(text + "\n")
				}
			}
			p.report(o, describe(p, o))
			p.After(o.After, func() {
				switch {
				case o.Exit >= 0:
					p.Exit(o.Exit)
				case o.Die != "":
					p.Die(spec.Signal(o.Die))
				}
			})
		},
		Signal: func(p *Proc, s spec.Signal) {
			lingers := s == "SIGTERM" && o.Linger > 0
			if lingers || slices.Contains(testprog.Signals(o.Note), string(s)) {
				p.report(o, testprog.Line{Role: o.Role, PID: p.PID, Event: string(s)})
			}
			switch {
			case lingers:
				p.After(o.Linger, func() { p.Exit(0) })
			case slices.Contains(testprog.Signals(o.Note+","+o.Ignore), string(s)):
			default:
				p.Die(s)
			}
		},
		Post: func(p *Proc, url string) {
			if o.HTTP == "" {
				return
			}
			path := url[len("http://"+o.HTTP):]
			p.report(o, testprog.Line{Role: o.Role, PID: p.PID, Event: "POST " + path})
			if path == "/stop" {
				p.Exit(0)
			}
		},
	}
}

func simulateChild(p *Proc, o testprog.Options) {
	if o.Child == "" {
		return
	}
	c := testprog.Stay(o.Report)
	c.Role = "child"
	if o.Child == testprog.Orphan {
		c.Role = "background"
	}
	if o.Child != testprog.Plain {
		c.Ignore = "SIGTERM"
	}
	p.Spawn(simulate(c))
}

// report appends a line to the program's report.
func (p *Proc) report(o testprog.Options, l testprog.Line) {
	text, err := json.Marshal(l)
	if err != nil {
		panic(err) // nothing in there that can't be written
	}
	p.WriteFile(o.Report, append(append(p.ReadFile(o.Report), text...), '\n'))
}

// describe is what the program would find about itself where a driver did all that the spec says.
func describe(p *Proc, o testprog.Options) testprog.Line {
	s := p.Want.Spec
	l := testprog.Line{
		Role: o.Role, PID: p.PID, Session: p.PID, Dir: []byte(s.WorkingDir), Umask: 0o022, Nice: s.Nice, Rlimits: map[string][2]uint64{},
		Files: map[int]string{0: os.DevNull, 1: s.Log.Path, 2: s.Log.Path}, Args: [][]byte{[]byte(s.Binary)},
	}
	if s.Umask != nil {
		l.Umask = int(*s.Umask)
	}
	l.UID, l.GID = number(s.User), number(s.Group)
	for _, a := range s.Args {
		l.Args = append(l.Args, []byte(a))
	}
	env := map[string]string{"PATH": "/usr/bin:/bin", "HOME": "/"}
	for name, v := range s.Env {
		switch secret, ok := p.Want.Secrets[name]; {
		case ok:
			env[name] = secret.Reveal()
		case v.Value != nil:
			env[name] = *v.Value
		}
	}
	for name, value := range env {
		l.Env = append(l.Env, []byte(name+"="+value))
	}
	for name, r := range s.Rlimits {
		l.Rlimits[name] = [2]uint64{r.Soft, r.Hard}
	}
	return l
}

func number(account string) int {
	n, err := strconv.Atoi(account)
	if err != nil {
		return 0
	}
	return n
}
