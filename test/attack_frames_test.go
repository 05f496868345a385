package test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/virt-sluice/sluice/proxy/session"
	"github.com/virt-sluice/sluice/stream"
)

// frame is one of PROTOCOL.md's.
func frame(kind string, keys map[string]any) []byte {
	m := map[string]any{"kind": kind}
	for k, v := range keys {
		m[k] = v
	}
	return framed(must(msgpack.Marshal(m)))
}

func framed(body []byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...)
}

// opening is that of a session, or of a data channel.
func opening(channel, id string, keys map[string]any) []byte {
	all := map[string]any{"versions": []int{1}, "host": "host-c", "channel": channel, "session": id, "work": session.WorkLibvirt}
	for k, v := range keys {
		all[k] = v
	}
	return frame("open", all)
}

func openControl(keys map[string]any) []byte { return opening("control", stream.NewID(), keys) }

// says makes a connection, says each of these, and reads the answer to the last. What comes is not
// an attack's concern, but that it is not taken: a first frame that answers with accept is reported.
func (o *outsider) says(ctx context.Context, all ...[]byte) (answer []byte, err error) {
	c, err := o.shake(ctx)
	if err != nil {
		return nil, nil // turned away, as one of many
	}
	defer c.NetConn().Close()
	for _, one := range all {
		if _, err := c.Write(one); err != nil {
			return nil, nil
		}
	}
	c.SetReadDeadline(time.Now().Add(2 * time.Second))
	answer, _ = io.ReadAll(io.LimitReader(c, 64<<10))
	return answer, nil
}

// refused wants that no opening among them was accepted.
func (o *outsider) refused(ctx context.Context, all ...[]byte) error {
	answer, err := o.says(ctx, all...)
	if err == nil && bytes.Contains(answer, []byte("\xa4kind\xa6accept")) {
		return fmt.Errorf("%.200q was accepted: %.200q", all, answer)
	}
	return err
}

// silent opens so many connections from as many addresses, says the same on each, and waits.
func silent(n int, says func() []byte) func(context.Context, *outsider, string) (int, error) {
	return func(ctx context.Context, o *outsider, _ string) (int, error) {
		all, err := o.dialMany(ctx, n)
		for _, c := range all {
			defer c.Close()
			if says != nil {
				c.Write(says())
			}
		}
		if err != nil && ctx.Err() == nil {
			return 0, err
		}
		<-ctx.Done()
		return len(all), nil
	}
}

// hello is a real client's first record.
func hello() []byte {
	near, far := net.Pipe()
	defer far.Close()
	go tls.Client(near, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"sluice/1"}}).Handshake()
	head := make([]byte, 5)
	io.ReadFull(far, head)
	rest := make([]byte, binary.BigEndian.Uint16(head[3:]))
	io.ReadFull(far, rest)
	return append(head, rest...)
}
