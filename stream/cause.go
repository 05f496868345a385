package stream

import "strings"

// Codes of a Cause: what kind of end it was.
const (
	CodeDone      = "done"      // the work is done
	CodeCancelled = "cancelled" // the caller no longer wants it
	CodeLink      = "link"      // the connection between the hosts broke, or fell silent
	CodeLocal     = "local"     // a socket of libvirt's or QEMU's on one host
	CodeLibvirt   = "libvirt"   // libvirt's own error
	CodeRefused   = "refused"   // by rule, by limit or by state
	CodeTimeout   = "timeout"   // a deadline
	CodeLimit     = "limit"     // of bytes or of a session's length
	CodeProtocol  = "protocol"  // the peer broke the protocol
	CodeShutdown  = "shutdown"  // a daemon stops
)

// Cause says why a session ended, so that both hosts can tell it in the same
// words. It is an error.
type Cause struct {
	Code    string `msgpack:"code"`
	Host    string `msgpack:"host"`              // where it was seen
	Channel string `msgpack:"channel,omitempty"` // such as memory-0; empty: the whole session
	Text    string `msgpack:"text"`

	// symptom: the other host's connection broke, for a reason which that
	// host probably knows better.
	symptom bool
}

// Error is host, channel and text, in that order.
func (c *Cause) Error() string {
	var b strings.Builder
	if c.Host != "" {
		b.WriteString(c.Host)
		b.WriteString(": ")
	}
	if c.Channel != "" {
		b.WriteString("channel ")
		b.WriteString(c.Channel)
		b.WriteString(": ")
	}
	b.WriteString(c.Text)
	return b.String()
}

// Done says whether the session ended because its work was done.
func (c *Cause) Done() bool { return c.Code == CodeDone }

// maxCauseText bounds what a peer's words may add to our logs, in bytes.
const maxCauseText = 4096

// printable is c as a peer sent it, made fit for a terminal and a log.
func (c *Cause) printable() *Cause {
	clean := func(s string, most int) string {
		s = strings.Map(func(r rune) rune {
			if r == '\n' || r == '\t' {
				return ' '
			}
			if r < ' ' || r >= 0x7f && r < 0xa0 {
				return '?'
			}
			return r
		}, strings.ToValidUTF8(s, "?"))
		if len(s) > most {
			s = strings.ToValidUTF8(s[:most], "") + "…"
		}
		return s
	}
	return &Cause{
		Code:    clean(c.Code, 32),
		Host:    clean(c.Host, 256),
		Channel: clean(c.Channel, 64),
		Text:    clean(c.Text, maxCauseText),
	}
}
