package spec

import (
	"errors"
	"fmt"
	"strings"
)

// shellOnly are characters that a shell does something with where they stand unquoted. There is no
// shell, so that one of them is a mistake: passed on as it is it would be an odd argument.
const shellOnly = "|&;<>()$`*?[]#~{}!\n"

// splitWords divides a command as a shell would, and expands nothing: words are
// separated by blanks, '…' keeps what it holds, "…" keeps all but \", \\, \$
// and \`, and a backslash keeps the character after it.
func splitWords(command string) (words []string, err error) {
	var word strings.Builder
	begun := false
	rest := command
	for rest != "" {
		c := rest[0]
		rest = rest[1:]
		switch {
		case c == 0:
			return nil, errors.New("the command holds a NUL")
		case c == ' ' || c == '\t':
			if begun {
				words = append(words, word.String())
				word.Reset()
			}
			begun = false
			continue
		case c == '\'':
			quoted, after, closed := strings.Cut(rest, "'")
			if !closed {
				return nil, errors.New("a ' is not closed")
			}
			word.WriteString(quoted)
			rest = after
		case c == '"':
			if rest, err = doubleQuoted(&word, rest); err != nil {
				return nil, err
			}
		case c == '\\':
			if rest == "" {
				return nil, errors.New(`nothing follows the \ at the end`)
			}
			word.WriteByte(rest[0])
			rest = rest[1:]
		case strings.IndexByte(shellOnly, c) >= 0:
			return nil, fmt.Errorf("%q is special to a shell, but there is no shell: quote it, or write exec:sh -c '…'", c)
		default:
			word.WriteByte(c)
		}
		begun = true
	}
	if begun {
		words = append(words, word.String())
	}
	if len(words) == 0 || words[0] == "" {
		return nil, errors.New("a command is missing: write exec:COMMAND, such as exec:nbdkit -s memory 1G")
	}
	return words, nil
}

// doubleQuoted adds to word what stands before the closing quote, and returns
// what stands behind it.
func doubleQuoted(word *strings.Builder, rest string) (string, error) {
	for i := 0; i < len(rest); i++ {
		switch c := rest[i]; {
		case c == '"':
			return rest[i+1:], nil
		case c == '$' || c == '`':
			return "", fmt.Errorf(`%q in "…" is special to a shell, but there is no shell: write '…' in place of "…", or exec:sh -c '…'`, c)
		case c == '\\' && i+1 < len(rest) && strings.IndexByte("\"\\$`", rest[i+1]) >= 0:
			i++
			word.WriteByte(rest[i])
		default:
			word.WriteByte(c)
		}
	}
	return "", errors.New(`a " is not closed`)
}
