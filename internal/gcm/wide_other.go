//go:build !amd64

package gcm

import "crypto/cipher"

// Wide reports whether New's ciphers are this package's own.
func Wide() bool { return false }

func newWide([]byte) cipher.AEAD { panic("gcm: internal error: not for this processor") }
