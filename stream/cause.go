package stream

import (
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"
)

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
	CodeVersion   = "version"   // the peer speaks no version of the protocol in common
	CodeShutdown  = "shutdown"  // a daemon stops
)

// Codes lists them. A newer peer may send others.
func Codes() []string {
	return []string{CodeDone, CodeCancelled, CodeLink, CodeLocal, CodeLibvirt, CodeRefused, CodeTimeout, CodeLimit, CodeProtocol, CodeVersion, CodeShutdown}
}

// Cause says why a session ended, so that both hosts can tell it in the same words. It is an error.
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

// printable is c fit for a terminal and a log. What is printable stays as it
// is, so that both ends show the same.
func (c *Cause) printable() *Cause {
	return &Cause{
		Code:    printable(c.Code, 32),
		Host:    printable(c.Host, 256),
		Channel: printable(c.Channel, 64),
		Text:    printable(c.Text, maxCauseText),
		symptom: c.symptom,
	}
}

// from is c as peer sent it, never without words.
func (c *Cause) from(peer string) *Cause {
	own := *c
	if own.Host == "" {
		own.Host = peer
	}
	if own.Text == "" {
		own.Text = "no reason given"
	}
	return own.printable()
}

// failureFrom is from, for a frame that can't say that the work is done: only
// the opener's verdict can.
func (c *Cause) failureFrom(peer string) *Cause {
	own := c.from(peer)
	if own.Code == "" || own.Done() {
		own.Code = CodeRefused
	}
	return own
}

// Printable is a peer's text made fit for a terminal, a log and a line.
func Printable(s string) string { return printable(s, maxCauseText) }

// printable is s without what could steer a terminal or break a line, and not
// much longer than most bytes.
func printable(s string, most int) string {
	end := ""
	if len(s) > most {
		s, end = s[:most], "…"
		for i := len(s) - 1; i >= max(0, len(s)-utf8.UTFMax); i-- {
			if utf8.RuneStart(s[i]) {
				if !utf8.FullRuneInString(s[i:]) {
					s = s[:i]
				}
				break
			}
		}
	}
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case !unicode.IsPrint(r):
			return '?'
		}
		return r
	}, strings.ToValidUTF8(s, "?")) + end
}

// asCause is err as a Cause: itself if it is one.
func asCause(err error, code, host string) *Cause {
	var c *Cause
	if errors.As(err, &c) {
		return c
	}
	return &Cause{Code: code, Host: host, Text: err.Error()}
}
