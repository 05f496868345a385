package libvirtrpc

import "errors"

// The calls that sluice understands, as remote_protocol.x has them. Decode
// and Encode are each other's reverse.

// Open is remote_connect_open_args.
type Open struct {
	Name  *string
	Flags uint32
}

// DecodeOpen reads a CONNECT_OPEN.
func DecodeOpen(body []byte) (*Open, error) {
	r := reader{b: body}
	o := &Open{Name: r.optional(), Flags: r.uint()}
	return o, r.end("CONNECT_OPEN")
}

// Encode is the body of the call.
func (o *Open) Encode() []byte {
	var w writer
	w.optional(o.Name)
	w.uint(o.Flags)
	return w.b
}

// DecodeFeature reads the one number of a CONNECT_SUPPORTS_FEATURE.
func DecodeFeature(body []byte) (uint32, error) {
	r := reader{b: body}
	f := r.uint()
	return f, r.end("CONNECT_SUPPORTS_FEATURE")
}

// Features that are looked at: VIR_DRV_FEATURE_FD_PASSING and VIR_DRV_FEATURE_PROGRAM_KEEPALIVE.
const (
	FeatureFDPassing = 8
	FeatureKeepalive = 10
)

// Unsupported is the body of a reply that denies a feature.
func Unsupported() []byte { return make([]byte, 4) }

// Domain is remote_nonnull_domain.
type Domain struct {
	Name string
	UUID [16]byte
	ID   uint32
}

func (r *reader) domain() (d Domain) {
	d.Name = r.text()
	copy(d.UUID[:], r.take(16))
	d.ID = r.uint()
	return d
}

func (w *writer) domain(d Domain) {
	w.text(d.Name)
	w.fixed(d.UUID[:])
	w.uint(d.ID)
}

// DecodeAbortJob reads the guest of a DOMAIN_ABORT_JOB.
func DecodeAbortJob(body []byte) (Domain, error) {
	r := reader{b: body}
	d := r.domain()
	return d, r.end("DOMAIN_ABORT_JOB")
}

// DecodeAbortJobFlags reads the guest of a DOMAIN_ABORT_JOB_FLAGS.
func DecodeAbortJobFlags(body []byte) (Domain, error) {
	r := reader{b: body}
	d := r.domain()
	r.uint() // flags
	return d, r.end("DOMAIN_ABORT_JOB_FLAGS")
}

// Prepare is the arguments of both DOMAIN_MIGRATE_PREPARE3_PARAMS and
// DOMAIN_MIGRATE_PREPARE_TUNNEL3_PARAMS.
type Prepare struct {
	Params Params
	Cookie []byte // may hold secrets
	Flags  uint32
}

// ErrNoCookie refuses a Prepare without a cookie, and a Perform that goes on from one. libvirtd
// takes what the cookie says of the other QEMU's capabilities for given, and dies where there is
// none (mig->caps in qemuMigrationDstPrepareActive and qemuMigrationSrcRun; libvirt 9.0). Each of
// libvirt's clients passes one, which Begin has made.
var ErrNoCookie = errors.New("the call has no migration cookie: libvirtd would crash over it; pass on the one that Begin has returned")

// DecodePrepare reads either call.
func DecodePrepare(body []byte) (*Prepare, error) {
	r := reader{b: body}
	p := &Prepare{Params: r.params(), Cookie: r.opaque(maxCookie), Flags: r.uint()}
	return p, r.endCookie("DOMAIN_MIGRATE_PREPARE3_PARAMS", p.Cookie)
}

// Encode is the body of the call.
func (p *Prepare) Encode() []byte {
	var w writer
	w.step(p.Params, p.Cookie, p.Flags)
	return w.b
}

// step writes what Prepare, Perform, Finish and Confirm have in common.
func (w *writer) step(params Params, cookie []byte, flags uint32) {
	w.params(params)
	w.opaque(cookie)
	w.uint(flags)
}

// Prepared is what both DOMAIN_MIGRATE_PREPARE3_PARAMS and its older form
// without parameters return.
type Prepared struct {
	Cookie []byte
	URI    *string // uri_out
}

// DecodePrepared reads the reply.
func DecodePrepared(body []byte) (*Prepared, error) {
	r := reader{b: body}
	p := &Prepared{Cookie: r.opaque(maxCookie), URI: r.optional()}
	return p, r.end("libvirt's reply to DOMAIN_MIGRATE_PREPARE3_PARAMS")
}

// Encode is the body of the reply.
func (p *Prepared) Encode() []byte {
	var w writer
	w.opaque(p.Cookie)
	w.optional(p.URI)
	return w.b
}

// Finish is the arguments of DOMAIN_MIGRATE_FINISH3_PARAMS.
type Finish struct {
	Params    Params
	Cookie    []byte
	Flags     uint32
	Cancelled uint32 // not 0: give the guest up
}

// DecodeFinish reads the call.
func DecodeFinish(body []byte) (*Finish, error) {
	r := reader{b: body}
	f := &Finish{Params: r.params(), Cookie: r.opaque(maxCookie), Flags: r.uint(), Cancelled: r.uint()}
	return f, r.end("DOMAIN_MIGRATE_FINISH3_PARAMS")
}

// Encode is the body of the call.
func (f *Finish) Encode() []byte {
	var w writer
	w.step(f.Params, f.Cookie, f.Flags)
	w.uint(f.Cancelled)
	return w.b
}

// Finished is what DOMAIN_MIGRATE_FINISH3_PARAMS returns.
type Finished struct {
	Domain Domain
	Cookie []byte
}

// Encode is the body of the reply.
func (f *Finished) Encode() []byte {
	var w writer
	w.domain(f.Domain)
	w.opaque(f.Cookie)
	return w.b
}

// NoID is a domain's ID where there is none to tell.
const NoID = ^uint32(0)

// Begin is the arguments of DOMAIN_MIGRATE_BEGIN3_PARAMS.
type Begin struct {
	Domain Domain
	Params Params
	Flags  uint32
}

// DecodeBegin reads the call.
func DecodeBegin(body []byte) (*Begin, error) {
	r := reader{b: body}
	b := &Begin{Domain: r.domain(), Params: r.params(), Flags: r.uint()}
	return b, r.end("DOMAIN_MIGRATE_BEGIN3_PARAMS")
}

// Begun is what DOMAIN_MIGRATE_BEGIN3_PARAMS returns.
type Begun struct {
	Cookie      []byte
	Description string // of the guest
}

// DecodeBegun reads the reply.
func DecodeBegun(body []byte) (*Begun, error) {
	r := reader{b: body}
	b := &Begun{Cookie: r.opaque(maxCookie), Description: r.text()}
	return b, r.end("libvirt's reply to DOMAIN_MIGRATE_BEGIN3_PARAMS")
}

// Encode is the body of the reply.
func (b *Begun) Encode() []byte {
	var w writer
	w.opaque(b.Cookie)
	w.text(b.Description)
	return w.b
}

// DecodePerformed reads the cookie that DOMAIN_MIGRATE_PERFORM3_PARAMS returns.
func DecodePerformed(body []byte) (cookie []byte, err error) {
	r := reader{b: body}
	cookie = r.opaque(maxCookie)
	return cookie, r.end("libvirt's reply to DOMAIN_MIGRATE_PERFORM3_PARAMS")
}

// EncodePerformed is the body of that reply.
func EncodePerformed(cookie []byte) []byte {
	var w writer
	w.opaque(cookie)
	return w.b
}

// Confirm is the arguments of DOMAIN_MIGRATE_CONFIRM3_PARAMS.
type Confirm struct {
	Domain    Domain
	Params    Params
	Cookie    []byte
	Flags     uint32
	Cancelled uint32 // not 0: the guest stays
}

// Encode is the body of the call.
func (c *Confirm) Encode() []byte {
	var w writer
	w.domain(c.Domain)
	w.step(c.Params, c.Cookie, c.Flags)
	w.uint(c.Cancelled)
	return w.b
}

// DecodeConfirm reads the call.
func DecodeConfirm(body []byte) (*Confirm, error) {
	r := reader{b: body}
	c := &Confirm{Domain: r.domain(), Params: r.params(), Cookie: r.opaque(maxCookie), Flags: r.uint(), Cancelled: r.uint()}
	return c, r.end("DOMAIN_MIGRATE_CONFIRM3_PARAMS")
}

// Perform is the arguments of DOMAIN_MIGRATE_PERFORM3_PARAMS.
type Perform struct {
	Domain      Domain
	Destination *string // dconnuri: the libvirt that the source's speaks with itself
	Params      Params
	Cookie      []byte
	Flags       uint32
}

// Encode is the body of the call.
func (p *Perform) Encode() []byte {
	var w writer
	w.domain(p.Domain)
	w.optional(p.Destination)
	w.step(p.Params, p.Cookie, p.Flags)
	return w.b
}

// flagPeer2Peer is VIR_MIGRATE_PEER2PEER.
const flagPeer2Peer = 1 << 1

// DecodePerform reads the call.
func DecodePerform(body []byte) (*Perform, error) {
	r := reader{b: body}
	p := &Perform{Domain: r.domain(), Destination: r.optional(), Params: r.params(), Cookie: r.opaque(maxCookie), Flags: r.uint()}
	if p.Flags&flagPeer2Peer != 0 { // libvirtd makes all of the migration's calls, and takes no cookie
		return p, r.end("DOMAIN_MIGRATE_PERFORM3_PARAMS")
	}
	return p, r.endCookie("DOMAIN_MIGRATE_PERFORM3_PARAMS", p.Cookie)
}
