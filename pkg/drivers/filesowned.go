package drivers

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"reconciler.dev/reconciler/internal/atomicfile"
	"reconciler.dev/reconciler/pkg/spec"
)

// ownership is which config files of a daemon are ours: by path, the digests of what we may have written there. It is kept in State/files/NAME.json,
// because the files outlive a reboot and a stamp need not.
type ownership map[string][]string

func (o ownership) has(path string) bool { return len(o[path]) > 0 }

func (o ownership) add(path, digest string) {
	if !slices.Contains(o[path], digest) {
		o[path] = append(slices.Clip(o[path]), digest)
	}
}

func (f *files) ownedPath(name string) string {
	return filepath.Join(f.dirs.State, "files", name+".json")
}

// owned is what the record says and what the stamp says: either alone is enough to make a file ours.
func (f *files) owned(o spec.Observed) (ownership, error) {
	owned, err := readOwnership(f.ownedPath(o.Name))
	if err != nil {
		return nil, err
	}
	if o.Stamp != nil {
		for _, w := range o.Stamp.Spec.Files {
			owned.add(w.Path, w.Digest)
		}
	}
	return owned, nil
}

func readOwnership(path string) (ownership, error) {
	owned := ownership{}
	text, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return owned, nil
	case err != nil:
		return nil, err
	}
	if err := json.Unmarshal(text, &owned); err != nil || owned == nil {
		return nil, fmt.Errorf("%s is damaged (%w): remove it to go on; files that it named then need --force", path, err)
	}
	return owned, nil
}

// record keeps owned, where that isn't kept already.
func (f *files) record(name string, owned ownership) error {
	path := f.ownedPath(name)
	if len(owned) == 0 {
		return atomicfile.Remove(path, atomicfile.Durable)
	}
	text, err := json.Marshal(owned)
	if err != nil {
		return err
	}
	return atomicfile.Keep(path, text, atomicfile.Durable)
}

func (f *files) ownedByAnother(name, path string) (bool, error) {
	entries, err := os.ReadDir(filepath.Dir(f.ownedPath(name)))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	for _, e := range entries {
		other, ok := strings.CutSuffix(e.Name(), ".json")
		if !ok || other == name || atomicfile.IsTemp(e.Name()) {
			continue
		}
		owned, err := readOwnership(f.ownedPath(other))
		if err != nil {
			return false, err
		}
		if owned.has(path) {
			return true, nil
		}
	}
	return false, nil
}

// ownerOf is whom the files of a daemon belong to: the account that it runs as, so that it can read a file of mode 0600.
func ownerOf(s spec.Spec) (atomicfile.Owner, error) {
	o := atomicfile.Whoever()
	if s.User != "" {
		u, err := user.Lookup(s.User)
		if err != nil {
			u, err = user.LookupId(s.User)
		}
		switch uid, numeric := strconv.Atoi(s.User); {
		case err == nil:
			if o.UID, err = strconv.Atoi(u.Uid); err != nil {
				return o, fmt.Errorf("user %s has no number here: %w", s.User, ErrUnsupported)
			}
			if o.GID, err = strconv.Atoi(u.Gid); err != nil {
				return o, fmt.Errorf("user %s has no group number here: %w", s.User, ErrUnsupported)
			}
		case numeric == nil:
			o.UID = uid
		default:
			return o, fmt.Errorf("there is no user %s: %w", s.User, ErrPermanent)
		}
	}
	if s.Group != "" {
		gid, err := strconv.Atoi(s.Group)
		if err != nil {
			g, err := user.LookupGroup(s.Group)
			if err != nil {
				return o, fmt.Errorf("there is no group %s: %w", s.Group, ErrPermanent)
			}
			if gid, err = strconv.Atoi(g.Gid); err != nil {
				return o, fmt.Errorf("group %s has no number here: %w", s.Group, ErrUnsupported)
			}
		}
		o.GID = gid
	}
	return o, nil
}
