package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/virt-sluice/sluice/internal/lab"
)

// shell is a session of virsh, which keeps its connection.
type shell struct {
	cmd   *lab.Cmd
	in    io.WriteCloser
	out   *bufio.Reader
	count int
}

func open(ctx context.Context, h *lab.Host, uri string) (*shell, error) {
	s := &shell{cmd: h.Command(ctx, "virsh", "-q", "-c", uri)}
	var err error
	if s.in, err = s.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	s.out, s.cmd.Stderr = bufio.NewReaderSize(out, 1<<20), s.cmd.Stdout
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	if _, err := s.loop("hostname", 1); err != nil { // connects
		return nil, err
	}
	return s, nil
}

// loop has virsh run a command so many times, and says how long that took.
func (s *shell) loop(command string, times int) (time.Duration, error) {
	s.count++
	mark := fmt.Sprintf("end-%d", s.count)
	text := strings.Repeat(command+"\n", times) + "echo " + mark + "\n\n" // virsh ends what it echoes by its next prompt alone
	begun := time.Now()
	if _, err := io.WriteString(s.in, text); err != nil {
		return 0, err
	}
	failed := ""
	err := until(s.out, func(line string) bool {
		if strings.HasPrefix(line, "error:") {
			failed = line
		}
		return strings.HasPrefix(line, mark)
	})
	took := time.Since(begun)
	if err == nil && failed != "" {
		err = fmt.Errorf("virsh: %s", failed)
	}
	return took, err
}

func (s *shell) close() {
	s.in.Close()
	s.cmd.Wait()
}

// until reads lines up to the one that is.
func until(r *bufio.Reader, is func(line string) bool) error {
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return err
		}
		if is(strings.TrimSuffix(line, "\n")) {
			return nil
		}
	}
}
