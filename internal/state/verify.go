package state

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
)

// bbolt reads pages through a memory map and believes every number in them. A
// wrong one can be an access outside of the map, and a wrong pointer to a page
// a walk that never ends, from which no recover leads back. So the file is
// looked at before bbolt walks it: every page that can be reached, once, and
// that each is what its parent says. The layout has been the same since Bolt 1.0
// and is version 2 in the file; numbers are in the machine's byte order.

const (
	pageSize        = 4096
	boltMagic       = 0xED0CDAED
	boltVersion     = 2
	noFreelist      = 1<<64 - 1
	headerBytes     = 16 // id 8, flags 2, count 2, overflow 4
	elementBytes    = 16 // branch: pos 4, ksize 4, page 8; leaf: flags 4, pos 4, ksize 4, vsize 4
	flagBranch      = 0x01
	flagLeaf        = 0x02
	flagFreelist    = 0x10
	flagBucket      = 0x01 // of a leaf's element: its value is a bucket
	maxDepth        = 32   // two keys to a page are 2^32 pages
	bucketHeadBytes = 16   // root 8, sequence 8; an inline bucket's page follows
)

// pages is a database file being verified.
type pages struct {
	f    io.ReaderAt
	size int64  // of a page
	used []bool // by page, up to the high water mark
}

// meta is the part of a meta page that leads on.
type boltMeta struct {
	root, freelist, pages, txid uint64
	pageSize                    uint32
}

// VerifyBolt looks at every page of a bbolt file that can be reached, and returns
// what is wrong first. size is that of the pages with which the file is made. Nobody
// may write to it meanwhile.
func VerifyBolt(f *os.File, size int) error {
	fi, err := f.Stat()
	if err != nil {
		return err
	}
	m, err := currentMeta(f, size)
	if err != nil {
		return err
	}
	if int64(m.pageSize) != int64(size) {
		return fmt.Errorf("pages are said to have %d bytes, not %d", m.pageSize, size)
	}
	if have := uint64(fi.Size()) / uint64(size); m.pages > have { //nolint:gosec // a file's size
		return fmt.Errorf("%d pages are used, the file has %d", m.pages, have)
	}
	p := pages{f: f, size: int64(size), used: make([]bool, m.pages)}
	if m.freelist != noFreelist {
		if err := p.freelist(m.freelist); err != nil {
			return err
		}
	}
	return p.tree(m.root, bounds{}, true, 0)
}

// currentMeta returns the newer one of the two that is whole, as bbolt does.
func currentMeta(f io.ReaderAt, size int) (boltMeta, error) {
	var newest boltMeta
	found := false
	for i := range int64(2) {
		b := make([]byte, size)
		if _, err := f.ReadAt(b, i*int64(size)); err != nil {
			return boltMeta{}, fmt.Errorf("meta page %d: %w", i, err)
		}
		if m, ok := decodeMeta(b[headerBytes:]); ok && (!found || m.txid > newest.txid) {
			newest, found = m, true
		}
	}
	if !found {
		return boltMeta{}, errors.New("no meta page is whole")
	}
	return newest, nil
}

// decodeMeta says whether bbolt takes it for whole (Meta.Validate of 1.5.0, which
// doesn't look at the page size). It reads magic 4, version 4, page size 4, flags 4,
// root 8, sequence 8, freelist 8, high water mark 8, transaction 8, checksum 8.
func decodeMeta(b []byte) (boltMeta, bool) {
	u32, u64 := binary.NativeEndian.Uint32, binary.NativeEndian.Uint64
	ok := u32(b) == boltMagic && u32(b[4:]) == boltVersion && u64(b[56:]) == checksum(b)
	return boltMeta{root: u64(b[16:]), freelist: u64(b[32:]), pages: u64(b[40:]), txid: u64(b[48:]), pageSize: u32(b[8:])}, ok
}

// checksum is of all that stands before it.
func checksum(meta []byte) uint64 {
	sum := fnv.New64a()
	_, _ = sum.Write(meta[:56])
	return sum.Sum64()
}

// page reads a page with its overflow, which belong to nothing else.
func (p *pages) page(id uint64) (b []byte, flags, count uint16, err error) {
	head := make([]byte, headerBytes)
	if id < 2 || id >= uint64(len(p.used)) {
		return nil, 0, 0, fmt.Errorf("page %d: out of range", id)
	}
	if _, err := p.f.ReadAt(head, int64(id)*p.size); err != nil {
		return nil, 0, 0, fmt.Errorf("page %d: %w", id, err)
	}
	n := uint64(binary.NativeEndian.Uint32(head[12:])) + 1
	if got := binary.NativeEndian.Uint64(head); got != id || id+n > uint64(len(p.used)) {
		return nil, 0, 0, fmt.Errorf("page %d: says it is page %d and %d pages long", id, got, n)
	}
	for i := id; i < id+n; i++ {
		if err := p.use(i); err != nil {
			return nil, 0, 0, err
		}
	}
	b = make([]byte, n*uint64(p.size))
	if _, err := p.f.ReadAt(b, int64(id)*p.size); err != nil {
		return nil, 0, 0, fmt.Errorf("page %d: %w", id, err)
	}
	return b, binary.NativeEndian.Uint16(head[8:]), binary.NativeEndian.Uint16(head[10:]), nil
}

func (p *pages) use(id uint64) error {
	if id < 2 || id >= uint64(len(p.used)) || p.used[id] {
		return fmt.Errorf("page %d: out of range, or used twice", id)
	}
	p.used[id] = true
	return nil
}

// freelist takes the pages that are free: one that is also in use would be
// written over.
func (p *pages) freelist(id uint64) error {
	b, flags, count, err := p.page(id)
	if err != nil {
		return err
	}
	ids, n := b[headerBytes:], uint64(count)
	if count == 0xFFFF { // the first element is the count
		n, ids = binary.NativeEndian.Uint64(ids), ids[8:]
	}
	if flags != flagFreelist || n > uint64(len(ids))/8 {
		return fmt.Errorf("page %d: not a list of free pages", id)
	}
	for i := range n {
		if err := p.use(binary.NativeEndian.Uint64(ids[8*i:])); err != nil {
			return fmt.Errorf("free %w", err)
		}
	}
	return nil
}

// bounds are what a page's keys lie between: low is the first that is there,
// high the first that may not be; nil for none. bbolt keeps a page's first key
// in the page above it, finds it there by that key when the page is merged with
// its neighbour, and where the two differ leaves a pointer to a freed page
// behind (node.rebalance and node.spill of 1.5.0).
type bounds struct{ low, high []byte }

// hold says whether a key may be the page's element i.
func (w bounds) hold(i int, key []byte) bool {
	if i == 0 && w.low != nil && !bytes.Equal(key, w.low) {
		return false
	}
	return len(key) > 0 && bytes.Compare(key, w.low) >= 0 && (w.high == nil || bytes.Compare(key, w.high) < 0)
}

// tree walks what is below a page. Buckets are in the top tree only.
func (p *pages) tree(id uint64, in bounds, top bool, depth int) error {
	b, flags, count, err := p.page(id)
	if err != nil {
		return err
	}
	switch {
	case flags == flagLeaf:
		return p.leaf(id, b, count, in, top)
	case flags != flagBranch || count == 0 || depth == maxDepth:
		return fmt.Errorf("page %d: has flags %#x, %d elements at depth %d", id, flags, count, depth)
	}
	u32, u64 := binary.NativeEndian.Uint32, binary.NativeEndian.Uint64
	var children []uint64
	var keys [][]byte
	for i := range int(count) {
		at := headerBytes + i*elementBytes
		if at+elementBytes > len(b) {
			return fmt.Errorf("page %d: element %d is outside", id, i)
		}
		key, _, ok := slice(b, at, u32(b[at:]), u32(b[at+4:]), 0)
		if !ok || !in.hold(i, key) || i > 0 && bytes.Compare(keys[i-1], key) >= 0 {
			return fmt.Errorf("page %d: element %d is outside or out of order", id, i)
		}
		children, keys = append(children, u64(b[at+8:])), append(keys, key)
	}
	for i, child := range children {
		below := bounds{low: keys[i], high: in.high}
		if i+1 < len(keys) {
			below.high = keys[i+1]
		}
		if err := p.tree(child, below, top, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// slice returns a key and a value that lie behind each other, pos bytes behind
// their element at.
func slice(b []byte, at int, pos, keyBytes, valueBytes uint32) (key, value []byte, ok bool) {
	from := uint64(at) + uint64(pos)
	mid := from + uint64(keyBytes)
	if mid+uint64(valueBytes) > uint64(len(b)) {
		return nil, nil, false
	}
	return b[from:mid], b[mid : mid+uint64(valueBytes)], true
}

// leaf looks at a leaf, which is a page, or a part of one for an inline bucket.
func (p *pages) leaf(id uint64, b []byte, count uint16, in bounds, top bool) error {
	u32 := binary.NativeEndian.Uint32
	if count == 0 && in.low != nil {
		return fmt.Errorf("page %d: empty, but not the only one", id)
	}
	var last []byte
	for i := range int(count) {
		at := headerBytes + i*elementBytes
		if at+elementBytes > len(b) {
			return fmt.Errorf("page %d: element %d is outside", id, i)
		}
		key, value, ok := slice(b, at, u32(b[at+4:]), u32(b[at+8:]), u32(b[at+12:]))
		if !ok || !in.hold(i, key) || i > 0 && bytes.Compare(last, key) >= 0 {
			return fmt.Errorf("page %d: element %d is outside or out of order", id, i)
		}
		last = key
		isBucket := u32(b[at:]) == flagBucket
		if isBucket != top || u32(b[at:])&^flagBucket != 0 {
			return fmt.Errorf("page %d: element %d has flags %#x", id, i, u32(b[at:]))
		}
		if isBucket {
			if err := p.bucket(id, value); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p *pages) bucket(id uint64, value []byte) error {
	if len(value) < bucketHeadBytes {
		return fmt.Errorf("page %d: bucket of %d bytes", id, len(value))
	}
	if root := binary.NativeEndian.Uint64(value); root != 0 {
		return p.tree(root, bounds{}, false, 0)
	}
	inline := value[bucketHeadBytes:]
	if len(inline) < headerBytes || binary.NativeEndian.Uint16(inline[8:]) != flagLeaf {
		return fmt.Errorf("page %d: inline bucket without a page", id)
	}
	return p.leaf(id, inline, binary.NativeEndian.Uint16(inline[10:]), bounds{}, false)
}
