package drivers

import (
	"io/fs"

	"reconciler.dev/reconciler/internal/atomicfile"
)

// owns is always true: files have no numeric owners here.
func owns(atomicfile.Owner, fs.FileInfo) bool { return true }
