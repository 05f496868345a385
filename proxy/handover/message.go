package handover

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// What a process of sluice asks another one of the same host.
const (
	askTake  = "take"  // give me the listening sockets, and stop accepting once I say so
	askWatch = "watch" // who are you? tell me when you end, by the end of this connection
	askPass  = "pass"  // serve this connection, if you have the session that it is about
	askStop  = "stop"  // end what you have
)

// message is one packet between two processes. At most one descriptor goes with it.
type message struct {
	Ask string `json:"ask,omitempty"`

	// take: the answers are the sockets, one a packet, and then one with Last. The asker says
	// Serve once it is ready, and gets Stopped when nothing is accepted any more.
	Socket  string   `json:"socket,omitempty"`
	Last    bool     `json:"last,omitempty"`
	Serve   bool     `json:"serve,omitempty"`
	Names   []string `json:"names,omitempty"` // with Serve, and when it has given one up: of the sockets that it has
	Stopped bool     `json:"stopped,omitempty"`

	Mark string `json:"mark,omitempty"` // pass: the session's, as peer.SessionMark
	Open []byte `json:"open,omitempty"` // pass: the first frame, of a connection in clear
	Took bool   `json:"took,omitempty"` // pass: the answer
	Now  bool   `json:"now,omitempty"`  // stop: cut off what is under way

	Process *Process `json:"process,omitempty"` // who answers, with Last
	Refused string   `json:"refused,omitempty"` // why not, in words
}

// maxMessage bounds a packet.
const maxMessage = 80 << 10

// answerTimeout bounds an answer of another process that costs it nothing. One that gets no time to
// run, on a host under load, has taken more than 5 s.
const answerTimeout = 20 * time.Second

// write sends one packet. file is not closed.
func write(c *net.UnixConn, m *message, file *os.File) error {
	data, err := json.Marshal(m)
	if err != nil {
		return err
	}
	if file == nil {
		_, _, err = c.WriteMsgUnix(data, nil, nil)
		return err
	}
	raw, err := file.SyscallConn()
	if err != nil {
		return err
	}
	ctlErr := raw.Control(func(fd uintptr) {
		_, _, err = c.WriteMsgUnix(data, unix.UnixRights(int(fd)), nil)
	})
	return errors.Join(ctlErr, err)
}

// read receives one packet. The file, if there is one, is the caller's to close.
func read(c *net.UnixConn) (*message, *os.File, error) {
	data, oob := make([]byte, maxMessage), make([]byte, unix.CmsgSpace(4))
	n, oobn, flags, _, err := c.ReadMsgUnix(data, oob)
	if err != nil {
		return nil, nil, err
	}
	file, err := received(oob[:oobn])
	switch {
	case err != nil:
		return nil, nil, err
	case n == 0 && oobn == 0:
		return nil, nil, io.EOF
	case flags&(unix.MSG_TRUNC|unix.MSG_CTRUNC) != 0:
		err = errors.New("a message between two processes of sluice is too long")
	default:
		m := new(message)
		if err = json.Unmarshal(data[:n], m); err == nil {
			return m, file, nil
		}
		err = fmt.Errorf("a message between two processes of sluice: %w", err)
	}
	if file != nil {
		file.Close()
	}
	return nil, nil, err
}

// received is the descriptor in a packet's control messages, or nil.
func received(oob []byte) (file *os.File, err error) {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, os.NewSyscallError("recvmsg", err)
	}
	for _, m := range messages {
		fds, err := unix.ParseUnixRights(&m)
		if err != nil {
			continue
		}
		for _, fd := range fds {
			if file != nil {
				unix.Close(fd)
				continue
			}
			file = os.NewFile(uintptr(fd), "handed over")
		}
	}
	return file, nil
}

// isGone says whether an error means that the other process has ended.
func isGone(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, unix.ECONNREFUSED) || errors.Is(err, unix.ECONNRESET) || errors.Is(err, unix.EPIPE)
}
