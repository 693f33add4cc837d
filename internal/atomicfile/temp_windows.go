package atomicfile

import "os"

// createTemp makes a file beside base. A file can't be renamed here while a lock is held on it, so what a killed writer leaves is left to Sweep.
func createTemp(dir, base string) (f *os.File, release func(), err error) {
	f, err = os.CreateTemp(dir, "."+base+tempMark)
	return f, func() {}, err
}

func discardTemps(string, string) {}
