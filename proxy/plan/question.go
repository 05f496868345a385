package plan

import (
	"bytes"
	"compress/flate"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/virt-sluice/sluice/internal/domainxml"
	"github.com/virt-sluice/sluice/proxy/arrival"
	"github.com/virt-sluice/sluice/proxy/control"
	"github.com/virt-sluice/sluice/stream"
)

// Question is what a source asks the destination of a migration that is planned. It belongs to no
// session.
const Question = "plan"

// Ask is the question's body: the guest as it would come.
type Ask struct {
	Name        string         `msgpack:"name"`        // at the destination
	Description []byte         `msgpack:"description"` // as Prepare would have it, deflated
	CPU         string         `msgpack:"cpu"`         // the <cpu> that the guest has got; empty: not known
	Flags       uint32         `msgpack:"flags"`       // VIR_MIGRATE_*
	Parallel    int            `msgpack:"parallel,omitempty"`
	Values      control.Values `msgpack:"values"`
	// CreateDisks says that missing disks would be made, and Sizes how large those are that are
	// copied, in bytes, by their targets.
	CreateDisks bool              `msgpack:"create_disks,omitempty"`
	Sizes       map[string]uint64 `msgpack:"sizes,omitempty"`
	// Make are the disks that would be made, as Prepare would have them, and Persistent the
	// description by which the guest would be defined, deflated, where that is another.
	Make       map[string]arrival.CreateDisk `msgpack:"make,omitempty"`
	Persistent []byte                        `msgpack:"persistent,omitempty"`
}

// Answer is what the destination has for such a guest.
type Answer struct {
	Findings []control.Finding   `msgpack:"findings"`
	Disks    map[string]Answered `msgpack:"disks"` // by their targets
	// Free is how many bytes of the kind of memory that the guest has are free; nil: not known.
	Free *uint64 `msgpack:"free,omitempty"`
	Room int     `msgpack:"room,omitempty"` // migrations of this peer's that there is a place for now
}

// Answered is what there is in place of a disk.
type Answered struct {
	There   bool   `msgpack:"there"`
	Format  string `msgpack:"format,omitempty"`
	Size    uint64 `msgpack:"size,omitempty"`
	Unknown string `msgpack:"unknown,omitempty"` // why that can't be told
}

// Bounds of an answer, so that it fits into its frame.
const (
	maxFindings = 64
	maxCheck    = 32       // bytes of what was looked at, to which all are aligned
	maxText     = 1500     // bytes of a finding's words, and of its remedy
	maxTexts    = 36 << 10 // of all together
	maxDisks    = 64
	maxUnknown  = 160
	maxFormat   = 16
	maxRoom     = 10_000
	cut         = "…" // behind what was longer
)

// deflated is a description as a question has it: those of guests with many devices would not fit
// into its frame otherwise.
func deflated(description string) []byte {
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestCompression)
	if err != nil {
		panic(err) // no such level
	}
	io.WriteString(w, description) // into memory: never an error
	w.Close()
	return b.Bytes()
}

// inflated reads no more than a description may have.
func inflated(packed []byte) (string, error) {
	text, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(packed)), domainxml.MaxSize+1))
	switch {
	case err != nil:
		return "", fmt.Errorf("read the guest's description: %w", err)
	case len(text) > domainxml.MaxSize:
		return "", fmt.Errorf("the guest's description has more than %d bytes", domainxml.MaxSize)
	}
	return string(text), nil
}

// check says what in an answer no sluice would say.
func (a *Answer) check(asked []string) error {
	switch {
	case len(a.Findings) == 0:
		return errors.New("it finds nothing, neither good nor bad")
	case len(a.Findings) > maxFindings:
		return fmt.Errorf("it finds %d things, more than an answer has", len(a.Findings))
	}
	for _, f := range a.Findings {
		switch {
		case !slices.Contains([]string{control.ResultOK, control.ResultWarning, control.ResultError, control.ResultUnknown}, f.Result):
			return fmt.Errorf("it finds %.40q of %.40q, which is no result", f.Result, f.Check)
		case f.Text == "" || f.Check == "":
			return errors.New("it has a finding without words")
		case len(f.Check) > maxCheck || len(f.Code) > maxCheck:
			return fmt.Errorf("what it looked at has no such name as %.40q", f.Check)
		case len(f.Text) > maxText+len(cut) || len(f.Remedy) > maxText+len(cut):
			return fmt.Errorf("what it says of %s has %d bytes, more than an answer has: %.40q", f.Check, len(f.Text)+len(f.Remedy), f.Text)
		}
		if err := readable(f.Check, f.Code, f.Text, f.Remedy); err != nil {
			return err
		}
	}
	for _, check := range once {
		has := make(map[string]bool)
		for _, f := range a.Findings {
			has[f.Result] = has[f.Result] || f.Check == check
		}
		if has[control.ResultOK] && (has[control.ResultError] || has[control.ResultUnknown]) {
			return fmt.Errorf("it contradicts itself about %s, which it finds well and not", check)
		}
	}
	switch {
	case a.Room < 0 || a.Room > maxRoom:
		return fmt.Errorf("it has room for %d migrations", a.Room)
	case a.Free != nil && *a.Free > maxSize:
		return fmt.Errorf("it has %d bytes of memory free, more than hosts have", *a.Free)
	}
	for target, d := range a.Disks {
		switch {
		case !slices.Contains(asked, target):
			return fmt.Errorf("it tells of a disk %.40q, which the guest does not have", target)
		case d.Size > maxSize:
			return fmt.Errorf("it has disk %s with %d bytes, more than disks have", target, d.Size)
		case len(d.Format) > maxFormat+len(cut) || len(d.Unknown) > maxUnknown+len(cut):
			return fmt.Errorf("what it says of disk %s is longer than an answer has it: %.40q", target, d.Format+d.Unknown)
		case !d.There && d.Size > 0, d.Unknown != "" && (d.There || d.Size > 0):
			return fmt.Errorf("it contradicts itself about disk %s (there: %t, %d bytes, not known: %.40q)", target, d.There, d.Size, d.Unknown)
		}
		if err := readable(d.Format, d.Unknown); err != nil {
			return err
		}
	}
	return nil
}

// once are what is found well or not, of a guest as a whole.
var once = []string{"accept", "sessions", "guest", "CPU", "memory"}

// readable says what of some texts can't be shown to a person.
func readable(texts ...string) error {
	for _, text := range texts {
		odd := func(r rune) bool { return !unicode.IsPrint(r) }
		if !utf8.ValidString(text) || strings.ContainsFunc(text, odd) {
			return fmt.Errorf("it has words that can't be shown: %.40q", text)
		}
	}
	return nil
}

// maxSize in bytes, 8 EiB - 1, is more than disks have.
const maxSize = 1<<63 - 1

// bounded are as many findings as an answer can have, with so many words.
func bounded(all []control.Finding, host string) (some []control.Finding) {
	left := maxTexts
	for _, f := range all {
		f.Text, f.Remedy = clipped(stream.Printable(f.Text), maxText), clipped(stream.Printable(f.Remedy), maxText)
		left -= len(f.Text) + len(f.Remedy)
		if len(some) == maxFindings-1 || left < 0 {
			return append(some, control.Finding{Check: "more", Result: control.ResultUnknown, Code: "more",
				Text: host + " found more than one answer can tell: mend what is told, and plan again"})
		}
		some = append(some, f)
	}
	return some
}

// clipped is a text of so many bytes at the most.
func clipped(text string, most int) string {
	if len(text) <= most {
		return text
	}
	for most > 0 && !utf8.RuneStart(text[most]) {
		most--
	}
	return text[:most] + cut
}
