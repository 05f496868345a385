package record

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"testing"
)

// Several workers seal and open, in order, and see each wrong record.
func TestWorkers(t *testing.T) {
	eachSuite(t, func(t *testing.T, id uint16) {
		want := noise(3*BatchBytes + 77)
		f := flight(t, testSuite(id), func(c *Conn) {
			c.SetWorkers(4)
			c.Write(want)
			c.closeNotify()
		})
		for _, n := range []int{1, 2, 4, 100} {
			c := reader(t, suites[id], bytes.NewReader(f))
			c.SetWorkers(n)
			got, err := io.ReadAll(c)
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%d workers: %d bytes, %v, want %d", n, len(got), err, len(want))
			}
		}
		for _, at := range []int{0, 1, 20, 31, 32, 50, 95} {
			bad := bytes.Clone(f)
			bad[at*stride+1000] ^= 1
			c := reader(t, suites[id], bytes.NewReader(bad))
			c.SetWorkers(4)
			got, err := io.ReadAll(c)
			if !errors.Is(err, tls.AlertError(alertBadRecordMAC)) || !bytes.Equal(got, want[:at*plainMax]) {
				t.Errorf("record %d wrong: %d bytes, %v, want %d", at, len(got), err, at*plainMax)
			}
		}
	})
}

// A KeyUpdate may be padded to a full record, also by a sender that pads nothing
// else: what workers have opened ahead of it is opened again, with the new key.
func TestWorkersAndPaddedKeyUpdates(t *testing.T) {
	s := testSuite(tls.TLS_AES_128_GCM_SHA256)
	full := noise(plainMax)
	var want []byte
	f := flight(t, s, func(c *Conn) {
		for range 3 {
			for range Slots / 2 {
				c.transport.Write(raw(c, typeData, full, 0))
				want = append(want, full...)
			}
			c.transport.Write(raw(c, typeHandshake, []byte{messageKeyUpdate, 0, 0, 1, 0}, plainMax-5))
			c.out.half.update()
		}
		c.closeNotify()
	})
	c := reader(t, s, bytes.NewReader(f))
	c.SetWorkers(4)
	got, err := io.ReadAll(c)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes, %v, want %d", len(got), err, len(want))
	}
}
