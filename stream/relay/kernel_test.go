package relay

import (
	"crypto/sha512"
	"crypto/tls"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/virt-sluice/sluice/stream/ktls"
	"github.com/virt-sluice/sluice/stream/record"
)

// The hops of kernel TLS are there where the kernel has it: in the guests that
// test/guests boots, for one.
func init() {
	const aes128, aes256, chacha = tls.TLS_AES_128_GCM_SHA256, tls.TLS_AES_256_GCM_SHA384, tls.TLS_CHACHA20_POLY1305_SHA256
	if ktls.Test(aes128).Send != nil {
		return
	}
	hops = append(hops,
		hop{name: "ktls", local: unixPair, link: tlsLink(tls.VersionTLS13, KTLS), path: KTLS},
		hop{name: "ktls tcp", local: tcpPair, link: secretsLink(aes256, Kernel{}, Kernel{}), path: KTLS},
		hop{name: "ktls send", local: unixPair, link: secretsLink(aes128, Kernel{NotReceive: true}, Kernel{NotReceive: true}), path: KTLS},
		hop{name: "ktls receive", local: unixPair, link: secretsLink(aes128, Kernel{NotSend: true}, Kernel{NotSend: true}), path: KTLS},
		hop{name: "ktls to records", local: unixPair, link: secretsLink(aes256, Kernel{}, neither), path: KTLS, far: Records},
		hop{name: "ktls to crypto/tls", local: unixPair, link: otherEndLink(CryptoTLS), path: KTLS, far: CryptoTLS},
	)
	if ktls.Test(chacha).Send == nil {
		hops = append(hops, hop{name: "ktls ChaCha20", local: unixPair, link: secretsLink(chacha, Kernel{}, Kernel{}), path: KTLS})
	}
}

var neither = Kernel{NotSend: true, NotReceive: true}

// secretsLink is a link of any suite, without a handshake.
func secretsLink(suite uint16, a, b Kernel) link {
	return func(t testing.TB) (Conn, Conn) {
		rawA, rawB := tcpPair(t)
		n := 32
		if suite == tls.TLS_AES_256_GCM_SHA384 {
			n = sha512.Size384
		}
		end := func(o Kernel, role record.Role) *recordConn {
			raw, in, out := rawA, noise(n), noise(n + 1)[:n]
			if role == record.IsServer {
				raw, in, out = rawB, out, in
			}
			c, err := record.New(raw, suite, role, in, out)
			if err != nil {
				t.Fatal(err)
			}
			var p plan
			if o != neither {
				if p, err = (TLS{Path: KTLS, Kernel: o}).plan(raw, suite); err != nil {
					t.Fatal(err)
				}
			}
			return &recordConn{Conn: c, plan: p}
		}
		return end(a, record.IsClient), end(b, record.IsServer)
	}
}

// otherEndLink has the kernel at one end and another path at the other.
func otherEndLink(other Path) link {
	return func(t testing.TB) (ca, cb Conn) {
		a, b := tcpPair(t)
		cfg := mutualTLS(tls.VersionTLS13)
		var wg sync.WaitGroup
		var err error
		wg.Go(func() { cb, err = TLS{Path: other}.Server(t.Context(), b, cfg) })
		ca, cerr := TLS{Path: KTLS}.Client(t.Context(), a, cfg)
		wg.Wait()
		if err != nil || cerr != nil {
			t.Fatal(cerr, err)
		}
		return ca, cb
	}
}

// kernelStat is how many directions the kernel has taken over so far
// (Documentation/networking/tls.rst).
func kernelStat(t *testing.T) (n struct{ tx, rx int }) {
	t.Helper()
	b, err := os.ReadFile("/proc/net/tls_stat")
	if err != nil {
		t.Fatal(err)
	}
	f := strings.Fields(string(b))
	for i := 0; i+1 < len(f); i += 2 {
		switch f[i] {
		case "TlsTxSw":
			n.tx, err = strconv.Atoi(f[i+1])
		case "TlsRxSw":
			n.rx, err = strconv.Atoi(f[i+1])
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return n
}

// By itself a relay leaves to the kernel only what that has shown that it can do for
// any length of a stream.
func TestAutoGoesByTheSelfTest(t *testing.T) {
	s := ktls.Test(tls.TLS_AES_128_GCM_SHA256)
	h := hop{local: unixPair, link: tlsLink(tls.VersionTLS13, Auto), path: Records}
	if s.Send == nil && s.Rekey == nil {
		h.path = KTLS
	}
	c := h.start(t)
	for i := range 2 {
		writeAll(t, c.app[i], noise(100_000))
		expect(t, c.app[1-i], noise(100_000))
		closeWriteOf(t, c.app[i])
	}
	c.orderly(t, 100_000, 100_000)
	for _, o := range []TLS{{Kernel: neither}, {Path: Records}, {Path: CryptoTLS}} {
		a, b := tcpPair(t)
		if p, err := o.plan(a, tls.TLS_AES_128_GCM_SHA256); err != nil || p.socket != nil {
			t.Errorf("%+v goes to the kernel: %+v, %v", o, p, err)
		}
		a.Close()
		b.Close()
	}
}

// That a direction was the kernel's is the kernel's word, by its own counters.
func TestKernelTook(t *testing.T) {
	for _, h := range hops {
		if h.path != KTLS {
			continue
		}
		t.Run(h.name, func(t *testing.T) {
			before := kernelStat(t)
			c := h.start(t)
			for i := range 2 {
				writeAll(t, c.app[i], noise(100_000))
				expect(t, c.app[1-i], noise(100_000))
				closeWriteOf(t, c.app[i])
			}
			c.orderly(t, 100_000, 100_000)
			want := 2
			if h.far != "" {
				want = 1
			}
			tx, rx := want, want
			switch h.name {
			case "ktls send":
				rx = 0
			case "ktls receive":
				tx = 0
			}
			if now := kernelStat(t); now.tx-before.tx != tx || now.rx-before.rx != rx {
				t.Errorf("the kernel took %d sending and %d receiving directions, want %d and %d", now.tx-before.tx, now.rx-before.rx, tx, rx)
			}
		})
	}
}
