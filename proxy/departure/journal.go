package departure

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/digitalocean/go-libvirt"

	"github.com/virt-sluice/sluice/proxy/virt"
)

// record is what the next daemon must know of a guest. It is written before the fence is set, or
// Finish goes on, and removed when all is done.
type record struct {
	Guest         string    `json:"guest"`
	Owner         string    `json:"owner,omitempty"` // the process that sees to it, as long as it lives
	UUID          string    `json:"uuid"`
	PID           int       `json:"pid,omitempty"` // of QEMU, where there is a fence
	Started       uint64    `json:"started,omitempty"`
	Session       string    `json:"session"`
	Peer          string    `json:"peer"`
	WithoutSluice bool      `json:"without_sluice,omitempty"`
	Undefine      bool      `json:"undefine,omitempty"`
	Since         time.Time `json:"since"`
	Verdict       Verdict   `json:"verdict,omitempty"`
}

// Journal keeps files of a daemon for the next one. rundir.Dir is one.
type Journal interface {
	Keep(name string, content []byte) error
	Forget(name string) error
	Kept() (map[string][]byte, error)
}

// recordName is that of a guest's file.
func recordName(uuid string) string { return uuid + ".json" }

func (r *record) keep(j Journal) error {
	content, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return j.Keep(recordName(r.UUID), append(content, '\n'))
}

func (r *record) forget(j Journal) error { return j.Forget(recordName(r.UUID)) }

// readRecord reads what an earlier daemon has kept under name.
func readRecord(name string, content []byte) (*record, libvirt.UUID, error) {
	r := new(record)
	if err := json.Unmarshal(content, r); err != nil {
		return nil, libvirt.UUID{}, fmt.Errorf("read what an earlier sluice has left of a guest in %s: %w", name, err)
	}
	uuid, err := virt.ParseUUID(r.UUID)
	if err == nil && name != recordName(r.UUID) {
		err = fmt.Errorf("it is of guest %s", r.UUID)
	}
	if err == nil && (r.Verdict != Unknown && r.Verdict != Runs && r.Verdict != Absent) {
		err = fmt.Errorf("verdict %q", r.Verdict)
	}
	if err != nil {
		return nil, uuid, fmt.Errorf("read what an earlier sluice has left of a guest in %s: %w", name, err)
	}
	return r, uuid, nil
}
