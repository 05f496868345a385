package virt

import (
	"slices"
	"testing"

	"github.com/virt-sluice/sluice/internal/libvirtrpc"
)

// The event is found however the packets are cut, and nothing else is taken for it.
func TestDriverEvents(t *testing.T) {
	event := rawPacket(libvirtrpc.ProgramRemote, connectionClosed, libvirtrpc.TypeMessage, 0, "\x00\x00\x00\x01")
	others := slices.Concat(
		rawPacket(libvirtrpc.ProgramRemote, connectionClosed, libvirtrpc.TypeReply, 3, ""),
		rawPacket(libvirtrpc.ProgramRemote, 1, libvirtrpc.TypeReply, 4, string(event)),
		rawPacket(libvirtrpc.ProgramKeepalive, connectionClosed, libvirtrpc.TypeMessage, 0, ""),
	)
	for size := 1; size <= len(others)+len(event); size++ {
		var e driverEvents
		found := 0
		for piece := range slices.Chunk(slices.Concat(others, event, others), size) {
			if e.closed(piece) {
				found++
			}
		}
		if found != 1 {
			t.Errorf("in pieces of %d bytes the event is found %d times", size, found)
		}
		e = driverEvents{}
		for piece := range slices.Chunk(others, size) {
			if e.closed(piece) {
				t.Errorf("in pieces of %d bytes another packet is taken for the event", size)
			}
		}
	}
}
