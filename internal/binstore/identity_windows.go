package binstore

import "io/fs"

// IdentityOf is the identity of a file, which isn't told here.
func IdentityOf(fs.FileInfo) (id Identity, ok bool) { return Identity{}, false }
