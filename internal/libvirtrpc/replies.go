package libvirtrpc

import "fmt"

// replies are those of the calls that sluice makes itself with other hosts' libvirt, by go-libvirt.
// For each there is what takes it off a reader.
var replies = map[Procedure]func(*reader){
	ProcConnectOpen:            func(*reader) {},
	procConnectClose:           func(*reader) {},
	4:                          func(r *reader) { r.ulong() },  // CONNECT_GET_VERSION
	24:                         func(r *reader) { r.domain() }, // DOMAIN_LOOKUP_BY_UUID
	ProcConnectSupportsFeature: func(r *reader) { r.uint() },
	66:                         (*reader).authentications,
	70:                         func(r *reader) { r.uint() },             // AUTH_POLKIT
	157:                        func(r *reader) { r.ulong() },            // CONNECT_GET_LIB_VERSION
	212:                        func(r *reader) { r.uint(); r.uint() },   // DOMAIN_GET_STATE
	298:                        func(r *reader) { r.uint(); r.params() }, // DOMAIN_GET_JOB_STATS
	ProcMigratePrepare3Params:  func(r *reader) { r.opaque(maxCookie); r.atMostOne() },
	ProcMigrateFinish3Params:   func(r *reader) { r.domain(); r.opaque(maxCookie) },
}

// CheckReply makes sure that every length in a reply to a call of sluice's own fits into it.
// go-libvirt makes room for whatever number of elements is claimed, and there is no bound beneath
// which that is harmless: 40 bytes can claim two thousand million parameters.
func CheckReply(asked Procedure, h Head, body []byte) error {
	r := reader{b: body}
	take, known := replies[asked]
	switch {
	case h.Procedure != asked:
		return fmt.Errorf("libvirt answers %s to a call of %s", h.Procedure, asked)
	case h.Status == StatusError:
		r.uint() // code
		r.uint() // domain
		r.uint() // go-libvirt takes no message for one, whatever this says
		r.text()
		r.uint() // level; what follows is not read
		r.b = nil
	case h.Status != StatusOK:
		return fmt.Errorf("libvirt answers %s with status %d", asked, h.Status)
	case !known:
		return fmt.Errorf("internal: replies to %s are not known", asked)
	default:
		take(&r)
	}
	return r.end("libvirt's reply to " + asked.String())
}

// maxAuthentications is REMOTE_AUTH_TYPE_LIST_MAX.
const maxAuthentications = 20

func (r *reader) authentications() {
	n := r.uint()
	if r.err == nil && n > maxAuthentications {
		r.err = fmt.Errorf("%d ways to authenticate where %d are the most", n, maxAuthentications)
	}
	if r.err == nil {
		r.take(4 * int(n))
	}
}

// atMostOne is optional for a reader that takes the marker for a number of texts.
func (r *reader) atMostOne() {
	switch n := r.uint(); {
	case r.err == nil && n > 1:
		r.err = fmt.Errorf("%d values where there is one at most", n)
	case n == 1:
		r.text()
	}
}
