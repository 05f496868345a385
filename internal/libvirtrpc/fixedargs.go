package libvirtrpc

// Version 3 of libvirt's migration protocol had fixed arguments before it had parameters (libvirt
// 1.1.0). Both forms do the same and return the same, so the older is turned into the newer.

// Names of parameters, VIR_MIGRATE_PARAM_* of libvirt-domain.h.
const (
	ParamURI        = "migrate_uri"
	ParamDestName   = "destination_name"
	ParamDestXML    = "destination_xml"
	ParamPersistXML = "persistent_xml"
	ParamBandwidth  = "bandwidth"
	ParamListen     = "listen_address"
	ParamDisksPort  = "disks_port"
	ParamDisksURI   = "disks_uri"
)

// DecodePrepare3 reads a DOMAIN_MIGRATE_PREPARE3 into the newer form.
func DecodePrepare3(body []byte) (*Prepare, error) {
	r := reader{b: body}
	p := &Prepare{Cookie: r.opaque(maxCookie)}
	uri, flags, name, bandwidth, xml := r.optional(), r.ulong(), r.optional(), r.ulong(), r.text()
	p.Flags = uint32(flags)
	p.Params = fixedParams(uri, name, bandwidth).With(ParamDestXML, xml)
	return p, r.endCookie("DOMAIN_MIGRATE_PREPARE3", p.Cookie)
}

// DecodeFinish3 reads a DOMAIN_MIGRATE_FINISH3 into the newer form.
func DecodeFinish3(body []byte) (*Finish, error) {
	r := reader{b: body}
	name := r.text()
	f := &Finish{Cookie: r.opaque(maxCookie)}
	r.optional() // dconnuri
	uri, flags := r.optional(), r.ulong()
	f.Flags, f.Cancelled = uint32(flags), r.uint()
	f.Params = fixedParams(uri, &name, 0)
	return f, r.end("DOMAIN_MIGRATE_FINISH3")
}

func fixedParams(uri, name *string, bandwidth uint64) (ps Params) {
	if uri != nil {
		ps = ps.With(ParamURI, *uri)
	}
	if name != nil {
		ps = ps.With(ParamDestName, *name)
	}
	if bandwidth != 0 {
		ps = ps.WithUlong(ParamBandwidth, bandwidth)
	}
	return ps
}
