package record

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"testing"
	"testing/iotest"
)

// script sends two pieces of data with a KeyUpdate between, and the end.
func script(c *Conn) {
	c.Write([]byte("before "))
	c.out.mu.Lock()
	c.sendKeyUpdate(true)
	c.out.mu.Unlock()
	c.Write([]byte("after"))
	c.closeNotify()
}

// ends are where script's records end, with what has been read by then.
func ends(f []byte) (at []int, read []string) {
	for off := 0; off < len(f); {
		off += headerLen + int(f[off+3])<<8 + int(f[off+4])
		at = append(at, off)
	}
	return at, []string{"before ", "before ", "before after", "before after"}
}

func TestCutAtEveryByte(t *testing.T) {
	eachSuite(t, func(t *testing.T, id uint16) {
		f := flight(t, testSuite(id), script)
		at, read := ends(f)
		for n := range len(f) + 1 {
			want, wantErr := "", ErrTruncated
			for i, end := range at {
				if n >= end {
					want = read[i]
				}
			}
			if n == len(f) {
				wantErr = nil // io.ReadAll's word for io.EOF
			}
			got, err := io.ReadAll(reader(t, suites[id], bytes.NewReader(f[:n])))
			if string(got) != want || err != wantErr {
				t.Errorf("cut at %d: %q, %v, want %q, %v", n, got, err, want, wantErr)
			}
		}
	})
}

// Of a flight with any bit changed, nothing from the changed record on is
// delivered, and its end is never taken for an orderly one.
func TestEveryBitFlip(t *testing.T) {
	eachSuite(t, func(t *testing.T, id uint16) {
		f := flight(t, testSuite(id), script)
		at, read := ends(f)
		for bit := range len(f) * 8 {
			bad := bytes.Clone(f)
			bad[bit/8] ^= 1 << (bit % 8)
			want := ""
			for i, end := range at {
				if bit/8 >= end {
					want = read[i]
				}
			}
			got, err := io.ReadAll(reader(t, suites[id], bytes.NewReader(bad)))
			if string(got) != want || err == nil {
				t.Errorf("bit %d: %q, %v, want %q and an error", bit, got, err, want)
			}
		}
	})
}

// Records may arrive in any pieces.
func TestAnyPieces(t *testing.T) {
	eachSuite(t, func(t *testing.T, id uint16) {
		want := noise(5*plainMax + 3)
		f := flight(t, testSuite(id), func(c *Conn) {
			for b := want; len(b) > 0; {
				n := min(len(b), 1+len(b)/3)
				c.Write(b[:n])
				b = b[n:]
			}
			c.closeNotify()
		})
		for name, r := range map[string]io.Reader{
			"whole":         bytes.NewReader(f),
			"byte by byte":  iotest.OneByteReader(bytes.NewReader(f)),
			"halves":        iotest.HalfReader(bytes.NewReader(f)),
			"end with data": iotest.DataErrReader(bytes.NewReader(f)),
		} {
			got, err := io.ReadAll(reader(t, suites[id], r))
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s: %d bytes, %v, want %d", name, len(got), err, len(want))
			}
		}
	})
}

// An error of the transport is the error, and data before it is not lost.
func TestTransportError(t *testing.T) {
	broken := errors.New("broken")
	s := suites[tls.TLS_AES_128_GCM_SHA256]
	f := flight(t, s, func(c *Conn) { c.Write([]byte("data")) })
	c := reader(t, s, io.MultiReader(bytes.NewReader(f), iotest.ErrReader(broken)))
	got, err := io.ReadAll(c)
	if string(got) != "data" || !errors.Is(err, broken) {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, broken) {
		t.Errorf("the error is forgotten: %v", err)
	}
}

// raw seals one record of any kind: content type, content, padding.
func raw(c *Conn, typ byte, content []byte, padding int) []byte {
	h := c.out.half
	b := make([]byte, len(content)+padding+overhead)
	copy(b[headerLen:], content)
	b[0], b[1], b[2] = typeData, 3, 3
	n := len(b) - headerLen
	b[3], b[4] = byte(n>>8), byte(n)
	inner := b[headerLen : headerLen+len(content)+1+padding]
	inner[len(content)] = typ
	var nonce [nonceLen]byte
	h.makeNonce(&nonce, h.take(1))
	h.aead.Seal(inner[:0], nonce[:], inner, b[:headerLen])
	return b
}

type rec struct {
	typ     byte
	content string
	padding int
}

func TestRecordsOfOthers(t *testing.T) {
	ticket := "\x04\x00\x00\x05abcde"
	full := string(noise(plainMax))
	lots := func(n int, r rec) (rs []rec) {
		for range n {
			rs = append(rs, r)
		}
		return rs
	}
	for _, tt := range []struct {
		name string
		recs []rec
		want string
		err  error // nil: the end is close_notify
	}{
		{"padded", []rec{{typeData, "a", 1}, {typeData, "b", 1000}, {typeData, "c", plainMax - 1}}, "abc", nil},
		{"zeros before padding", []rec{{typeData, "a\x00\x00", 7}}, "a\x00\x00", nil},
		{"full", []rec{{typeData, full, 0}}, full, nil},
		{"empty", []rec{{typeData, "", 0}, {typeData, "", 100}, {typeData, "a", 0}}, "a", nil},
		{"too many empty", lots(uselessMax+1, rec{typeData, "", 0}), "", tls.AlertError(alertUnexpectedMessage)},
		{"as many empty as may be", append(lots(uselessMax, rec{typeData, "", 0}), rec{typeData, "a", 0}), "a", nil},
		{"too long with its padding", []rec{{typeData, full, 1}}, "", tls.AlertError(alertRecordOverflow)},
		{"nothing but padding", []rec{{0, "\x00\x00", 0}}, "", tls.AlertError(alertUnexpectedMessage)},
		{"ticket", []rec{{typeHandshake, ticket, 0}, {typeData, "a", 0}}, "a", nil},
		{"tickets joined", []rec{{typeHandshake, ticket + ticket, 0}, {typeData, "a", 0}}, "a", nil},
		{"ticket cut", []rec{{typeHandshake, ticket[:2], 0}, {typeHandshake, ticket[2:6], 0}, {typeHandshake, ticket[6:] + ticket, 0}, {typeData, "a", 0}}, "a", nil},
		{"data within a ticket", []rec{{typeHandshake, ticket[:6], 0}, {typeData, "a", 0}}, "", tls.AlertError(alertUnexpectedMessage)},
		{"alert within a ticket", []rec{{typeHandshake, ticket[:2], 0}, {typeAlert, "\x01\x00", 0}}, "", tls.AlertError(alertUnexpectedMessage)},
		{"huge ticket", []rec{{typeHandshake, "\x04\xff\xff\xff", 0}}, "", tls.AlertError(alertDecodeError)},
		{"empty handshake record", []rec{{typeHandshake, "", 0}}, "", tls.AlertError(alertUnexpectedMessage)},
		{"client hello", []rec{{typeHandshake, "\x01\x00\x00\x01a", 0}}, "", tls.AlertError(alertUnexpectedMessage)},
		{"certificate request", []rec{{typeHandshake, "\x0d\x00\x00\x01a", 0}}, "", tls.AlertError(alertUnexpectedMessage)},
		{"long key update", []rec{{typeHandshake, "\x18\x00\x00\x02\x00\x00", 0}}, "", tls.AlertError(alertDecodeError)},
		{"strange key update", []rec{{typeHandshake, "\x18\x00\x00\x01\x02", 0}}, "", tls.AlertError(alertIllegalParameter)},
		{"key update with more after it", []rec{{typeHandshake, "\x18\x00\x00\x01\x00\x18", 0}}, "", tls.AlertError(alertUnexpectedMessage)},
		{"user_canceled", []rec{{typeData, "a", 0}, {typeAlert, "\x01\x5a", 0}}, "a", nil},
		{"warning that isn't", []rec{{typeAlert, "\x01\x28", 0}}, "", tls.AlertError(40)},
		{"short alert", []rec{{typeAlert, "\x02", 0}}, "", tls.AlertError(alertDecodeError)},
		{"long alert", []rec{{typeAlert, "\x02\x00\x00", 0}}, "", tls.AlertError(alertDecodeError)},
		{"change_cipher_spec sealed", []rec{{typeChangeCipherSpec, "\x01", 0}}, "", tls.AlertError(alertUnexpectedMessage)},
		{"unknown type", []rec{{99, "a", 0}}, "", tls.AlertError(alertUnexpectedMessage)},
		{"data after the end", []rec{{typeData, "a", 0}, {typeAlert, "\x01\x00", 0}, {typeData, "b", 0}}, "a", nil},
		{"data before an error", []rec{{typeData, "a", 0}, {99, "", 0}}, "a", tls.AlertError(alertUnexpectedMessage)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := suites[tls.TLS_AES_128_GCM_SHA256]
			f := flight(t, s, func(c *Conn) {
				for _, r := range append(tt.recs, rec{typeAlert, "\x01\x00", 0}) {
					c.transport.Write(raw(c, r.typ, []byte(r.content), r.padding))
				}
			})
			got, err := io.ReadAll(reader(t, s, bytes.NewReader(f)))
			if string(got) != tt.want || !errors.Is(err, tt.err) {
				t.Errorf("%d bytes, %v, want %d, %v", len(got), err, len(tt.want), tt.err)
			}
		})
	}
}

// A record in clear, or one whose length can't be, is refused before anything is read for it.
func TestHeadersRefused(t *testing.T) {
	s := suites[tls.TLS_AES_128_GCM_SHA256]
	for header, want := range map[string]byte{
		"\x14\x03\x03\x00\x01":  alertUnexpectedMessage,
		"\x15\x03\x03\x00\x02":  alertUnexpectedMessage,
		"\x16\x03\x03\x00\x10":  alertUnexpectedMessage,
		"GET /":                 alertUnexpectedMessage,
		"\x17\x03\x03\x41\x01":  alertRecordOverflow,
		"\x17\x03\x03\xff\xff":  alertRecordOverflow,
		"\x17\x03\x03\x00\x00":  alertBadRecordMAC,
		"\x17\x03\x03\x00\x01a": alertBadRecordMAC,
	} {
		_, err := reader(t, s, io.MultiReader(bytes.NewReader([]byte(header)), iotest.ErrReader(errors.New("read on")))).Receive()
		if !errors.Is(err, tls.AlertError(want)) {
			t.Errorf("%q: %v, want %v", header, err, tls.AlertError(want))
		}
	}
}

// Only a server sends tickets.
func TestTicketFromClient(t *testing.T) {
	s := suites[tls.TLS_AES_128_GCM_SHA256]
	var b bytes.Buffer
	c := over(t, s, IsClient, wire{Writer: &b})
	b.Write(raw(c, typeHandshake, []byte("\x04\x00\x00\x00"), 0))
	_, err := over(t, s, IsServer, wire{Reader: &b, Writer: io.Discard}).Receive()
	if !errors.Is(err, tls.AlertError(alertUnexpectedMessage)) {
		t.Error(err)
	}
}

// The peer learns why we end: by an alert, after which nothing is sent.
func TestAlertIsSent(t *testing.T) {
	s := suites[tls.TLS_AES_128_GCM_SHA256]
	a, b := pair(t, s)
	go a.raw.Write(bytes.Repeat([]byte{typeData, 3, 3, 0, 17}, 10))
	if _, err := b.Receive(); !errors.Is(err, tls.AlertError(alertBadRecordMAC)) {
		t.Fatal(err)
	}
	if _, err := b.Write([]byte("more")); !errors.Is(err, tls.AlertError(alertBadRecordMAC)) {
		t.Errorf("writing after the error: %v", err)
	}
	_, err := a.Receive()
	if want := "remote error: tls: bad record MAC"; err == nil || err.Error() != want {
		t.Errorf("the peer sees %v, want %s", err, want)
	}
}

func FuzzReceive(f *testing.F) {
	s := suites[tls.TLS_AES_128_GCM_SHA256]
	f.Add(flight(f, s, script))
	f.Add(unhex(traceTicket))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := io.ReadAll(reader(t, s, bytes.NewReader(b)))
		if len(got) > len(b) {
			t.Errorf("%d bytes out of %d", len(got), len(b))
		}
		if err == nil && !bytes.HasPrefix(b, flight(t, s, script)) {
			t.Error("a stream nobody sent ended in order")
		}
	})
}

// FuzzControl has the keys: every two bytes of input choose a record's type and
// how much of the rest is its content.
func FuzzControl(f *testing.F) {
	f.Add([]byte("\x16\x05\x18\x00\x00\x01\x01\x17\x01a"))
	f.Add([]byte("\x16\x06\x04\x00\x00\x02ab\x16\x01\x04\x16\x05\x00\x00\x02ab\x15\x02\x01\x00"))
	s := suites[tls.TLS_CHACHA20_POLY1305_SHA256]
	f.Fuzz(func(t *testing.T, in []byte) {
		var want []byte
		wire := flight(t, s, func(c *Conn) {
			for b := in; len(b) >= 2; {
				typ, n := b[0], min(int(b[1]), len(b)-2)
				content := b[2 : 2+n]
				b = b[2+n:]
				if typ == 0 || typ == typeAlert && n == 2 && content[1] == alertCloseNotify {
					continue // padding of a record whose type is the content's last byte; the end
				}
				if typ == typeData {
					want = append(want, content...)
				}
				c.transport.Write(raw(c, typ, content, 0))
				if typ == typeHandshake && n >= 5 && bytes.HasSuffix(content, []byte{messageKeyUpdate, 0, 0, 1, content[n-1]}) {
					c.out.half.update()
				}
			}
		})
		got, err := io.ReadAll(reader(t, s, bytes.NewReader(wire)))
		if !bytes.HasPrefix(want, got) {
			t.Errorf("got %q of %q", got, want)
		}
		if err == nil {
			t.Error("ended in order without close_notify")
		}
	})
}
