package virt

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"runtime"
	"sync"
	"testing"

	"github.com/digitalocean/go-libvirt"

	"github.com/virt-sluice/sluice/internal/libvirtrpc"
)

// FuzzRemoteConn: whatever another host's libvirtd answers to the calls that are made there, they
// end, and take memory for what has come alone. go-libvirt reads it.
func FuzzRemoteConn(f *testing.F) {
	none := "\x00\x00\x00\x01\x00\x00\x00\x00" // AUTH_LIST: one way, which is none
	f.Add([]byte{}, []byte("\x00\x00\x00\x01"))
	f.Add([]byte("\x08"+none+"\x00\x04\x00\x00\x00\x01\x08\x00\x00\x00\x00\x00\x96\x5d\x20"), []byte{})
	f.Add([]byte("\x08"+none+"\x00\x84\x00\x00\x00\x26\x00\x00\x00\x0a"), []byte{})
	f.Add([]byte("\x08"+none+"\x00\x04\x00\x00\x00\x01"), rawPacket(libvirtrpc.ProgramRemote, 318, libvirtrpc.TypeMessage, 0, "an event"))
	f.Fuzz(func(t *testing.T, replies, then []byte) {
		if len(replies) > 4096 || len(then) > 4096 {
			return
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		near, far := net.Pipe()
		var server sync.WaitGroup
		server.Go(func() { answers(far, replies, then) })
		if v, err := NewRemoteConn(context.Background(), near); err == nil {
			ctx := context.Background()
			v.Versions(ctx)
			v.State(ctx, libvirt.UUID{})
			v.Bound(ctx, func() error {
				_, _, err := v.DomainMigratePrepare3Params(nil, nil, 0)
				return err
			})
			v.Bound(ctx, func() error {
				_, _, err := v.JobStats(libvirt.Domain{}, 0)
				return err
			})
			v.Bound(ctx, func() error {
				_, _, err := v.DomainMigrateFinish3Params(nil, nil, 0, 0)
				return err
			})
			v.Close()
		}
		near.Close()
		server.Wait()
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > 4<<20 {
			t.Fatalf("%d bytes allocated for %d", n, len(replies)+len(then))
		}
	})
}

// answers answers each call with what replies has for it: a byte with the body's length, whose
// first bit makes it an error, and the body. When there is no more, what is left is sent as it is.
func answers(c net.Conn, replies, then []byte) {
	defer c.Close()
	for {
		head := make([]byte, packetHead)
		if _, err := io.ReadFull(c, head); err != nil {
			return
		}
		if _, err := io.CopyN(io.Discard, c, int64(binary.BigEndian.Uint32(head))-packetHead); err != nil {
			return
		}
		if len(replies) == 0 {
			c.Write(then)
			return
		}
		n := min(int(replies[0]&0x7f), len(replies)-1)
		h := libvirtrpc.ParseHead(head)
		p := rawPacket(h.Program, uint32(h.Procedure), libvirtrpc.TypeReply, h.Serial, string(replies[1:1+n]))
		p[packetHead-1] = replies[0] >> 7
		replies = replies[1+n:]
		if _, err := c.Write(p); err != nil {
			return
		}
	}
}
