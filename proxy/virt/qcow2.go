package virt

import (
	"bytes"
	"encoding/binary"
	"errors"
)

// Qcow2Head is as much of an image as ReadQcow2 needs, in bytes: all that it reads lies in the first
// cluster, and what is beyond that much is refused.
const Qcow2Head = 64 << 10

var (
	errNotQcow2 = errors.New("it is no qcow2 image")
	errDataFile = errors.New("its content is in another file (data_file)")
)

// ReadQcow2 reads from the beginning of a qcow2 image what is beneath it, and of which format that
// is; both are empty if nothing is, and the format if none is named. The layout is that of QEMU's
// docs/interop/qcow2.rst.
func ReadQcow2(head []byte) (path, format string, err error) {
	const (
		versionAt, pathAt, lengthAt = 4, 8, 16
		featuresAt, headerLengthAt  = 72, 100
		shortHead, longHead         = 72, 104
		hasDataFile                 = 1 << 2 // of the incompatible features
		extensionFormat             = 0xe2792aca
		longestPath                 = 1023
	)
	if len(head) < longHead || !bytes.HasPrefix(head, []byte("QFI\xfb")) {
		return "", "", errNotQcow2
	}
	extensions := uint64(shortHead)
	switch binary.BigEndian.Uint32(head[versionAt:]) {
	case 2:
	case 3:
		if binary.BigEndian.Uint64(head[featuresAt:])&hasDataFile != 0 {
			return "", "", errDataFile
		}
		extensions = uint64(binary.BigEndian.Uint32(head[headerLengthAt:]))
	default:
		return "", "", errNotQcow2
	}
	at, length, size := binary.BigEndian.Uint64(head[pathAt:]), uint64(binary.BigEndian.Uint32(head[lengthAt:])), uint64(len(head))
	if at == 0 {
		return "", "", nil
	}
	if at > size || length == 0 || length > longestPath || length > size-at {
		return "", "", errNotQcow2
	}
	path = string(head[at : at+length])
	for extensions+8 <= at {
		kind, n := binary.BigEndian.Uint32(head[extensions:]), uint64(binary.BigEndian.Uint32(head[extensions+4:]))
		extensions += 8
		switch {
		case kind == 0:
			return path, format, nil
		case n > at-extensions:
			return "", "", errNotQcow2
		case kind == extensionFormat:
			format = string(head[extensions : extensions+n])
		}
		extensions += (n + 7) &^ 7
	}
	return path, format, nil
}
