package libvirtrpc

import (
	"bytes"
	"testing"
)

const (
	download = Procedure(209)
	upload   = Procedure(208)
)

// openStream begins a stream, and returns the serial that it has at the daemon.
func openStream(t *testing.T, r *rig, procedure Procedure, serial uint32) uint32 {
	t.Helper()
	r.client.Write(call(procedure, serial, ""))
	h, _ := readPacket(t, r.server)
	r.server.Write(packet(h.reply(StatusOK), nil))
	readPacket(t, r.client)
	return h.Serial
}

func streamPacket(procedure Procedure, serial, status uint32, body []byte) []byte {
	return packet(Head{ProgramRemote, 1, procedure, TypeStream, serial, status}, body)
}

// Streams go both ways by their call's serials, whole, until the daemon ends them.
func TestStreams(t *testing.T) {
	for name, end := range map[string]uint32{"in order": StatusOK, "by an error": StatusError} {
		r := newRig(t, testRules{})
		up := openStream(t, r, upload, 1000)
		down := openStream(t, r, download, 1001)
		data := bytes.Repeat([]byte("data"), bufferSize)
		go r.client.Write(streamPacket(upload, 1000, StatusContinue, data))
		if h, body := readPacket(t, r.server); h.Serial != up || h.Type != TypeStream || h.Status != StatusContinue || !bytes.Equal(body, data) {
			t.Errorf("%s: %+v, %d bytes", name, h, len(body))
		}
		hole := packet(Head{ProgramRemote, 1, upload, TypeStreamHole, 1000, StatusContinue}, make([]byte, 12))
		r.client.Write(hole)
		if h, body := readPacket(t, r.server); h.Serial != up || h.Type != TypeStreamHole || len(body) != 12 {
			t.Errorf("%s: %+v", name, h)
		}
		go r.server.Write(streamPacket(download, down, StatusContinue, data))
		if h, body := readPacket(t, r.client); h.Serial != 1001 || h.Procedure != download || !bytes.Equal(body, data) {
			t.Errorf("%s: %+v, %d bytes", name, h, len(body))
		}
		// The serial is the stream's until its end.
		r.client.Write(call(5, 1001, ""))
		if h, _ := readPacket(t, r.client); h.Serial != 1001 || h.Type != TypeReply || h.Status != StatusError {
			t.Errorf("%s: a call with an open stream's serial: %+v", name, h)
		}
		r.client.Write(streamPacket(download, 1001, StatusOK, nil))
		if h, _ := readPacket(t, r.server); h.Serial != down || h.Status != StatusOK {
			t.Errorf("%s: %+v", name, h)
		}
		r.server.Write(streamPacket(download, down, end, nil))
		if h, _ := readPacket(t, r.client); h.Serial != 1001 || h.Status != end {
			t.Errorf("%s: %+v", name, h)
		}
		// What comes after that is dropped, both ways.
		r.client.Write(append(streamPacket(download, 1001, StatusContinue, data), call(5, 1001, "")...))
		h, _ := readPacket(t, r.server)
		if h.Procedure != 5 {
			t.Errorf("%s: %+v", name, h)
		}
		r.server.Write(append(streamPacket(download, down, StatusContinue, data), packet(h.reply(StatusOK), nil)...))
		if h, _ := readPacket(t, r.client); h.Procedure != 5 || h.Serial != 1001 {
			t.Errorf("%s: %+v", name, h)
		}
	}
}

// A stream whose call has failed is none, and neither is one of another number.
func TestNoStream(t *testing.T) {
	r := newRig(t, testRules{})
	r.client.Write(call(upload, 1, ""))
	h, _ := readPacket(t, r.server)
	r.server.Write(packet(h.reply(StatusError), (&Error{ErrRPC, "no"}).encode()))
	readPacket(t, r.client)
	openStream(t, r, download, 2)
	var sent []byte
	for _, p := range [][]byte{
		streamPacket(upload, 1, StatusContinue, nil),
		streamPacket(upload, 2, StatusContinue, nil),
		streamPacket(5, 2, StatusContinue, nil),
		streamPacket(upload, 99, StatusContinue, nil),
		packet(Head{ProgramRemote, 1, 5, TypeReply, 2, StatusOK}, nil),
		packet(Head{ProgramRemote, 1, 5, TypeMessage, 0, StatusOK}, nil),
		call(5, 3, "last"),
	} {
		sent = append(sent, p...)
	}
	r.client.Write(sent)
	if h, body := readPacket(t, r.server); h.Type != TypeCall || string(body) != "last" {
		t.Errorf("the daemon gets %+v", h)
	}
}

func TestEventsPass(t *testing.T) {
	r := newRig(t, testRules{})
	for _, h := range []Head{
		{ProgramRemote, 1, 107, TypeMessage, 0, StatusOK},
		{ProgramRemote, 1, 107, TypeMessage, 1, StatusOK},
		{0x20008087, 1, 6, TypeMessage, 1, StatusOK},
	} {
		r.server.Write(packet(h, []byte("event")))
		if got, body := readPacket(t, r.client); got != h || string(body) != "event" {
			t.Errorf("%+v comes as %+v", h, got)
		}
	}
}

// What no daemon says ends the conversation: the client's libvirt would end it too.
func TestNotOfADaemon(t *testing.T) {
	for name, p := range map[string][]byte{
		"a reply to nothing":      packet(Head{ProgramRemote, 1, 5, TypeReply, 77, StatusOK}, nil),
		"a call":                  call(5, 1, ""),
		"a reply with fds":        packet(Head{ProgramRemote, 1, 5, TypeReplyWithFDs, 1, StatusOK}, nil),
		"a type that there isn't": packet(Head{ProgramRemote, 1, 5, 7, 1, StatusOK}, nil),
	} {
		r := newRig(t, testRules{})
		r.server.Write(p)
		if err := <-r.ended; err == nil {
			t.Errorf("%s passes", name)
		}
	}
}

// A connection may have so many calls and streams, and no more.
func TestManyStreams(t *testing.T) {
	r := newRig(t, testRules{})
	for serial := range uint32(maxInflight) {
		openStream(t, r, download, serial)
	}
	r.client.Write(call(5, maxInflight, ""))
	if h, body := readPacket(t, r.client); h.Status != StatusError {
		t.Errorf("%+v %q", h, body)
	}
}
