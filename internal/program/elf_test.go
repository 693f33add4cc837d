package program

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"testing"
)

// made is an ELF file as a test wants it: little-endian, without sections.
type made struct {
	narrow         bool // 32 bit
	kind           elf.Type
	machine        elf.Machine
	loader         string
	needed         []string
	soname         string
	rpath, runpath string
}

// bytes lays out the header, four segments, and what they speak of, one after the other at addresses that are the offsets plus a base.
func (m made) bytes() []byte {
	const base = 0x400000
	if m.kind == 0 {
		m.kind = elf.ET_DYN
	}
	if m.machine == 0 {
		m.machine = elf.EM_X86_64
	}
	headLen, segLen, word := 64, 56, 8
	if m.narrow {
		headLen, segLen, word = 52, 32, 4
	}
	text := []byte{0}
	add := func(s string) uint64 {
		at := len(text)
		text = append(append(text, s...), 0)
		return uint64(at)
	}
	type entry struct{ tag, value uint64 }
	var dyn []entry
	for _, n := range m.needed {
		dyn = append(dyn, entry{uint64(elf.DT_NEEDED), add(n)})
	}
	for tag, s := range map[elf.DynTag]string{elf.DT_SONAME: m.soname, elf.DT_RPATH: m.rpath, elf.DT_RUNPATH: m.runpath} {
		if s != "" {
			dyn = append(dyn, entry{uint64(tag), add(s)})
		}
	}
	loaderAt := headLen + 3*segLen
	dynAt := loaderAt + len(m.loader) + 1
	textAt := dynAt + (len(dyn)+3)*2*word
	dyn = append(dyn, entry{uint64(elf.DT_STRTAB), uint64(base + textAt)}, entry{uint64(elf.DT_STRSZ), uint64(len(text))}, entry{})
	end := textAt + len(text)

	var b bytes.Buffer
	put := func(vs ...any) {
		for _, v := range vs {
			if err := binary.Write(&b, binary.LittleEndian, v); err != nil {
				panic(err)
			}
		}
	}
	num := func(vs ...int) {
		for _, v := range vs {
			if m.narrow {
				put(uint32(v))
			} else {
				put(uint64(v))
			}
		}
	}
	class := elf.ELFCLASS64
	if m.narrow {
		class = elf.ELFCLASS32
	}
	b.WriteString(elf.ELFMAG)
	b.Write([]byte{byte(class), byte(elf.ELFDATA2LSB), 1, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	put(uint16(m.kind), uint16(m.machine), uint32(1))
	num(base, headLen, 0)
	put(uint32(0), uint16(headLen), uint16(segLen), uint16(3), uint16(0), uint16(0), uint16(0))
	seg := func(kind elf.ProgType, at, size int) {
		if kind != elf.PT_LOAD && size == 0 {
			kind = elf.PT_NULL
		}
		if m.narrow {
			put(uint32(kind), uint32(at), uint32(base+at), uint32(base+at), uint32(size), uint32(size), uint32(5), uint32(4096))
		} else {
			put(uint32(kind), uint32(5), uint64(at), uint64(base+at), uint64(base+at), uint64(size), uint64(size), uint64(4096))
		}
	}
	seg(elf.PT_LOAD, 0, end)
	interp := 0
	if m.loader != "" {
		interp = len(m.loader) + 1
	}
	seg(elf.PT_INTERP, loaderAt, interp)
	seg(elf.PT_DYNAMIC, dynAt, textAt-dynAt)
	b.WriteString(m.loader + "\x00")
	for _, e := range dyn {
		num(int(e.tag), int(e.value))
	}
	b.Write(text)
	return b.Bytes()
}

// cacheOf is an ld.so.cache with those libraries: name, path, name, path.
func cacheOf(pairs ...string) []byte {
	var b, text bytes.Buffer
	b.WriteString(cacheMagic)
	head := cacheHeader + len(pairs)/2*cacheEntry
	for _, v := range []uint32{uint32(len(pairs) / 2), 0, 0, 0, 0, 0, 0} {
		_ = binary.Write(&b, binary.LittleEndian, v)
	}
	for i := 0; i < len(pairs); i += 2 {
		_ = binary.Write(&b, binary.LittleEndian, int32(0x303))
		for _, s := range pairs[i : i+2] {
			_ = binary.Write(&b, binary.LittleEndian, uint32(head+text.Len()))
			text.WriteString(s + "\x00")
		}
		_ = binary.Write(&b, binary.LittleEndian, [3]uint32{})
	}
	return append(b.Bytes(), text.Bytes()...)
}

func FuzzImage(f *testing.F) {
	for _, m := range []made{{}, {narrow: true, machine: elf.EM_386, loader: "/lib/ld-linux.so.2"}, {loader: "/l", needed: []string{"a", "b"}, runpath: "$ORIGIN/../lib", soname: "s"}} {
		f.Add(m.bytes())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		im, err := readImage(bytes.NewReader(b), int64(len(b)))
		if err == nil && len(im.loader) > longestPath {
			t.Errorf("a loader of %d bytes", len(im.loader))
		}
	})
}

func FuzzCache(f *testing.F) {
	f.Add(cacheOf("libc.so.6", "/lib/libc.so.6", "libm.so.6", "/lib/libm.so.6"))
	f.Add([]byte("ld.so-1.7.0\x00" + cacheMagic))
	f.Fuzz(func(t *testing.T, b []byte) {
		for name, paths := range parseCache(b) {
			if name == "" || len(paths) == 0 {
				t.Error("an entry of nothing")
			}
		}
	})
}
