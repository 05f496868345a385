package libvirtrpc

import (
	"context"
	"time"
)

// Rules decide what becomes of a client's packets.
type Rules interface {
	// Judge looks at the head of a call, or of a stream's packet. hold asks for the packet whole,
	// which only a call can be; an error refuses it. A refused call is answered with the error; a
	// refused packet of a stream is dropped. Judge is called for one packet after the other.
	Judge(h Head) (hold bool, refusal *Error)
	// Understand decides on a call that was held. Several may run at once, each in a goroutine of
	// its own; other packets pass meanwhile. ctx ends with the conversation.
	Understand(ctx context.Context, c *Call) Outcome
	// Busy says whether the end of the connection would break something although
	// no call is in flight.
	Busy() bool
}

// Call is a client's call, whole.
type Call struct {
	Head
	Body []byte
}

// Outcome is what becomes of a call.
type Outcome struct {
	Err    *Error // not nil: answers the client in libvirtd's place
	Answer []byte // not nil: the body of an answer in libvirtd's place

	// Otherwise the call goes on: with another procedure and body where these are not zero, and to
	// be seen by Reply on its way back, if that is not nil.
	Procedure Procedure
	Body      []byte
	// Reply may change the body of libvirtd's reply. It must not block for
	// long: the packets behind wait for it.
	Reply func(r *Reply)
	// Replied, if not nil, is told that a reply without an error has been written to the client.
	Replied func()
	// Read, if not nil, is told once the client has read such a reply, which it shows by its answer to
	// a ping that comes behind. Of a client that answers no pings it is told so at once: false.
	Read func(bool)
	// Lost, if not nil, is asked for a reply when the daemon's can't come any
	// more. The client waits, and its pings are answered, until it returns, or
	// until ctx ends with the client's connection. Nil: none.
	Lost func(ctx context.Context) *Reply
	// Await, if not nil, says for how long the daemon is to be left to reply once the client is
	// gone, or the conversation is broken off. A call with Await or Lost is never answered with an
	// error only because its reply is lost: whoever asked would take that for libvirt's verdict.
	Await func() time.Duration
}

// Reply is libvirtd's reply to a call.
type Reply struct {
	Err  *Error // libvirtd's error; nil: done
	Body []byte // of a reply without an error
	// Grace is how long the client may then keep its connection, where the daemon's has ended.
	// Default: 2 s.
	Grace time.Duration
}
