package program

import (
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// image is what the kernel and the program loader need to know of an ELF file. Section headers aren't read: nothing that executes a program looks at them, and they may be missing.
type image struct {
	head    []byte // the first bytes, as binfmt_misc compares them
	wide    bool   // 64 bit
	order   binary.ByteOrder
	kind    elf.Type
	machine elf.Machine
	loader  string // empty for a static program
	// What the program loader is told: see ld.so(8).
	needed         []string
	soname         string
	rpath, runpath []string
	hasRunpath     bool
}

// errShort marks a file that ends before what its header announces.
var errShort = errors.New("it ends too early")

const (
	mostSegments = 512
	longestPath  = 4096
	mostDynamic  = 1 << 16 // bytes of a dynamic section
)

// segment is an entry of the program header.
type segment struct {
	kind               elf.ProgType
	offset, addr, size uint64
}

// imageOf reads a regular file.
func imageOf(f *os.File) (*image, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	return readImage(f, info.Size())
}

// readImage reads a file of that size, whatever is in it.
func readImage(f io.ReaderAt, size int64) (*image, error) {
	im := &image{head: make([]byte, 64)}
	if n, err := f.ReadAt(im.head, 0); err != nil && n < 52 || string(im.head[:4]) != elf.ELFMAG {
		return nil, errShort
	}
	r := &reader{f, size, nil}
	segments := im.header(r)
	for _, s := range segments {
		switch {
		case s.kind == elf.PT_LOAD && (s.offset > uint64(size) || s.size > uint64(size)-s.offset):
			return nil, errShort
		case s.kind == elf.PT_INTERP:
			im.loader = strings.TrimRight(string(r.bytes(s.offset, min(s.size, longestPath))), "\x00")
		}
	}
	for _, s := range segments {
		if s.kind == elf.PT_DYNAMIC {
			im.dynamic(r, segments, s)
		}
	}
	return im, r.err
}

// reader reads parts of a file, none after the first failure.
type reader struct {
	io.ReaderAt
	size int64
	err  error
}

// bytes returns n bytes at an offset; zeros where they can't be had.
func (r *reader) bytes(offset, n uint64) []byte {
	b := make([]byte, n)
	if r.err != nil {
		return b
	}
	if offset > uint64(r.size) || n > uint64(r.size)-offset {
		r.err = errShort
		return b
	}
	_, r.err = r.ReadAt(b, int64(offset))
	return b
}

// header reads what stands at the beginning, and returns the segments.
func (im *image) header(r *reader) []segment {
	h := im.head
	im.wide, im.order = elf.Class(h[elf.EI_CLASS]) == elf.ELFCLASS64, binary.LittleEndian
	if elf.Data(h[elf.EI_DATA]) == elf.ELFDATA2MSB {
		im.order = binary.BigEndian
	}
	im.kind, im.machine = elf.Type(im.order.Uint16(h[16:])), elf.Machine(im.order.Uint16(h[18:]))
	var offset uint64
	var each, count uint16
	if im.wide {
		offset, each, count = im.order.Uint64(h[32:]), im.order.Uint16(h[54:]), im.order.Uint16(h[56:])
	} else {
		offset, each, count = uint64(im.order.Uint32(h[28:])), im.order.Uint16(h[42:]), im.order.Uint16(h[44:])
	}
	least := uint16(32)
	if im.wide {
		least = 56
	}
	switch {
	case count == 0:
		return nil
	case each < least || count > mostSegments:
		r.err = fmt.Errorf("%d segments of %d bytes make no sense", count, each)
		return nil
	}
	table := r.bytes(offset, uint64(each)*uint64(count))
	segments := make([]segment, count)
	for i := range segments {
		segments[i] = im.segment(table[i*int(each):])
	}
	return segments
}

func (im *image) segment(b []byte) segment {
	s := segment{kind: elf.ProgType(im.order.Uint32(b))}
	if im.wide {
		s.offset, s.addr, s.size = im.order.Uint64(b[8:]), im.order.Uint64(b[16:]), im.order.Uint64(b[32:])
	} else {
		s.offset, s.addr, s.size = uint64(im.order.Uint32(b[4:])), uint64(im.order.Uint32(b[8:])), uint64(im.order.Uint32(b[16:]))
	}
	return s
}

// dynamic reads what the program loader is told. What makes no sense is left out: it is the loader's to complain about.
func (im *image) dynamic(r *reader, segments []segment, s segment) {
	quiet := &reader{r.ReaderAt, r.size, nil}
	table := quiet.bytes(s.offset, min(s.size, mostDynamic))
	word := 4
	if im.wide {
		word = 8
	}
	type entry struct {
		tag   elf.DynTag
		value uint64
	}
	var entries []entry
	var strings, length uint64
	for ; len(table) >= 2*word; table = table[2*word:] {
		e := entry{elf.DynTag(im.word(table)), im.word(table[word:])}
		switch e.tag {
		case elf.DT_NULL:
			table = table[:2*word] // nothing follows it
		case elf.DT_STRTAB:
			strings = e.value
		case elf.DT_STRSZ:
			length = e.value
		}
		entries = append(entries, e)
	}
	text := quiet.bytes(fileOffset(segments, strings), min(length, 16<<20))
	if quiet.err != nil {
		return
	}
	for _, e := range entries {
		im.tell(e.tag, stringAt(text, e.value))
	}
}

// tell takes one entry in.
func (im *image) tell(tag elf.DynTag, text string) {
	switch {
	case text == "":
	case tag == elf.DT_NEEDED:
		im.needed = append(im.needed, text)
	case tag == elf.DT_SONAME:
		im.soname = text
	case tag == elf.DT_RPATH:
		im.rpath = strings.Split(text, ":")
	case tag == elf.DT_RUNPATH:
		im.runpath, im.hasRunpath = strings.Split(text, ":"), true
	}
}

func (im *image) word(b []byte) uint64 {
	if im.wide {
		return im.order.Uint64(b)
	}
	return uint64(im.order.Uint32(b))
}

// fileOffset is where in the file the byte of an address lies.
func fileOffset(segments []segment, addr uint64) uint64 {
	for _, s := range segments {
		if s.kind == elf.PT_LOAD && addr >= s.addr && addr-s.addr < s.size {
			return s.offset + addr - s.addr
		}
	}
	return addr
}

func stringAt(text []byte, at uint64) string {
	if at >= uint64(len(text)) {
		return ""
	}
	s, _, _ := strings.Cut(string(text[at:min(uint64(len(text)), at+longestPath)]), "\x00")
	return s
}
