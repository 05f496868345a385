package stream

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/virt-sluice/sluice/internal/pki"
	"github.com/virt-sluice/sluice/stream/relay"
	"github.com/vmihailenco/msgpack/v5"
)

func TestAsk(t *testing.T) {
	t.Parallel()
	type question struct{ Guest string }
	answer := func(ctx context.Context, peer, name string, body []byte) (any, error) {
		var q question
		if err := msgpack.Unmarshal(body, &q); err != nil && len(body) > 1 {
			return nil, err
		}
		switch name {
		case "where":
			return peer + " asks where " + q.Guest + " is", nil
		case "nothing":
			return nil, nil
		case "too long":
			return make([]byte, MaxOpen), nil
		case "what can't be said":
			return make(chan int), nil
		case "slow":
			<-ctx.Done()
			return nil, errors.New("libvirt does not answer")
		}
		return nil, errors.New("nobody knows")
	}
	h := newHosts(t, func(h *hosts) { h.terms.Ask = answer })
	var out string
	if err := h.opener.Ask(t.Context(), "", "where", question{"web"}, &out); err != nil || out != "host-a asks where web is" {
		t.Errorf("%q, %v", out, err)
	}
	if err := h.opener.Ask(t.Context(), "", "where", question{"web"}, nil); err != nil {
		t.Error(err)
	}
	if err := h.opener.Ask(t.Context(), "", "nothing", nil, &out); err != nil || out != "" {
		t.Errorf("%q, %v", out, err)
	}
	var number int
	if err := h.opener.Ask(t.Context(), "", "where", question{"web"}, &number); err == nil || !strings.Contains(err.Error(), "decode host-b's answer to the question where") {
		t.Errorf("%v", err)
	}
	expect(t, h.opener.Ask(t.Context(), "", "why", nil, &out), CodeRefused, "host-b: nobody knows")
	expect(t, h.opener.Ask(t.Context(), "", "too long", nil, &out), CodeRefused, "host-b: ", "too long for a frame")
	expect(t, h.opener.Ask(t.Context(), "", "what can't be said", nil, &out), CodeRefused, "host-b: ", "Encode(unsupported chan int)")
	if err := h.opener.Ask(t.Context(), "", "where", question{strings.Repeat("x", MaxOpen)}, &out); !errors.Is(err, errTooLong) {
		t.Errorf("%v", err)
	}
	h = newHosts(t, func(h *hosts) { h.terms.Ask, h.terms.Limits.Handshake = answer, 500*time.Millisecond })
	expect(t, h.opener.Ask(t.Context(), "", "slow", nil, &out), CodeRefused, "host-b: libvirt does not answer")
}

// What a peer may do instead of accepting, and how the opener tells it.
func TestOpener_hostileAcceptor(t *testing.T) {
	t.Parallel()
	frames := func(fs ...*frame) []byte {
		var b bytes.Buffer
		for _, f := range fs {
			if err := writeFrame(&b, f, MaxOpen); err != nil {
				panic(err)
			}
		}
		return b.Bytes()
	}
	accept := &frame{Kind: kindAccept, Version: Version, Host: "host-b"}
	for _, test := range []struct {
		name   string
		answer []byte
		code   string
		words  []string
	}{
		{"closes at once", nil, CodeLink, []string{"host-a: host-b (127.0.0.1:", "closed the connection without saying why"}},
		{"closes in the length", []byte{0, 0}, CodeLink, []string{"closed the connection in the middle of a frame"}},
		{"closes in the frame", frames(accept)[:9], CodeLink, []string{"closed the connection in the middle of a frame"}},
		{"garbage", []byte("HTTP/1.1 400 Bad Request\r\n\r\n"), CodeProtocol, []string{"host-a: host-b (127.0.0.1:", "sent what is not of this protocol: a frame claims 1213486160 bytes"}},
		{"a longer frame than may be", binary.BigEndian.AppendUint32(nil, MaxOpen+1), CodeProtocol, []string{"65537"}},
		{"a ping", frames(&frame{Kind: kindPing}), CodeProtocol, []string{"answered with a frame of kind ping"}},
		{"an open", frames(openFrame(channelControl)), CodeProtocol, []string{"answered with a frame of kind open"}},
		{"version 0", frames(&frame{Kind: kindAccept}), CodeVersion, []string{"chose version 0 of the protocol, this host speaks 1"}},
		{"version 2", frames(&frame{Kind: kindAccept, Version: 2}), CodeVersion, []string{"chose version 2 of the protocol, this host speaks 1"}},
		{"refuses without a cause", frames(&frame{Kind: kindRefuse}), CodeProtocol, []string{"answered with a frame of kind refuse"}},
		{"refuses without words", frames(&frame{Kind: kindRefuse, Cause: &Cause{}}), CodeRefused, []string{"host-b: no reason given"}},
		{"refuses because all is done", frames(&frame{Kind: kindRefuse, Cause: &Cause{Code: CodeDone, Host: "host-b", Text: "done"}}), CodeRefused, []string{"host-b: done"}},
		{"refuses in colour", frames(&frame{Kind: kindRefuse, Cause: &Cause{Code: CodeRefused, Host: "host-b", Text: "\x1b[31mno\r\n"}}), CodeRefused, []string{"host-b: ?[31mno? "}},
		{"refuses at length", frames(&frame{Kind: kindRefuse, Cause: &Cause{Code: CodeRefused, Host: "host-b", Text: strings.Repeat("x", 60000)}}), CodeRefused, []string{strings.Repeat("x", maxCauseText) + "…"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			o := fakePeer(t, func(conn relay.Conn) {
				readFrame(conn, MaxOpen)
				conn.Write(test.answer)
				conn.CloseWrite()
				discard(conn)
			})
			s, err := o.Open(t.Context(), Info{ID: NewID()})
			if s != nil {
				t.Errorf("a session")
				s.Fail(&Cause{Code: CodeCancelled, Text: "x"})
			}
			expect(t, err, test.code, test.words...)
			var c *Cause
			if errors.As(err, &c) && len(c.Text) > maxCauseText+200 {
				t.Errorf("%d bytes of words", len(c.Text))
			}
		})
	}
	t.Run("silence", func(t *testing.T) {
		t.Parallel()
		o := fakePeer(t, func(conn relay.Conn) { discard(conn) })
		o.Limits.Handshake = 300 * time.Millisecond
		_, err := o.Open(t.Context(), Info{ID: NewID()})
		expect(t, err, CodeTimeout, "host-a: host-b (127.0.0.1:", "did not answer within 300ms (limits.handshake_timeout)")
	})
	t.Run("a frame drop by drop", func(t *testing.T) {
		t.Parallel()
		o := fakePeer(t, func(conn relay.Conn) {
			drip := time.NewTicker(20 * time.Millisecond)
			defer drip.Stop()
			for _, b := range frames(accept) {
				if _, err := conn.Write([]byte{b}); err != nil {
					return
				}
				<-drip.C
			}
			discard(conn)
		})
		o.Limits.Handshake = 300 * time.Millisecond
		_, err := o.Open(t.Context(), Info{ID: NewID()})
		expect(t, err, CodeTimeout, "did not answer within 300ms")
	})
	t.Run("the caller gives up", func(t *testing.T) {
		t.Parallel()
		heard := make(chan struct{})
		o := fakePeer(t, func(conn relay.Conn) {
			readFrame(conn, MaxOpen)
			close(heard)
			discard(conn)
		})
		ctx, cancel := context.WithCancel(t.Context())
		go func() { <-heard; cancel() }()
		_, err := o.Open(ctx, Info{ID: NewID()})
		if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "host-b (127.0.0.1:") {
			t.Errorf("%v", err)
		}
	})
	t.Run("does not know this host's CA", func(t *testing.T) {
		t.Parallel()
		ca, err := pki.NewCA(pki.Authority{})
		if err != nil {
			t.Fatal(err)
		}
		pair, err := ca.Issue(pki.Host{Names: []string{"host-a"}})
		if err != nil {
			t.Fatal(err)
		}
		o := fakePeer(t, func(relay.Conn) { t.Error("it was let in") })
		config := credentials()["host-a"].Clone()
		// Whatever CAs the peer names, this is the certificate.
		config.Certificates, config.GetClientCertificate = nil, func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			cert := pair.TLS()
			return &cert, nil
		}
		o.Dial = func(ctx context.Context, _ string, _ bool) (relay.Conn, error) {
			raw, err := net.Dial("tcp", o.Address)
			if err != nil {
				return nil, err
			}
			return relay.Client(ctx, raw, config)
		}
		_, err = o.Open(t.Context(), Info{ID: NewID()})
		expect(t, err, CodeRefused, "host-a: host-b (127.0.0.1:", "refused this host's TLS: tls: unknown certificate authority")
	})
	t.Run("too much to say", func(t *testing.T) {
		t.Parallel()
		o := fakePeer(t, func(conn relay.Conn) { discard(conn) })
		_, err := o.Open(t.Context(), Info{ID: NewID(), Guest: strings.Repeat("x", MaxOpen)})
		if !errors.Is(err, errTooLong) || errors.Is(err, ErrFrame) {
			t.Errorf("%v", err)
		}
	})
}
