package observer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// A qcow2 image's header, as far as it says where data is (QEMU's docs/interop/qcow2.rst).
const (
	qcow2Magic      = "QFI\xfb"
	qcow2Features   = 72 // bytes to the incompatible features, big-endian, of version 3 and later
	qcow2DataFile   = 1 << 2
	qcow2HeaderSize = qcow2Features + 8
)

// hasDataFile is [Observer.HasDataFile]. No other file than a regular one is read.
func hasDataFile(path string) (bool, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return false, err
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil {
		return false, err
	} else if !st.Mode().IsRegular() {
		return false, fmt.Errorf("%s is not a regular file", path)
	}
	head := make([]byte, qcow2HeaderSize)
	switch _, err := io.ReadFull(f, head); {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF): // too short for one
		return false, nil
	case err != nil:
		return false, err
	}
	is := string(head[:4]) == qcow2Magic && binary.BigEndian.Uint32(head[4:]) >= 3
	return is && binary.BigEndian.Uint64(head[qcow2Features:])&qcow2DataFile != 0, nil
}
