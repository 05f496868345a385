//go:build !amd64

package gcm

import (
	"crypto/cipher"
	"runtime"
)

func choose() (func([]byte) cipher.AEAD, Choice) {
	return nil, Choice{standardName, "sluice has none of its own for " + runtime.GOARCH}
}
