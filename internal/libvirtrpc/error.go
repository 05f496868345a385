package libvirtrpc

import "fmt"

// A Code is libvirt's virErrorNumber.
type Code uint32

// Codes that sluice gives or looks at itself.
const (
	ErrOperationInvalid Code = 55 // VIR_ERR_OPERATION_INVALID
	ErrRPC              Code = 39 // VIR_ERR_RPC
	ErrUnsupported      Code = 84 // VIR_ERR_OPERATION_UNSUPPORTED
	ErrAccessDenied     Code = 88 // VIR_ERR_ACCESS_DENIED
	ErrFinishOK         Code = 75 // VIR_ERR_MIGRATE_FINISH_OK
)

// An Error is what libvirt's clients show as one of libvirt's.
type Error struct {
	Code    Code
	Message string
}

func (e *Error) Error() string { return e.Message }

// Errorf makes an Error.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{code, fmt.Sprintf(format, args...)}
}

// Of enums virErrorDomain and virErrorLevel.
const (
	fromRPC    = 7 // VIR_FROM_RPC
	levelError = 2
)

// maxMessage bounds an error's text, in bytes.
const maxMessage = 64 << 10

// encode is e as virNetMessageError: code, domain, the message, level, and
// nothing else of what it may hold.
func (e *Error) encode() []byte {
	message := e.Message
	if len(message) > maxMessage {
		message = message[:maxMessage]
	}
	var w writer
	w.uint(uint32(e.Code))
	w.uint(fromRPC)
	w.uint(1)
	w.text(message)
	w.uint(levelError)
	for range 4 { // dom, str1, str2, str3
		w.uint(0)
	}
	w.uint(0) // int1
	w.uint(0) // int2
	w.uint(0) // net
	return w.b
}

// DecodeError reads code and message of a reply whose status is an error.
func DecodeError(body []byte) (*Error, error) {
	r := reader{b: body}
	e := &Error{Code: Code(r.uint())}
	r.uint() // domain
	if r.uint() != 0 {
		e.Message = r.text()
	}
	if r.err != nil {
		return nil, fmt.Errorf("read libvirt's error: %w", r.err)
	}
	return e, nil
}
