// Package filewatch tells when the content behind some files and folders may have changed, however it was changed: written in place,
// replaced by rename, or by a swap of any symbolic link on the way there.
//
// It says only that something may have changed, never what: the reader looks at everything again. It reads and hashes files where the
// kernel can't tell, and must never change one.
package filewatch
