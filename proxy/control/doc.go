// Package control is how programs, the sluice command line among them, use the sluice daemon on the
// same host: HTTP/1.1 over the daemon's control socket, JSON bodies. Programs in Go begin with New.
//
//	GET  /v1/status   one Status
//	GET  /v1/history  sessions that ended, one History; the filters of HistoryQuery
//	                  are guest, failed, since and limit
//	GET  /v1/guests   the guests of this host, one Guests
//	GET  /v1/sessions/NAME  one SessionRecord, by a session's ID or its guest
//	GET  /v1/sessions/NAME/events  how far it is, whoever has asked for it: a stream
//	                  of Event, of which the last holds the session as it ended
//	POST /v1/check    a CheckRequest; one Report
//	POST /v1/plan     a PlanRequest; one Plan, and no migration
//	POST /v1/resolve  a ResolveRequest; an empty object
//	POST /v1/cancel   a CancelRequest; one CancelReply
//	POST /v1/reload   an empty object, by root; one Reloaded
//	POST /v1/migrate  a MigrateRequest; the answer is a stream of Event, one
//	                  JSON object a line, of which the last holds the Result
//
// What was wrong with a request is an Error with a status code of 400 (wrong
// use), 403 (not allowed for this uid), 404 (no such session), 409 (the daemon is
// draining or full) or 500. An Error promises that nothing was started: the guest is where it was.
// Once something was started the status is 200 and the stream ends with a
// Result, whatever happens.
//
// # A migration lives as long as its request
//
// The client's half of the connection is what holds the migration. A client
// that ends it cancels the migration, in one of two ways:
//
//   - shutdown(SHUT_WR): the client wants no more of it but still reads. The
//     daemon aborts the job, sees to it that the guest goes on at the source,
//     and ends the stream with the Result as ever (Cancelled, or whatever the
//     truth is by then: a migration may have been past the point of return).
//   - close: the client is gone, by its own will or not. The daemon does the
//     same, and has no one to tell.
//
// The daemon need not tell one from the other: both end its read, at which net/http cancels the
// request's context while the answer can still be written. For that the server must have read the
// request's body to its end. There is no handle to a migration that outlives its caller.
//
// Whoever may use the socket can also cancel a migration by its guest (CancelRequest), whoever runs
// it: the one that runs it then has its Result as after a cancellation of its own.
//
// # The stream
//
// The daemon writes the answer's header at once, when it begins, a Progress when the phase changes,
// and one at least every two seconds (Heartbeat) even when nothing has changed, so that a client
// can tell a slow migration from a daemon that hangs. A line is at most 256 KiB (MaxLine). A client
// ignores members of an object that it does not know.
//
// The package holds the types, the client and the HTTP half of the server
// (Handler); what the requests do is package proxy's.
package control
