package virt

import (
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/digitalocean/go-libvirt"
)

func ParseUUID(s string) (libvirt.UUID, error) {
	b, err := hex.DecodeString(strings.ReplaceAll(s, "-", ""))
	if err != nil || len(b) != len(libvirt.UUID{}) {
		return libvirt.UUID{}, fmt.Errorf("%.64q is no UUID", s)
	}
	return libvirt.UUID(b), nil
}

func FormatUUID(u libvirt.UUID) string {
	return fmt.Sprintf("%x-%x-%x-%x-%x", u[0:4], u[4:6], u[6:8], u[8:10], u[10:16])
}
