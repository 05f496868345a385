package libvirtrpc

import (
	_ "embed"
	"fmt"
	"strconv"
	"strings"
)

// A Procedure is a number of remote_protocol.x's enum remote_procedure.
type Procedure uint32

// Procedures that are looked into.
const (
	ProcConnectOpen                 Procedure = 1
	procConnectClose                Procedure = 2
	ProcConnectSupportsFeature      Procedure = 60
	ProcMigratePrepare              Procedure = 61
	ProcMigratePrepare2             Procedure = 108
	ProcMigratePrepareTunnel        Procedure = 148
	ProcDomainAbortJob              Procedure = 164
	ProcMigratePrepare3             Procedure = 214
	ProcMigratePrepareTunnel3       Procedure = 215
	ProcMigrateFinish3              Procedure = 217
	ProcMigrateBegin3Params         Procedure = 302
	ProcMigratePrepare3Params       Procedure = 303
	ProcMigratePrepareTunnel3Params Procedure = 304
	ProcMigratePerform3Params       Procedure = 305
	ProcMigrateFinish3Params        Procedure = 306
	ProcMigrateConfirm3Params       Procedure = 307
	ProcDomainAbortJobFlags         Procedure = 442
)

// Migrate is what a caller with the permission to migrate guests to this host
// may call: the whole of it, since a procedure that is not here is denied.
// Numbers and names are those of remote_protocol.x, without REMOTE_PROC_.
//
// What is not here, and why, where that could be asked:
//   - Begin, Perform and Confirm, and all that steers a migration at its
//     source: they would let a caller take guests away from this host.
//   - A guest's XML, which shows how the guest is made; statistics; anything
//     of storage, networks, secrets and devices.
//   - CONNECT_SET_IDENTITY, by which a caller says who it is.
var Migrate = map[Procedure]string{
	// To open a connection. Which one is looked at: libvirtd would open any
	// URI, those that run commands included.
	1:   "CONNECT_OPEN",
	2:   "CONNECT_CLOSE",
	66:  "AUTH_LIST",
	67:  "AUTH_SASL_INIT",
	68:  "AUTH_SASL_START",
	69:  "AUTH_SASL_STEP",
	70:  "AUTH_POLKIT",
	360: "CONNECT_REGISTER_CLOSE_CALLBACK",
	361: "CONNECT_UNREGISTER_CLOSE_CALLBACK",

	// What this host is, and what guests it could run.
	3:   "CONNECT_GET_TYPE",
	4:   "CONNECT_GET_VERSION",
	5:   "CONNECT_GET_MAX_VCPUS",
	6:   "NODE_GET_INFO",
	7:   "CONNECT_GET_CAPABILITIES",
	59:  "CONNECT_GET_HOSTNAME",
	60:  "CONNECT_SUPPORTS_FEATURE",
	110: "CONNECT_GET_URI",
	149: "CONNECT_IS_SECURE",
	157: "CONNECT_GET_LIB_VERSION",
	158: "CONNECT_COMPARE_CPU",
	162: "CONNECT_BASELINE_CPU",
	312: "CONNECT_GET_CPU_MODEL_NAMES",
	342: "CONNECT_GET_DOMAIN_CAPABILITIES",
	393: "CONNECT_COMPARE_HYPERVISOR_CPU",
	394: "CONNECT_BASELINE_HYPERVISOR_CPU",

	// To find a guest, and the state it is in.
	16:  "DOMAIN_GET_INFO",
	21:  "CONNECT_LIST_DEFINED_DOMAINS",
	22:  "DOMAIN_LOOKUP_BY_ID",
	23:  "DOMAIN_LOOKUP_BY_NAME",
	24:  "DOMAIN_LOOKUP_BY_UUID",
	25:  "CONNECT_NUM_OF_DEFINED_DOMAINS",
	37:  "CONNECT_LIST_DOMAINS",
	51:  "CONNECT_NUM_OF_DOMAINS",
	150: "DOMAIN_IS_ACTIVE",
	151: "DOMAIN_IS_PERSISTENT",
	163: "DOMAIN_GET_JOB_INFO",
	212: "DOMAIN_GET_STATE",
	273: "CONNECT_LIST_ALL_DOMAINS",
	298: "DOMAIN_GET_JOB_STATS",

	// To be told what happens to guests.
	105: "CONNECT_DOMAIN_EVENT_REGISTER",
	106: "CONNECT_DOMAIN_EVENT_DEREGISTER",
	167: "CONNECT_DOMAIN_EVENT_REGISTER_ANY",
	168: "CONNECT_DOMAIN_EVENT_DEREGISTER_ANY",
	316: "CONNECT_DOMAIN_EVENT_CALLBACK_REGISTER_ANY",
	317: "CONNECT_DOMAIN_EVENT_CALLBACK_DEREGISTER_ANY",

	// A migration's destination. All are looked into: the guest must be one
	// that came over the same connection.
	164: "DOMAIN_ABORT_JOB",
	214: "DOMAIN_MIGRATE_PREPARE3",
	217: "DOMAIN_MIGRATE_FINISH3",
	303: "DOMAIN_MIGRATE_PREPARE3_PARAMS",
	304: "DOMAIN_MIGRATE_PREPARE_TUNNEL3_PARAMS",
	306: "DOMAIN_MIGRATE_FINISH3_PARAMS",
	442: "DOMAIN_ABORT_JOB_FLAGS",
}

// Refused are the steps of older forms of the protocol that are not carried, with names. They are
// older than libvirt 1.1.0 (2013), and say nothing that data could be steered by, or carry it in a
// stream that goes by their number, or begin at the source what nobody would look at.
var Refused = map[Procedure]string{
	61:  "DOMAIN_MIGRATE_PREPARE",
	62:  "DOMAIN_MIGRATE_PERFORM",
	108: "DOMAIN_MIGRATE_PREPARE2",
	148: "DOMAIN_MIGRATE_PREPARE_TUNNEL",
	213: "DOMAIN_MIGRATE_BEGIN3",
	215: "DOMAIN_MIGRATE_PREPARE_TUNNEL3",
	216: "DOMAIN_MIGRATE_PERFORM3",
}

// streams are all procedures of the remote program that begin a stream, whose
// packets have their number and serial.
var streams = map[Procedure]bool{
	148:                             true, // DOMAIN_MIGRATE_PREPARE_TUNNEL
	201:                             true, // DOMAIN_OPEN_CONSOLE
	208:                             true, // STORAGE_VOL_UPLOAD
	209:                             true, // STORAGE_VOL_DOWNLOAD
	211:                             true, // DOMAIN_SCREENSHOT
	215:                             true, // DOMAIN_MIGRATE_PREPARE_TUNNEL3
	296:                             true, // DOMAIN_OPEN_CHANNEL
	ProcMigratePrepareTunnel3Params: true,
}

// highPriority are the procedures of Migrate that libvirtd has workers of their own for, since they
// never wait for a guest (@priority in remote_protocol.x). Of what else has a high priority there,
// callers with full access need no more at once than of all the rest.
var highPriority = map[Procedure]bool{
	1: true, 2: true, 3: true, 4: true, 5: true, 6: true, 21: true, 22: true, 23: true,
	24: true, 25: true, 37: true, 51: true, 59: true, 60: true, 66: true, 67: true, 68: true,
	69: true, 70: true, 105: true, 106: true, 110: true, 149: true, 150: true, 151: true,
	157: true, 158: true, 167: true, 168: true, 212: true, 273: true, 316: true, 317: true,
	360: true, 361: true,
}

// procedures.txt has the names of all of libvirt 12.8's, in the order of their numbers.
//
//go:embed procedures.txt
var procedureNames string

var names = strings.Fields(procedureNames)

// String is libvirt's name and the number, or the number alone of a procedure of a newer libvirt.
func (p Procedure) String() string {
	if p >= 1 && int(p) <= len(names) {
		return fmt.Sprintf("%s (procedure %d)", names[p-1], uint32(p))
	}
	return fmt.Sprintf("procedure %d", uint32(p))
}

// ProgramName names a program, for messages.
func ProgramName(program uint32) string {
	switch program {
	case ProgramRemote:
		return "libvirt's remote program"
	case 0x20008087:
		return "libvirt's QEMU program (monitor and agent commands)"
	case 0x00068000:
		return "libvirt's LXC program"
	case 0x06900690:
		return "libvirt's admin program"
	case ProgramKeepalive:
		return "libvirt's keepalive program"
	}
	return "program 0x" + strconv.FormatUint(uint64(program), 16)
}

// Allowed says whether the permission to migrate covers a packet of a caller's.
func Allowed(h Head) *Error {
	const only = "access denied: %v is more than migrating guests to this host takes"
	switch {
	case h.Program == ProgramKeepalive:
		return nil
	case h.Program != ProgramRemote:
		return Errorf(ErrAccessDenied, only, ProgramName(h.Program))
	case Refused[h.Procedure] != "":
		return nil // by another, better worded error
	case Migrate[h.Procedure] == "":
		return Errorf(ErrAccessDenied, only, h.Procedure)
	case h.Type == TypeStream || h.Type == TypeStreamHole:
		if !streams[h.Procedure] {
			return Errorf(ErrAccessDenied, only, "a stream of "+h.Procedure.String())
		}
	}
	return nil
}
