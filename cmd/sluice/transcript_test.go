package main

import (
	"os"
	"strings"
	"sync"
	"time"
)

// transcript is the output of a program while it runs.
type transcript struct {
	mu   sync.Mutex
	text strings.Builder
	more chan struct{} // closed when there is more; nil while no one waits
}

func (x *transcript) Write(b []byte) (int, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.more != nil {
		close(x.more)
		x.more = nil
	}
	return x.text.Write(b)
}

func (x *transcript) output() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.text.String()
}

// line waits until a line has these words, and returns it.
func (x *transcript) line(words string, patience time.Duration) (line string, ok bool) {
	late := time.After(patience)
	for {
		x.mu.Lock()
		text := x.text.String()
		if x.more == nil {
			x.more = make(chan struct{})
		}
		more := x.more
		x.mu.Unlock()
		if at := strings.Index(text, words); at >= 0 {
			line, _, _ = strings.Cut(text[strings.LastIndexByte(text[:at], '\n')+1:], "\n")
			return line, true
		}
		select {
		case <-more:
		case <-late:
			return "", false
		}
	}
}

// appears waits for a file, of which nothing tells but looking.
func appears(path string) bool {
	late := time.After(10 * time.Second)
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for {
		if _, err := os.Stat(path); err == nil {
			return true
		}
		select {
		case <-look.C:
		case <-late:
			return false
		}
	}
}
