package artifact

import (
	"archive/tar"
	"archive/zip"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
)

// maxMember bounds what a small archive may unfold to.
const maxMember = 8 << 30

// maxNamed is how many members an error names.
const maxNamed = 5

// extract copies one regular file out of an archive of size bytes to w, and returns its length.
func extract(archive io.ReaderAt, size int64, format, member string, w io.Writer) (int64, error) {
	all := io.NewSectionReader(archive, 0, size)
	switch format {
	case "zip":
		return fromZip(archive, size, member, w)
	case "tar":
		return fromTar(all, member, w)
	case "gz", "tar.gz":
		plain, err := gzip.NewReader(all)
		if err != nil {
			return 0, fmt.Errorf("it is no %s: %w", format, err)
		}
		if format == "gz" {
			return bounded(w, plain)
		}
		return fromTar(plain, member, w)
	}
	return 0, fmt.Errorf("there is no archive format %q", format)
}

func bounded(w io.Writer, r io.Reader) (int64, error) {
	n, err := io.Copy(w, io.LimitReader(r, maxMember+1))
	if err == nil && n > maxMember {
		err = fmt.Errorf("it is larger than %d bytes", int64(maxMember))
	}
	return n, err
}

// others are names of members that aren't the one that is wanted, for an error.
type others struct{ like, rest []string }

func (o *others) saw(name, wanted string) {
	if path.Base(name) == path.Base(wanted) {
		o.like = append(o.like, name)
	} else if len(o.rest) < maxNamed {
		o.rest = append(o.rest, name)
	}
}

func (o *others) missing(wanted string) error {
	names := append(o.like, o.rest...)
	if len(names) == 0 {
		return fmt.Errorf("there is no %s in it: it is empty", wanted)
	}
	quoted := make([]string, min(len(names), maxNamed))
	for i := range quoted {
		quoted[i] = fmt.Sprintf("%q", names[i])
	}
	return fmt.Errorf("there is no %s in it; it has %s", wanted, strings.Join(quoted, ", "))
}

func sameMember(name, wanted string) bool { return path.Clean("/"+name) == path.Clean("/"+wanted) }

func fromTar(r io.Reader, member string, w io.Writer) (int64, error) {
	var seen others
	t := tar.NewReader(r)
	for {
		h, err := t.Next()
		switch {
		case errors.Is(err, io.EOF):
			return 0, seen.missing(member)
		case err != nil:
			return 0, fmt.Errorf("it is no tar, or only a part of one: %w", err)
		case !sameMember(h.Name, member):
			if h.Typeflag == tar.TypeReg {
				seen.saw(h.Name, member)
			}
		case h.Typeflag == tar.TypeSymlink || h.Typeflag == tar.TypeLink:
			return 0, fmt.Errorf("%s in it is a link to %q: name that", member, h.Linkname)
		case h.Typeflag != tar.TypeReg:
			return 0, fmt.Errorf("%s in it is no file", member)
		default:
			return bounded(w, t)
		}
	}
}

func fromZip(r io.ReaderAt, size int64, member string, w io.Writer) (int64, error) {
	z, err := zip.NewReader(r, size)
	if err != nil {
		return 0, fmt.Errorf("it is no zip: %w", err)
	}
	var seen others
	for _, f := range z.File {
		if !sameMember(f.Name, member) {
			if f.Mode().IsRegular() {
				seen.saw(f.Name, member)
			}
			continue
		}
		if !f.Mode().IsRegular() {
			return 0, fmt.Errorf("%s in it is no file", member)
		}
		in, err := f.Open()
		if err != nil {
			return 0, err
		}
		defer in.Close()
		return bounded(w, in)
	}
	return 0, seen.missing(member)
}
