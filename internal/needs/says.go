package needs

import "strings"

// ErrorSays reports whether err has these words, or is nil if there are none.
func ErrorSays(err error, words string) bool {
	if words == "" || err == nil {
		return words == "" && err == nil
	}
	return strings.Contains(err.Error(), words)
}
