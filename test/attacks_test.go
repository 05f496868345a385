package test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"time"

	"github.com/virt-sluice/sluice/internal/lab"
	"github.com/virt-sluice/sluice/proxy/session"
	"github.com/virt-sluice/sluice/stream"
)

// An attack is what an outsider does over and over to host-b's sluice.
type attack struct {
	name    string
	as      string // a peer's name; empty: a stranger without a certificate
	workers int    // that do it at once
	// once does it, and returns how often. An error ends the test: that nothing was attacked.
	once   func(ctx context.Context, o *outsider, live string) (int, error)
	sample bool // tried by TestHostile in any case
}

const (
	migrates, reads = "host-c", "host-r" // peers of host-b, by their access
)

// attacks are one after the other what anybody may think of. live is the session of the honest
// migration that goes on meanwhile.
var attacks = []attack{
	{"5,000 silent connections", "", 1, silent(5000, nil), true},
	{"slow handshakes, a byte at a time", "", 1, dribble, false},
	{"handshakes that stop in the middle", "", 1, silent(400, hello), true},
	{"garbage", "", 4, garbage, false},
	{"every truncation of a first record", "", 2, truncatedHello, false},
	{"no certificate", "", 2, noCertificate, false},
	{"every truncation of an opening", migrates, 2, truncatedOpening, false},
	{"frames of every kind where they have no place", migrates, 2, oddFrames, false},
	{"lengths up to 2^32-1", migrates, 2, oddLengths, false},
	{"long frames that never end", migrates, 1, heldFrames, false},
	{"msgpack bombs", migrates, 2, bombs, true},
	{"channels of others, out of order, too many", migrates, 2, oddChannels, true},
	{"paths and NULs for names", migrates, 2, oddNames, false},
	{"calls that make no sense", migrates, 2, oddCalls, false},
	{"as many sessions as there may be", migrates, 1, sessions, false},
	{"questions", reads, 4, questions, false},
	{"what a reader may not", reads, 2, forbidden, true},
	{"KeyUpdates", migrates, 2, flood(func(f *forger, b []byte, i int) []byte { return f.keyUpdate(b, byte(i&1)) }), true},
	{"alerts of no consequence", migrates, 2, flood(func(f *forger, b []byte, _ int) []byte { return f.record(b, 21, []byte{1, 90}) }), false},
	{"empty records", migrates, 2, flood(func(f *forger, b []byte, _ int) []byte { return f.record(b, 23, nil) }), false},
	{"pings", migrates, 2, flood(func(f *forger, b []byte, _ int) []byte { return f.record(b, 23, frame("ping", nil)) }), false},
}

// dribble sends first records so slowly that they are not whole in time.
func dribble(ctx context.Context, o *outsider, _ string) (int, error) {
	all, err := o.dialMany(ctx, 400)
	if err != nil && ctx.Err() == nil {
		return 0, err
	}
	says, tick := hello(), time.NewTicker(100*time.Millisecond)
	defer tick.Stop()
	for i := range says {
		for _, c := range all {
			c.Write(says[i : i+1])
		}
		select {
		case <-tick.C:
			continue
		case <-ctx.Done():
		}
		break
	}
	for _, c := range all {
		c.Close()
	}
	return len(all), nil
}

func garbage(ctx context.Context, o *outsider, _ string) (int, error) {
	c, err := o.dial(ctx)
	if err != nil {
		return 0, nil
	}
	defer c.Close()
	b := make([]byte, rand.IntN(32<<10))
	for i := range b {
		b[i] = byte(rand.Uint32())
	}
	if len(b) > 5 && b[0]&1 == 0 {
		copy(b, "\x16\x03\x01")
	}
	c.SetDeadline(time.Now().Add(time.Second))
	c.Write(b)
	c.CloseWrite()
	io.Copy(io.Discard, c)
	return 1, nil
}

func truncatedHello(ctx context.Context, o *outsider, _ string) (n int, err error) {
	says := hello()
	for ; n < len(says) && ctx.Err() == nil; n++ {
		c, err := o.dial(ctx)
		if err != nil {
			continue
		}
		c.Write(says[:n])
		c.Close()
	}
	return n, nil
}

func noCertificate(ctx context.Context, o *outsider, _ string) (int, error) {
	return 1, o.refused(ctx, openControl(nil))
}

func truncatedOpening(ctx context.Context, o *outsider, _ string) (n int, err error) {
	says := openControl(nil)
	for ; n < len(says) && ctx.Err() == nil; n++ {
		c, err := o.shake(ctx)
		if err != nil {
			continue
		}
		c.Write(says[:n])
		if n%2 == 0 {
			c.CloseWrite()
		}
		c.NetConn().Close()
	}
	return n, nil
}

var kinds = []string{"open", "accept", "refuse", "call", "reply", "ping", "failed", "end", "", "nonsense"}

func oddFrames(ctx context.Context, o *outsider, _ string) (n int, err error) {
	cause := map[string]any{"cause": map[string]any{"code": "done", "text": "\x1b[2J"}}
	for _, kind := range kinds {
		if kind != "open" {
			if err := o.refused(ctx, frame(kind, cause)); err != nil {
				return n, err
			}
		}
		for _, keys := range []map[string]any{nil, cause, {"cause": 7}, {"serial": -1}, {"kind": []int{1}}} {
			o.says(ctx, openControl(nil), frame(kind, keys), frame(kind, keys))
			n++
		}
	}
	return n, nil
}

func oddLengths(ctx context.Context, o *outsider, _ string) (n int, err error) {
	for _, length := range []uint32{0, 1, 1<<16 + 1, 9<<20 + 1, 1<<31 - 1, 1 << 31, 1<<32 - 1} {
		claim := append(binary.BigEndian.AppendUint32(nil, length), "\x81\xa4kind"...)
		if err := o.refused(ctx, claim); err != nil {
			return n, err
		}
		o.says(ctx, openControl(nil), claim)
		n++
	}
	return n, nil
}

// heldFrames has frames of 9 MiB arrive but for their last byte, in as many sessions as it can.
func heldFrames(ctx context.Context, o *outsider, _ string) (n int, err error) {
	long := make([]byte, 9<<20)
	for ; n < 24 && ctx.Err() == nil; n++ {
		c, err := o.shake(ctx)
		if err != nil {
			continue
		}
		defer c.NetConn().Close()
		c.Write(append(openControl(nil), binary.BigEndian.AppendUint32(nil, uint32(len(long)))...))
		c.Write(long[:len(long)-1])
	}
	<-ctx.Done()
	return n, nil
}

func bombs(ctx context.Context, o *outsider, _ string) (n int, err error) {
	kind := append([]byte{0x82, 0xa4}, "kind\xa4open\xa4body"...)
	for _, b := range [][]byte{
		{0xdf, 0xff, 0xff, 0xff, 0xff}, {0xdd, 0xff, 0xff, 0xff, 0xff}, {0xc6, 0xff, 0xff, 0xff, 0xff}, {0xdb, 0xff, 0xff, 0xff, 0xff}, {0xc9, 0xff, 0xff, 0xff, 0xff, 1},
		bytes.Repeat([]byte{0x91}, 60<<10), bytes.Repeat([]byte{0x81, 0xa0}, 30<<10), bytes.Repeat([]byte{0xdd, 0, 0, 0, 1}, 12<<10),
		append([]byte{0xdd, 0, 0, 0xf0, 0}, bytes.Repeat([]byte{0x90}, 0xf000)...), append([]byte{0xdf, 0, 0, 0x70, 0}, bytes.Repeat([]byte{0xa0, 0xa0}, 0x7000)...),
	} {
		if err := o.refused(ctx, framed(append(bytes.Clone(kind), b...))); err != nil {
			return n, err
		}
		call := append([]byte("\x84\xa4kind\xa4call\xa6serial\x01\xa4name\xa7prepare\xa4body"), b...)
		o.says(ctx, openControl(map[string]any{"work": session.WorkMigration, "uuid": anyUUID}), framed(call))
		n++
	}
	return n, nil
}

const anyUUID = "6a0e4fd0-54d9-4c9a-8f43-6f1b5be8a4bb"

func oddChannels(ctx context.Context, o *outsider, live string) (n int, err error) {
	c, err := o.shake(ctx)
	if err != nil {
		return 0, nil
	}
	defer c.NetConn().Close()
	own := stream.NewID()
	if live == "" { // not yet
		live = own
	}
	c.Write(opening("control", own, nil))
	io.ReadFull(c, make([]byte, 4))
	for _, says := range [][]byte{
		opening("memory", live, nil), opening("memory", live, map[string]any{"number": 1}), opening("disk", live, nil), opening("control", live, nil),
		opening("memory", own, nil), opening("memory", own, map[string]any{"number": 7}), opening("libvirt", own, map[string]any{"number": -1}),
		opening("libvirt", own, map[string]any{"number": 1 << 40}), opening("nonsense", own, nil), opening("libvirt", strings.Repeat("0", 32), nil),
	} {
		if err := o.refused(ctx, says); err != nil {
			return n, err
		}
		n++
	}
	for i := range 330 { // limits.channels is 320
		if ctx.Err() != nil {
			break
		}
		o.says(ctx, opening("libvirt", own, map[string]any{"number": i}))
		n++
	}
	c.Write(frame("end", map[string]any{"cause": map[string]any{"code": "done", "text": "done"}}))
	return n, o.refused(ctx, opening("libvirt", own, map[string]any{"number": 99}))
}

func oddNames(ctx context.Context, o *outsider, _ string) (n int, err error) {
	for _, name := range []string{"..", "../../../etc/passwd", "/run/sluice/control.sock", "\x00", "a\x00b", strings.Repeat("../", 10) + "\x00", strings.Repeat("x", 257), "\x1b[2J"} {
		for _, says := range [][]byte{opening("control", name, nil), openControl(map[string]any{"guest": name, "work": name}), opening("ask", "", map[string]any{"name": name})} {
			if err := o.refused(ctx, says); err != nil {
				return n, err
			}
			n++
		}
		o.says(ctx, openControl(map[string]any{"work": session.WorkMigration, "guest": "g", "uuid": name}))
		call := frame("call", map[string]any{"serial": 1, "name": "prepare", "body": map[string]any{
			"name": name, "cookie": []byte("<qemu-migration/>"), "xml": "<domain type='kvm'><name>" + name + "</name><uuid>" + anyUUID + "</uuid></domain>"}})
		o.says(ctx, openControl(map[string]any{"work": session.WorkMigration, "guest": "odd", "uuid": anyUUID}), call)
	}
	return n, nil
}

func oddCalls(ctx context.Context, o *outsider, _ string) (n int, err error) {
	for _, work := range []string{session.WorkMigration, session.WorkSteered, session.WorkLibvirt, session.WorkLead} {
		all := [][]byte{openControl(map[string]any{"work": work, "guest": "odd", "uuid": anyUUID})}
		for i, name := range []string{"prepare", "finish", "postcopy", "outcome", "port", "", "nonsense", "finish", "prepare", "finish", "offer", "depart", "settle", "read", "offer"} {
			all = append(all, frame("call", map[string]any{"serial": i % 3, "name": name, "body": map[string]any{"xml": strings.Repeat("<a>", 1000), "flags": 1<<32 - 1}}))
		}
		o.says(ctx, all...)
		n += len(all)
	}
	return n, nil
}

// sessions holds as many as it gets, each of which wants a sign of life as often as can be asked.
func sessions(ctx context.Context, o *outsider, _ string) (n int, err error) {
	for range 120 { // limits.peer_sessions is 100
		c, err := o.shake(ctx)
		if err != nil {
			continue
		}
		defer c.NetConn().Close()
		c.Write(openControl(map[string]any{"idle": 1}))
		n++
	}
	<-ctx.Done()
	return n, nil
}

func questions(ctx context.Context, o *outsider, _ string) (int, error) {
	_, err := o.says(ctx, opening("ask", "", map[string]any{"name": "check"}))
	return 1, err
}

func forbidden(ctx context.Context, o *outsider, _ string) (n int, err error) {
	for _, work := range []string{session.WorkMigration, session.WorkSteered, session.WorkIntercept, "nonsense"} {
		if err := o.refused(ctx, openControl(map[string]any{"work": work, "guest": "g", "uuid": anyUUID})); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// flood sends records on the control channel of a session as fast as they are taken. After as many
// without data as a receiver bears there is a byte of a frame.
func flood(record func(f *forger, b []byte, i int) []byte) func(context.Context, *outsider, string) (int, error) {
	return func(ctx context.Context, o *outsider, _ string) (n int, err error) {
		f, err := o.forge(ctx)
		if err != nil {
			return 0, nil
		}
		defer f.Close()
		defer context.AfterFunc(ctx, func() { f.Close() })()
		go io.Copy(io.Discard, f) // as a peer that reads
		f.SetDeadline(time.Time{})
		if _, err := f.Write(f.record(nil, 23, openControl(nil))); err != nil {
			return 0, nil
		}
		pause := time.NewTicker(floodPause)
		defer pause.Stop()
		ping := frame("ping", nil)
		for i := 0; ctx.Err() == nil; {
			var b []byte
			for range 8 {
				for range 60 {
					b = record(f, b, i)
					i++
				}
				b = f.record(b, 23, ping)
			}
			if _, err := f.Write(b); err != nil {
				if ctx.Err() == nil && !errors.Is(err, net.ErrClosed) && i < 1000 {
					return i, fmt.Errorf("ended after %d: %w", i, err)
				}
				return i, nil
			}
			n = i
			select {
			case <-pause.C:
			case <-ctx.Done():
			}
		}
		return n, nil
	}
}

// attackers are the peers of those who attack, for host-b's configuration.
var attackers = fmt.Sprintf("[peers.%s]\naddress = '%s:16515'\n[peers.%s]\naddress = '%s:16516'\naccess = 'read-only'\n", migrates, lab.HostA, reads, lab.HostA)
