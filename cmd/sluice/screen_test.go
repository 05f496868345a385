package main

import (
	"fmt"
	"strings"
)

// screen is what a terminal shows after some output: as much of ECMA-48 as the progress bar speaks.
type screen struct {
	columns  int
	rows     [][]byte
	row, col int
	wrapped  int // lines that were longer than the screen is wide
}

func show(columns int, output string) (*screen, error) {
	s := &screen{columns: columns, rows: [][]byte{nil}}
	for i := 0; i < len(output); i++ {
		switch c := output[i]; c {
		case '\r':
			s.col = 0
		case '\n':
			s.down()
		case '\x1b':
			n, used := 0, 0
			var final byte
			if _, err := fmt.Sscanf(output[i:], "\x1b[%d%c", &n, &final); err != nil {
				if _, err := fmt.Sscanf(output[i:], "\x1b[%c", &final); err != nil {
					return nil, fmt.Errorf("unknown sequence %.10q", output[i:])
				}
			}
			used = strings.IndexByte(output[i:], final)
			switch final {
			case 'A':
				s.row, s.col = max(0, s.row-n), 0
			case 'J':
				s.rows = s.rows[:s.row+1]
				s.rows[s.row] = s.rows[s.row][:min(s.col, len(s.rows[s.row]))]
			default:
				return nil, fmt.Errorf("unknown sequence %.10q", output[i:])
			}
			i += used
		default:
			s.put(c)
		}
	}
	return s, nil
}

func (s *screen) down() {
	if s.row++; s.row == len(s.rows) {
		s.rows = append(s.rows, nil)
	}
}

func (s *screen) put(c byte) {
	if s.col == s.columns {
		s.wrapped++
		s.col = 0
		s.down()
	}
	for len(s.rows[s.row]) <= s.col {
		s.rows[s.row] = append(s.rows[s.row], ' ')
	}
	s.rows[s.row][s.col] = c
	s.col++
}

func (s *screen) String() string {
	var b strings.Builder
	for _, r := range s.rows {
		b.WriteString(strings.TrimRight(string(r), " ") + "\n")
	}
	return strings.TrimRight(b.String(), "\n")
}
