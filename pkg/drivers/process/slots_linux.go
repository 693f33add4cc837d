package process

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"strconv"
)

// A record's file holds its last two versions, each a line of JSON in a slot of its own. A write goes in place to the slot of the older one, so it makes and removes no file, which
// costs a hundred times more on some file systems; and whoever reads meanwhile, or after a crash in the middle of it, finds the newer version whole in the other slot.

// firstSeq is the number of the first version in a file.
const firstSeq = 1

// page is what slots are made of.
const page = 4096

// A line is {"seq":"…","sum":"…","record":…} with a number that grows by one with each write, and the checksum of number and record, in hexadecimal digits.
const (
	seqKey    = `{"seq":"`
	sumKey    = `","sum":"`
	recordKey = `","record":`
	headSize  = len(seqKey) + 16 + len(sumKey) + 8 + len(recordKey)
)

// slotted is what a file holds.
type slotted struct {
	payload []byte // of the newest whole version; nil: there is none
	seq     uint64
	slot    int // where that is: 0 or 1
	size    int // of a slot
}

// split finds the newest whole version in a file.
func split(file []byte) slotted {
	s := slotted{size: len(file) / 2}
	if s.size == 0 || len(file)%(2*page) != 0 {
		return slotted{}
	}
	for slot := range 2 {
		payload, seq, ok := parseLine(file[slot*s.size : (slot+1)*s.size])
		if ok && (s.payload == nil || seq > s.seq) {
			s.payload, s.seq, s.slot = payload, seq, slot
		}
	}
	return s
}

func parseLine(line []byte) (payload []byte, seq uint64, ok bool) {
	line = bytes.TrimRight(line, " \n")
	if len(line) <= headSize || line[len(line)-1] != '}' {
		return nil, 0, false
	}
	head := string(line[:headSize])
	seqAt := len(seqKey)
	sumAt := seqAt + 16 + len(sumKey)
	seq, seqErr := strconv.ParseUint(head[seqAt:seqAt+16], 16, 64)
	sum, sumErr := strconv.ParseUint(head[sumAt:sumAt+8], 16, 32)
	payload = line[headSize : len(line)-1]
	if seqErr != nil || sumErr != nil || head != lineHead(seq, uint32(sum)) || checksum(seq, payload) != uint32(sum) {
		return nil, 0, false
	}
	return payload, seq, true
}

func lineHead(seq uint64, sum uint32) string {
	return fmt.Sprintf("%s%016x%s%08x%s", seqKey, seq, sumKey, sum, recordKey)
}

func checksum(seq uint64, payload []byte) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli)
	sum := crc32.Checksum(strconv.AppendUint(nil, seq, 16), table)
	return crc32.Update(sum, table, payload)
}

// line fills a slot of size bytes, nil where it doesn't fit.
func line(size int, seq uint64, payload []byte) []byte {
	if headSize+len(payload)+2 > size {
		return nil
	}
	out := make([]byte, 0, size)
	out = append(out, lineHead(seq, checksum(seq, payload))...)
	out = append(out, payload...)
	out = append(out, '}')
	out = append(out, bytes.Repeat([]byte{' '}, size-len(out)-1)...)
	return append(out, '\n')
}

// fresh makes a file with one version in it, and room to grow.
func fresh(payload []byte) []byte {
	size := (headSize + len(payload)*5/4 + page) / page * page
	return append(line(size, firstSeq, payload), bytes.Repeat([]byte{' '}, size)...)
}
