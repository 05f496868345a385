package nbd

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// NBD's handshake up to TLS (the NBD project's doc/proto.md, "Newstyle
// negotiation"): the server greets, the client answers with its flags and, if it
// wants TLS, with NBD_OPT_STARTTLS. All numbers are big-endian.
const (
	magic       = 0x4e42444d41474943 // "NBDMAGIC"
	optionMagic = 0x49484156454f5054 // "IHAVEOPT"
	replyMagic  = 0x0003e889045565a9

	fixedNewstyle = 1 << 0
	noZeroes      = 1 << 1
	knownFlags    = fixedNewstyle | noZeroes

	optAbort    = 2
	optStartTLS = 5

	repAck        = 1
	repErr        = 1 << 31
	repErrTLSReqd = repErr + 5

	maxOption = 4096 // of the data of one before TLS, in bytes: an export's name
	maxTries  = 8    // options before TLS
)

// within runs an exchange over c that ctx bounds. c has no deadline afterwards.
func within(ctx context.Context, c net.Conn, exchange func() error) error {
	stop := context.AfterFunc(ctx, func() { c.SetDeadline(time.Unix(1, 0)) })
	err := exchange()
	if !stop() {
		return context.Cause(ctx)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("the connection was closed before TLS began")
	}
	return err
}

// GreetClient plays the server up to TLS, or up to the client's options where
// it is without TLS, and returns the client's flags.
func GreetClient(ctx context.Context, c net.Conn, tls bool) (flags uint32, err error) {
	err = within(ctx, c, func() error {
		greeting := binary.BigEndian.AppendUint64(nil, magic)
		greeting = binary.BigEndian.AppendUint64(greeting, optionMagic)
		greeting = binary.BigEndian.AppendUint16(greeting, knownFlags)
		if _, err := c.Write(greeting); err != nil {
			return err
		}
		if err := binary.Read(c, binary.BigEndian, &flags); err != nil {
			return err
		}
		if flags&^knownFlags != 0 || flags&fixedNewstyle == 0 {
			return fmt.Errorf("the client's flags %#x are not those of the fixed newstyle negotiation; is it an NBD client?", flags)
		}
		if !tls {
			return nil
		}
		return awaitStartTLS(c)
	})
	return flags, err
}

// awaitStartTLS refuses all options but that one.
func awaitStartTLS(c net.Conn) error {
	for range maxTries {
		var option struct {
			Magic        uint64
			Type, Length uint32
		}
		if err := binary.Read(c, binary.BigEndian, &option); err != nil {
			return err
		}
		if option.Magic != optionMagic || option.Length > maxOption {
			return errors.New("what the client sent is not an NBD option")
		}
		if _, err := io.CopyN(io.Discard, c, int64(option.Length)); err != nil {
			return err
		}
		reply := uint32(repErrTLSReqd)
		if option.Type == optStartTLS || option.Type == optAbort {
			reply = repAck
		}
		answer := binary.BigEndian.AppendUint64(nil, replyMagic)
		for _, n := range []uint32{option.Type, reply, 0} {
			answer = binary.BigEndian.AppendUint32(answer, n)
		}
		if _, err := c.Write(answer); err != nil {
			return err
		}
		switch option.Type {
		case optStartTLS:
			return nil
		case optAbort:
			return errors.New("the client gave up: it does not ask for TLS, and was told that TLS is required")
		}
	}
	return errors.New("the client does not ask for TLS, though it was told that TLS is required")
}

// GreetServer plays the client up to TLS, or up to its options where the server is without TLS.
func GreetServer(ctx context.Context, c net.Conn, flags uint32, tls bool) error {
	return within(ctx, c, func() error {
		var greeting struct {
			Magic, Option uint64
			Flags         uint16
		}
		if err := binary.Read(c, binary.BigEndian, &greeting); err != nil {
			return err
		}
		if greeting.Magic != magic || greeting.Option != optionMagic {
			return errors.New("the server does not greet as an NBD server does (newstyle)")
		}
		if missing := flags &^ uint32(greeting.Flags); missing != 0 {
			return fmt.Errorf("the server's flags %#x lack %#x, which the client was promised", greeting.Flags, missing)
		}
		answer := binary.BigEndian.AppendUint32(nil, flags)
		if tls {
			answer = binary.BigEndian.AppendUint64(answer, optionMagic)
			answer = binary.BigEndian.AppendUint32(answer, optStartTLS)
			answer = binary.BigEndian.AppendUint32(answer, 0)
		}
		if _, err := c.Write(answer); err != nil || !tls {
			return err
		}
		var reply struct {
			Magic                uint64
			Option, Type, Length uint32
		}
		if err := binary.Read(c, binary.BigEndian, &reply); err != nil {
			return err
		}
		switch {
		case reply.Magic != replyMagic || reply.Option != optStartTLS || reply.Length > maxOption:
			return errors.New("the server did not answer NBD_OPT_STARTTLS")
		case reply.Type == repAck && reply.Length == 0:
			return nil
		}
		words, _ := io.ReadAll(io.LimitReader(c, int64(reply.Length)))
		return fmt.Errorf("the server refuses TLS (NBD reply %#x) %q; is it set up with certificates (qemu-nbd --tls-creds)?", reply.Type, words)
	})
}
