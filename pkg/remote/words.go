package remote

import (
	"encoding/json"
	"time"

	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
)

// request is the body of a call.
type request struct {
	Method string          `json:"method"`
	Params json.RawMessage `json:"params,omitempty"`
}

// response is the body of a result.
type response struct {
	Error  *failure        `json:"error,omitempty"`
	Result json.RawMessage `json:"result,omitempty"`
}

// The parameters of calls that have more than one.
type (
	driverParams struct {
		Driver spec.DriverKind `json:"driver"`
	}
	stepParams struct {
		Driver spec.DriverKind `json:"driver"`
		Step   step            `json:"step"`
	}
	checkParams struct {
		Driver spec.DriverKind `json:"driver"`
		Daemon *daemon         `json:"daemon"`
	}
	inspectParams struct {
		Driver    spec.DriverKind `json:"driver"`
		Daemon    *daemon         `json:"daemon"`
		Candidate spec.Candidate  `json:"candidate"`
	}
	probeParams struct {
		Name   string      `json:"name"`
		Health spec.Health `json:"health"`
	}
	putParams struct {
		Digest  string `json:"digest"`
		Content []byte `json:"content"`
	}
	logsParams struct {
		Name    string             `json:"name"`
		Options drivers.LogOptions `json:"options"`
	}
	eventsParams struct {
		Since  time.Time `json:"since"`
		Follow bool      `json:"follow,omitempty"`
	}
	lockParams struct {
		Set    string         `json:"set"`
		Holder drivers.Holder `json:"holder"`
	}
)

// step is a spec.Step as it travels: Want has its secrets in it, for the link is as private as they have to be.
type step struct {
	spec.Step
	Want *daemon `json:",omitempty"`
}

// daemon is a spec.Daemon as it travels: its secrets are told, and its contents named, for those are put beforehand.
type daemon struct {
	Metadata spec.Metadata
	Spec     spec.Spec
	Digest   string
	Secrets  map[string][]byte `json:",omitempty"`
	Contents []string          `json:",omitempty"`
	Source   string
}

func packDaemon(d *spec.Daemon) *daemon {
	if d == nil {
		return nil
	}
	w := &daemon{Metadata: d.Metadata, Spec: withStrings(d.Spec, toText), Digest: d.Digest, Source: d.Source}
	for name, s := range d.Secrets {
		if w.Secrets == nil {
			w.Secrets = map[string][]byte{}
		}
		w.Secrets[name] = []byte(s.Reveal())
	}
	for digest := range d.Contents {
		w.Contents = append(w.Contents, digest)
	}
	return w
}

// unpack is the daemon without its contents.
func (d *daemon) unpack() *spec.Daemon {
	if d == nil {
		return nil
	}
	w := &spec.Daemon{Metadata: d.Metadata, Spec: withStrings(d.Spec, fromText), Digest: d.Digest, Source: d.Source, Secrets: map[string]spec.Secret{}, Contents: map[string][]byte{}}
	for name, s := range d.Secrets {
		w.Secrets[name] = spec.NewSecret(string(s))
	}
	return w
}

// observed is a spec.Observed as it travels, with what is kept in no file.
type observed struct {
	spec.Observed
	ExitSince time.Duration `json:"exitSince,omitempty"`
	LastSince time.Duration `json:"lastSince,omitempty"`
}

func packObserved(o spec.Observed) observed {
	w := observed{Observed: o}
	if in := o.Instance; in != nil {
		if in.Exit != nil {
			w.ExitSince = in.Exit.Since
		}
		if in.Last != nil {
			w.LastSince = in.Last.Since
		}
	}
	return w
}

func (w observed) unpack() spec.Observed {
	if in := w.Instance; in != nil {
		if in.Exit != nil {
			in.Exit.Since = w.ExitSince
		}
		if in.Last != nil {
			in.Last.Since = w.LastSince
		}
	}
	return w.Observed
}
