package spec

import (
	"io"
	"path"
	"path/filepath"
	"strings"
)

// Program is a program that is to be put on a host.
type Program struct {
	// Digest is "sha256:" and the SHA-256 of its content. It is empty where the program has yet to be built; Stale says why then.
	Digest string
	// Size is in bytes.
	Size int64
	// Open returns the content; nil where the host has it already. It may be called more than once, and concurrently.
	Open func() (io.ReadSeekCloser, error)
	// Build is the digest of what went into the build, or would go; empty where nothing is built.
	Build string
	// Stale is a sentence that says why it is to be built, as in "cmd/worker/main.go changed"; only set by those who must not build.
	Stale string
	// Failed is why it can't be made now, and Digest is empty then; only set by those who let the other daemons of a set go on meanwhile.
	Failed error
}

// programName is what a program is called that the manifest doesn't name: where it is put, or what it comes from.
func (s *Spec) programName() string {
	switch {
	case s.Install.To != "":
		return s.Install.To
	case s.Install.Archive != nil && s.Install.Archive.Member != "":
		return path.Base(s.Install.Archive.Member)
	case s.Install.From != "":
		from, _, _ := strings.Cut(s.Install.From, "?")
		name := path.Base(from)
		if s.Install.Archive != nil {
			name = strings.TrimSuffix(name, ".gz")
		}
		return name
	case s.Build != nil && s.Build.Output != "":
		return path.Base(s.Build.Output)
	}
	return ""
}

// SlotReference is what tells the two copies of a daemon apart that run side by side for a while.
const SlotReference = "$(SLOT)"

// Slots says whether two copies of the daemon run side by side while it is updated.
func (s *Spec) Slots() bool { return s.Update != nil && s.Update.Strategy == UpdateStartFirst }

// ArchiveFormat is the format of the archive that the program is in, by archive.format or else by the name of from; empty where neither tells.
func (i *Install) ArchiveFormat() ArchiveFormat {
	if i.Archive == nil || i.Archive.Format != "" {
		return i.archiveSaid()
	}
	name, _, _ := strings.Cut(i.From, "?")
	for _, end := range []struct {
		suffix string
		format ArchiveFormat
	}{{".tar.gz", ArchiveTarGz}, {".tgz", ArchiveTarGz}, {".tar", ArchiveTar}, {".zip", ArchiveZip}, {".gz", ArchiveGz}} {
		if strings.HasSuffix(name, end.suffix) {
			return end.format
		}
	}
	return ""
}

func (i *Install) archiveSaid() ArchiveFormat {
	if i.Archive == nil {
		return ""
	}
	return i.Archive.Format
}

// install finds the program that the manifest wants installed, and says in the effective spec which it is and where it runs from.
func (r *resolver) install() {
	s := &r.d.Spec
	if s.Install == nil {
		return
	}
	in := *s.Install
	s.Install, in.Digest = &in, ""
	if s.Build != nil {
		b := *s.Build
		s.Build, b.Digest = &b, ""
	}
	if r.apart || r.o.Program == nil {
		return
	}
	dir, err := r.dir()
	if err != nil {
		r.bad("spec.install", "%v", err)
		return
	}
	p, err := r.o.Program(r.m, dir)
	if err != nil {
		field := "spec.install"
		if s.Build != nil {
			field = "spec.build"
		}
		r.bad(field, "%v", err)
		return
	}
	r.d.Program, in.Digest = p, p.Digest
	if s.Build != nil {
		s.Build.Digest = p.Build
	}
	if in.To == "" && r.o.ProgramDir != "" && p.Digest != "" {
		s.Binary = filepath.Join(r.o.ProgramDir, strings.TrimPrefix(p.Digest, "sha256:"), s.Binary)
	}
}
