package tlsconf

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// block is one block of a PEM file.
type block struct {
	n         int // from 1, of all in the file
	kind      string
	der       []byte
	encrypted bool // it has RFC 1421's headers, as OpenSSL's old encrypted keys do; der is nil then
}

// otherKinds are blocks that are passed over where one of another kind is wanted. What is not among
// them is refused: it could be a mistyped name, and nobody else would say that a block is not read.
var otherKinds = []string{
	"CERTIFICATE", "X509 CERTIFICATE", "X509 CRL", "CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST", "PUBLIC KEY", "RSA PUBLIC KEY",
	"PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY", "ENCRYPTED PRIVATE KEY", "EC PARAMETERS", "DH PARAMETERS",
}

// mark is where a block begins or ends, or was meant to: also one that has lost a dash.
var mark = regexp.MustCompile(`-+ *(BEGIN|END)\b|\b(BEGIN|END) (X509|CERTIFICATE|TRUSTED|PKCS)`)

// readPEM takes a file apart. Every block counts: one that is damaged or cut off is an error,
// wherever it is, where encoding/pem passes over it without a word. Other than that it reads what
// GnuTLS reads (lib/x509_b64.c): blocks that are indented, that stand behind a byte order mark or
// right behind another, and any ends of lines.
func readPEM(path string, data []byte, wanted ...string) (blocks []block, err error) {
	damaged := func(n int, what string, args ...any) error {
		return problem(path, "copy the file again, whole", "block %d in it is damaged or cut off: %s", n, fmt.Sprintf(what, args...))
	}
	for n := 1; ; n++ {
		at := mark.FindIndex(data)
		if at == nil {
			return blocks, nil
		}
		rest, ok := bytes.CutPrefix(data[at[0]:], []byte("-----BEGIN "))
		if !ok {
			// More dashes than five are those of a line before, or of a block's end.
			if i := bytes.Index(data[at[0]:at[1]], []byte("-----BEGIN")); i > 0 {
				rest, ok = bytes.CutPrefix(data[at[0]+i:], []byte("-----BEGIN "))
			}
		}
		if !ok {
			return nil, damaged(n, "%q is no beginning of one", line(data[at[0]:]))
		}
		kind, body, ok := bytes.Cut(rest, []byte("-----"))
		if !ok || len(kind) > 64 || bytes.ContainsAny(kind, "\r\n") {
			return nil, damaged(n, "it begins with %q", "-----BEGIN "+line(rest))
		}
		b := block{n: n, kind: string(kind)}
		end := []byte("-----END " + b.kind + "-----")
		i := bytes.Index(body, end)
		if next := mark.FindIndex(body); i < 0 || next[0] < i {
			return nil, damaged(n, "%q without its end, %q", "-----BEGIN "+b.kind+"-----", end)
		}
		data = body[i+len(end)-len("-----"):] // with which the next may begin, as GnuTLS reads it
		if !slices.Contains(otherKinds, b.kind) && !slices.Contains(wanted, b.kind) {
			return nil, wrongKind(path, n, b.kind, wanted)
		}
		if body = body[:i]; bytes.IndexByte(body, ':') >= 0 {
			b.encrypted = true
			blocks = append(blocks, b)
			continue
		}
		text := bytes.Map(func(r rune) rune {
			if r == '\n' || r == '\r' || r == ' ' || r == '\t' {
				return -1
			}
			return r
		}, body)
		if b.der, err = base64.StdEncoding.Strict().DecodeString(string(text)); err != nil {
			return nil, damaged(n, "the text of the %s is not base64: %v", b.kind, err)
		}
		if len(b.der) == 0 {
			return nil, damaged(n, "the %s is empty", b.kind)
		}
		blocks = append(blocks, b)
	}
}

// line is the first one, for a person.
func line(b []byte) string {
	if i := bytes.IndexAny(b, "\r\n"); i >= 0 {
		b = b[:i]
	}
	return string(b[:min(len(b), 64)])
}

// wrongKind says what to do with a block of a kind that is not read.
func wrongKind(path string, n int, kind string, wanted []string) *Finding {
	remedy := fmt.Sprintf("put only blocks %q there", wanted[0])
	switch kind {
	case "TRUSTED CERTIFICATE":
		remedy = "write it as a plain certificate: openssl x509 -in OLD -out NEW"
	case "PKCS7", "CMS":
		remedy = "take the certificates out: openssl pkcs7 -print_certs -in OLD -out NEW"
	case "OPENSSH PRIVATE KEY":
		remedy = "it is SSH's; write it in PKCS #8: ssh-keygen -p -m PKCS8 -f COPY-OF-KEY, and have a certificate issued for it"
	}
	return problem(path, remedy, "block %d in it is of the kind %q, which neither this nor libvirt reads", n, kind)
}

// notPEM says what a file is that has no block of the kind wanted.
func notPEM(path string, data []byte, what string, wanted ...string) *Finding {
	remedy := fmt.Sprintf("put the %s there in PEM form (-----BEGIN %s-----)", what, wanted[0])
	is := ""
	switch {
	case len(data) > 4 && data[0] == 0x30 && data[1] >= 0x80:
		convert := "openssl x509 -inform DER -in OLD -out NEW"
		switch {
		case wanted[0] == "X509 CRL":
			convert = "openssl crl -inform DER -in OLD -out NEW"
		case strings.HasSuffix(wanted[0], "PRIVATE KEY"):
			convert = "openssl pkey -inform DER -in OLD -out NEW"
		}
		is, remedy = "; it is in DER form", "write it in PEM form: "+convert+" (for PKCS #7 and #12, openssl pkcs7 and pkcs12)"
	case bytes.HasPrefix(data, []byte{0xff, 0xfe}), bytes.HasPrefix(data, []byte{0xfe, 0xff}):
		is, remedy = "; it is in UTF-16", "write it in ASCII or UTF-8"
	case bytes.HasPrefix(data, []byte("ssh-")), bytes.HasPrefix(data, []byte("ecdsa-sha2-")):
		is = "; it is an SSH key"
	}
	return problem(path, remedy, "holds no %s%s", what, is)
}
