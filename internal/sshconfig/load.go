package sshconfig

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// Files is where configuration files come from.
type Files interface {
	// Read returns a file's content. The error wraps fs.ErrNotExist where there is no such file. With private set, a file that somebody else may write is
	// refused.
	Read(name string, private bool) ([]byte, error)
	// Glob returns the files that match a pattern of glob(7), sorted.
	Glob(pattern string) ([]string, error)
}

// Paths says which files are read. An empty path is none.
type Paths struct {
	// User is the user's file, and UserDir where it and its Includes are: ~/.ssh.
	User, UserDir string
	// System is read after it, and SystemDir is where it is: /etc/ssh.
	System, SystemDir string
	// Chosen says that the user's file was asked for by name, as by ssh's option -F: it must exist, and may be anybody's.
	Chosen bool
}

// Config is configuration that was read. It doesn't change, and may be used by many at once.
type Config struct{ files []file }

type file struct{ lines []line }

// line is one line with a keyword.
type line struct {
	place Place
	word  string // as it is written
	args  []string
	kind  kind
	// what the kinds need
	known    word
	set      setter
	criteria []criterion
	included []file
}

type kind int

const (
	unhonoured kind = iota
	setting
	hostLine
	matchLine
	includeLine
)

// The bounds of what is read. ssh has the first.
const (
	maxDepth = 16
	maxBytes = 16 << 20 // of all files together, each counted as often as it is included
	fileCost = 4 << 10  // what a file counts beside its content
)

// reader reads files into a Config.
type reader struct {
	files    Files
	paths    Paths
	context  Context
	size     int
	mistakes []error
}

// Load reads the configuration. What is wrong in it, as ssh has it, is one error that names every line; what ssh would refuse in words that aren't honoured
// here isn't looked at. Of the context only Home and HomeOf are used, for Includes.
func Load(files Files, paths Paths, c Context) (*Config, error) {
	r := &reader{files: files, paths: paths, context: c}
	var config Config
	for _, which := range []struct {
		path          string
		user, private bool
	}{{paths.User, true, !paths.Chosen}, {paths.System, false, false}} {
		if which.path == "" {
			continue
		}
		f, err := r.read(which.path, which.user, which.private, 0)
		if errors.Is(err, fs.ErrNotExist) && !(paths.Chosen && which.user) {
			continue
		}
		if err != nil {
			return nil, err
		}
		config.files = append(config.files, f)
	}
	if len(r.mistakes) > 0 {
		return nil, errors.Join(r.mistakes...)
	}
	return &config, nil
}

func (r *reader) read(name string, user, private bool, depth int) (f file, err error) {
	if depth > maxDepth {
		return f, fmt.Errorf("read %s: files include each other more than %d deep", name, maxDepth)
	}
	content, err := r.files.Read(name, private)
	if err != nil {
		return f, fmt.Errorf("read ssh's configuration: %w", err)
	}
	if r.size += len(content) + fileCost; r.size > maxBytes {
		return f, fmt.Errorf("read %s: with it ssh's configuration has more than %d MiB, included files counted each time", name, maxBytes>>20)
	}
	if bytes.IndexByte(content, 0) >= 0 {
		return f, fmt.Errorf("read %s: it isn't text", name)
	}
	number := 0
	for text := range strings.Lines(string(content)) {
		number++
		l := line{place: Place{name, number}}
		ok, err := r.line(&l, text, user, depth)
		switch {
		case errors.Is(err, errFile):
			return f, err
		case err != nil:
			r.mistakes = append(r.mistakes, fmt.Errorf("%s: %s: %w", l.place, l.word, err))
		case ok:
			f.lines = append(f.lines, l)
		}
	}
	return f, nil
}

// errFile marks an error of a file that was included, which ends the reading.
var errFile = errors.New("an included file can't be read")

// line reads one line; ok is false for one that says nothing.
func (r *reader) line(l *line, text string, user bool, depth int) (ok bool, err error) {
	var rest string
	if l.word, rest, err = split(text); l.word == "" || err != nil {
		return false, err
	}
	if l.args, err = arguments(rest); err != nil {
		return false, err
	}
	name := strings.ToLower(l.word)
	switch name {
	case "host":
		l.kind = hostLine
		return true, noneEmpty(l.args)
	case "match":
		l.kind = matchLine
		l.criteria, err = criteria(rest)
		return true, err
	case "include":
		l.kind = includeLine
		if err = noneEmpty(l.args); err == nil {
			err = r.include(l, user, depth)
		}
		return true, err
	}
	if l.known, ok = honoured(name); ok {
		l.kind = setting
		l.set, err = l.known.read(l.args, rest)
	}
	return true, err
}

func noneEmpty(args []string) error {
	if slices.Contains(args, "") {
		return errors.New("an argument is empty")
	}
	return nil
}

// include reads the files of an Include line.
func (r *reader) include(l *line, user bool, depth int) error {
	for _, pattern := range l.args {
		if strings.HasPrefix(pattern, "~") && !user {
			return fmt.Errorf("%s: the machine's configuration has no home", pattern)
		}
		full, err := r.context.Tilde(pattern)
		if err != nil {
			return err
		}
		if !path.IsAbs(full) && !filepath.IsAbs(full) {
			full = path.Join(r.directory(user), pattern)
		}
		found, err := r.files.Glob(full)
		if err != nil {
			return fmt.Errorf("%s: %w", pattern, err)
		}
		for _, name := range found {
			f, err := r.read(name, user, true, depth+1)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return fmt.Errorf("%w: %w", errFile, err)
			}
			l.included = append(l.included, f)
		}
	}
	return nil
}

func (r *reader) directory(user bool) string {
	if user {
		return r.paths.UserDir
	}
	return r.paths.SystemDir
}
