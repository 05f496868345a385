package history

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"io"
	"os"
)

// sound walks through a file's tree as bbolt has it (its internal/common, version 2 of the format):
// bbolt follows page numbers wherever they lead, and in a file that is damaged that can be a circle, in
// which it goes on and takes memory for ever. The caller has the file locked.
func sound(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	w := &walk{file: f, size: st.Size(), seen: make(map[uint64]bool)}
	root, free, err := w.meta()
	if err == nil {
		err = w.tree(root, 0)
	}
	if err == nil {
		err = w.freelist(free)
	}
	return err
}

// What is in a page: its kind in its header's flags.
const (
	branchPage   = 0x01
	leafPage     = 0x02
	freelistPage = 0x10

	pageHeader  = 16 // bytes: number, flags, count, and how many pages follow that belong to it
	pageElement = 16
	inLeaf      = 0x01 // flag of a leaf's element that is a table

	maxDepth = 32
)

var native = binary.NativeEndian

type walk struct {
	file     io.ReaderAt
	size     int64
	pageSize uint64
	pages    uint64          // that the file says it has
	seen     map[uint64]bool // page numbers
}

func broken(format string, args ...any) error { return &damage{fmt.Errorf(format, args...)} }

func (w *walk) read(at, n uint64) ([]byte, error) {
	if at > uint64(w.size) || n > uint64(w.size)-at {
		return nil, broken("%d bytes at %d are beyond its end", n, at)
	}
	b := make([]byte, n)
	_, err := w.file.ReadAt(b, int64(at))
	return b, err
}

// meta reads the newest of the two states that the file has.
func (w *walk) meta() (root, free uint64, err error) {
	const length, magic, version = 64, 0xED0CDAED, 2
	newest := uint64(0)
	for _, at := range []uint64{0, uint64(os.Getpagesize())} {
		b, err := w.read(at+pageHeader, length)
		if err != nil {
			return 0, 0, err
		}
		sum := fnv.New64a()
		sum.Write(b[:length-8])
		txid := native.Uint64(b[48:])
		if native.Uint32(b) != magic || native.Uint32(b[4:]) != version || sum.Sum64() != native.Uint64(b[56:]) || w.pageSize != 0 && txid < newest {
			continue
		}
		newest, w.pageSize = txid, uint64(native.Uint32(b[8:]))
		root, free, w.pages = native.Uint64(b[16:]), native.Uint64(b[32:]), native.Uint64(b[40:])
	}
	if w.pageSize != uint64(os.Getpagesize()) {
		return 0, 0, broken("it has no state that is whole")
	}
	return root, free, nil
}

// page reads a page that nothing has led to before, and how many elements it has.
func (w *walk) page(id uint64) (b []byte, flags uint16, count uint64, err error) {
	head, err := w.read(id*w.pageSize, pageHeader)
	if err != nil {
		return nil, 0, 0, err
	}
	flags, count = native.Uint16(head[8:]), uint64(native.Uint16(head[10:]))
	all := uint64(native.Uint32(head[12:])) + 1
	if native.Uint64(head) != id || id < 2 || id >= w.pages || all > w.pages-id {
		return nil, 0, 0, broken("page %d says that it is page %d, and %d pages", id, native.Uint64(head), all)
	}
	for i := range all {
		if w.seen[id+i] {
			return nil, 0, 0, broken("page %d is in two places", id+i)
		}
		w.seen[id+i] = true
	}
	b, err = w.read(id*w.pageSize, all*w.pageSize)
	return b, flags, count, err
}

// tree walks through the pages from one on.
func (w *walk) tree(id uint64, depth int) error {
	b, flags, count, err := w.page(id)
	if err != nil {
		return err
	}
	if depth > maxDepth || pageHeader+count*pageElement > uint64(len(b)) {
		return broken("page %d has %d elements, %d deep", id, count, depth)
	}
	for i := range count {
		at := pageHeader + i*pageElement
		e := b[at:]
		switch {
		case flags == branchPage:
			if at+uint64(native.Uint32(e))+uint64(native.Uint32(e[4:])) > uint64(len(b)) {
				return broken("a key of page %d is beyond its end", id)
			}
			if err := w.tree(native.Uint64(e[8:]), depth+1); err != nil {
				return err
			}
		case flags == leafPage:
			value := at + uint64(native.Uint32(e[4:])) + uint64(native.Uint32(e[8:]))
			if value+uint64(native.Uint32(e[12:])) > uint64(len(b)) {
				return broken("a value of page %d is beyond its end", id)
			}
			if native.Uint32(e)&inLeaf == 0 {
				continue
			}
			if err := w.table(b[value:value+uint64(native.Uint32(e[12:]))], depth); err != nil {
				return err
			}
		default:
			return broken("page %d is of kind %#x", id, flags)
		}
	}
	if flags == branchPage && count == 0 {
		return broken("page %d leads nowhere", id)
	}
	return nil
}

// table walks through one, which is in pages of its own, or in its value as long as it is short.
func (w *walk) table(value []byte, depth int) error {
	if len(value) < 16 {
		return broken("a table of %d bytes", len(value))
	}
	if root := native.Uint64(value); root != 0 {
		return w.tree(root, depth+1)
	}
	page := value[16:]
	if len(page) < pageHeader || native.Uint16(page[8:]) != leafPage {
		return broken("a short table that is none")
	}
	for i := range uint64(native.Uint16(page[10:])) {
		at := pageHeader + i*pageElement
		if at+pageElement > uint64(len(page)) {
			return broken("a short table of %d elements", native.Uint16(page[10:]))
		}
		e := page[at:]
		if native.Uint32(e)&inLeaf != 0 || at+uint64(native.Uint32(e[4:]))+uint64(native.Uint32(e[8:]))+uint64(native.Uint32(e[12:])) > uint64(len(page)) {
			return broken("an element of a short table is beyond its end")
		}
	}
	return nil
}

// freelist makes sure that no page is free that something leads to, which the next write would use.
func (w *walk) freelist(id uint64) error {
	b, flags, count, err := w.page(id)
	if err != nil {
		return err
	}
	list := b[pageHeader:]
	if count == 0xFFFF && len(list) >= 8 { // too many for the header
		count, list = native.Uint64(list), list[8:]
	}
	if flags != freelistPage || count > uint64(len(list))/8 {
		return broken("the list of free pages has %d in %d bytes", count, len(list))
	}
	for i := range count {
		if free := native.Uint64(list[8*i:]); free < 2 || free >= w.pages || w.seen[free] {
			return broken("page %d is free, and is not", free)
		}
	}
	return nil
}
