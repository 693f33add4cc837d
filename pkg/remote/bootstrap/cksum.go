package bootstrap

import "strconv"

// cksum is the checksum of the POSIX utility of that name, which every host has: CRC-32 with the polynomial 0x04C11DB7, the highest bit first, over the bytes and then
// their count. It tells whether a part is the beginning of a file; that the whole is right is told by its SHA-256.
type cksum struct {
	crc   uint32
	size  int64
	table *[256]uint32
}

func newCksum() *cksum {
	var table [256]uint32
	for i := range table {
		c := uint32(i) << 24
		for range 8 {
			top := c >> 31
			c = c<<1 ^ top*0x04C11DB7
		}
		table[i] = c
	}
	return &cksum{table: &table}
}

// Write adds bytes. It never returns an error.
func (c *cksum) Write(b []byte) (int, error) {
	crc := c.crc
	for _, x := range b {
		crc = crc<<8 ^ c.table[byte(crc>>24)^x]
	}
	c.crc = crc
	c.size += int64(len(b))
	return len(b), nil
}

// String is what cksum prints of the bytes so far: the checksum and the size.
func (c *cksum) String() string {
	crc := c.crc
	for n := c.size; n > 0; n >>= 8 {
		crc = crc<<8 ^ c.table[byte(crc>>24)^byte(n)]
	}
	return strconv.FormatUint(uint64(^crc), 10) + " " + strconv.FormatInt(c.size, 10)
}
