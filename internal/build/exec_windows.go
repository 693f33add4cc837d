package build

import "io/fs"

func suffixes() []string { return []string{"", ".exe"} }

func isProgram(fs.FileInfo) bool { return true }

func isExecutable(fs.FileMode) bool { return false }
