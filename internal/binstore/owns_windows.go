package binstore

import (
	"io/fs"

	"reconciler.dev/reconciler/internal/atomicfile"
)

func owns(atomicfile.Owner, fs.FileInfo) bool { return true }
