package process

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"strconv"
)

// A record's file holds its last two versions, each a line of JSON in a slot of its own. A write goes in place to the slot of the older one, so it makes and
// removes no file, which costs a hundred times more on some file systems; and whoever reads meanwhile, or after a crash in the middle of it, finds the newer
// version whole in the other slot.

// firstSeq is the number of the first version in a file.
const firstSeq = 1

// page is what slots are made of.
const page = 4096

// A line is {"seq":"…","sum":"…","len":"…","record":…} with a number that grows by one with each write, the checksum of number and record, and the length of
// the record, all in hexadecimal digits.
const (
	seqKey    = `{"seq":"`
	sumKey    = `","sum":"`
	lenKey    = `","len":"`
	recordKey = `","record":`

	seqAt    = len(seqKey)
	sumAt    = seqAt + 16 + len(sumKey)
	lenAt    = sumAt + 8 + len(lenKey)
	headSize = lenAt + 8 + len(recordKey)
	// tailSize is the brace and the newline.
	tailSize = 2
)

// slotted is what a file holds.
type slotted struct {
	payload []byte // of the newest whole version; nil: there is none
	place
}

// place is where the newest whole version of a file is.
type place struct {
	seq  uint64 // 0: there is none
	slot int    // 0 or 1
	size int    // of a slot
}

// whole tells whether there is a whole version.
func (p place) whole() bool { return p.seq > 0 }

// split finds the newest whole version in a file.
func split(file []byte) slotted {
	size := len(file) / 2
	if size == 0 || len(file)%(2*page) != 0 {
		return slotted{}
	}
	slots := [2][]byte{file[:size], file[size:]}
	newest := 0
	if seqOf(slots[1]) > seqOf(slots[0]) {
		newest = 1
	}
	for _, slot := range []int{newest, 1 - newest} {
		if payload, seq, ok := parseLine(slots[slot]); ok {
			return slotted{payload, place{seq, slot, size}}
		}
	}
	return slotted{place: place{size: size}}
}

// seqOf returns what a line says is its number, 0 where it says nothing.
func seqOf(line []byte) uint64 {
	seq, _ := strconv.ParseUint(string(line[seqAt:seqAt+16]), 16, 64)
	return seq
}

// parseLine returns the version in a line that is whole.
func parseLine(line []byte) (payload []byte, seq uint64, ok bool) {
	sum, sumErr := strconv.ParseUint(string(line[sumAt:sumAt+8]), 16, 32)
	n, lenErr := strconv.ParseUint(string(line[lenAt:lenAt+8]), 16, 32)
	if sumErr != nil || lenErr != nil || int(n) > len(line)-headSize-tailSize {
		return nil, 0, false
	}
	seq, payload = seqOf(line), line[headSize:headSize+int(n)]
	whole := seq > 0 && checksum(seq, payload) == uint32(sum) && line[headSize+int(n)] == '}' &&
		string(line[:seqAt]) == seqKey && string(line[sumAt-len(sumKey):sumAt]) == sumKey &&
		string(line[lenAt-len(lenKey):lenAt]) == lenKey && string(line[headSize-len(recordKey):headSize]) == recordKey
	return payload, seq, whole
}

func checksum(seq uint64, payload []byte) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli)
	sum := crc32.Checksum(binary.BigEndian.AppendUint64(nil, seq), table)
	return crc32.Update(sum, table, payload)
}

// line fills a slot of size bytes, nil where it doesn't fit.
func line(size int, seq uint64, payload []byte) []byte {
	if headSize+len(payload)+tailSize > size {
		return nil
	}
	out := bytes.Repeat([]byte{' '}, size)
	head := fmt.Appendf(out[:0], "%s%016x%s%08x%s%08x%s", seqKey, seq, sumKey, checksum(seq, payload), lenKey, len(payload), recordKey)
	copy(out[len(head):], payload)
	out[len(head)+len(payload)], out[size-1] = '}', '\n'
	return out
}

// fresh makes a file with one version in it, and room to grow.
func fresh(payload []byte) []byte {
	size := (headSize + len(payload)*5/4 + page) / page * page
	return append(line(size, firstSeq, payload), bytes.Repeat([]byte{' '}, size)...)
}
