//go:build !windows

package build

import "io/fs"

func suffixes() []string { return []string{""} }

func isProgram(info fs.FileInfo) bool { return info.Mode().Perm()&0o111 != 0 }

func isExecutable(mode fs.FileMode) bool { return mode&0o111 != 0 }
