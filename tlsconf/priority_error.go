package tlsconf

import "fmt"

// SyntaxError is a priority string that GnuTLS does not take either.
type SyntaxError struct {
	String  string // the string that was read, after @KEYWORD was looked up
	From    string // the file it comes from; "" if it is as it was given
	Token   string
	Column  int    // of Token in String, from 1, in bytes
	Nearest string // the known token that is most like it; "" if none is
	Reason  string
}

func (e *SyntaxError) Error() string {
	s := fmt.Sprintf("TLS priority %q", e.String)
	if e.From != "" {
		s += " (from " + e.From + ")"
	}
	if e.Column > 0 {
		s += fmt.Sprintf(", column %d", e.Column)
	}
	s += ": " + e.Reason
	if e.Nearest != "" {
		s += fmt.Sprintf("; did you mean %q?", e.Nearest)
	}
	return s
}

// UnsupportedError is a priority string that GnuTLS takes, and that would have to be
// widened to be used here.
type UnsupportedError struct {
	String string
	From   string
	Token  string // the token after which nothing usable is left; "" if it is the string as a whole
	Column int    // from 1, in bytes; 0 without a token
	Reason string
}

func (e *UnsupportedError) Error() string {
	s := fmt.Sprintf("TLS priority %q", e.String)
	if e.From != "" {
		s += " (from " + e.From + ")"
	}
	if e.Token != "" {
		s += fmt.Sprintf(", column %d, %q", e.Column, e.Token)
	}
	return s + ": " + e.Reason
}
