package libvirtrpc

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// constants are the numbers of remote_protocol.x as go-libvirt has generated
// them, by libvirt's names.
func constants(t *testing.T) map[string]Procedure {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/digitalocean/go-libvirt").Output()
	if err != nil {
		t.Fatalf("find go-libvirt: %v", err)
	}
	source, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(out)), "internal/constants/remote_protocol.gen.go"))
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]Procedure)
	for _, m := range regexp.MustCompile(`is libvirt's REMOTE_PROC_(\w+)\s+Proc\w+ = (\d+)`).FindAllStringSubmatch(string(source), -1) {
		n, err := strconv.ParseUint(m[2], 10, 32)
		if err != nil {
			t.Fatal(err)
		}
		all[m[1]] = Procedure(n)
	}
	if len(all) < 400 {
		t.Fatalf("only %d procedures found", len(all))
	}
	return all
}

func TestNumbers(t *testing.T) {
	all := constants(t)
	if len(names) < len(all) { // go-libvirt may be older
		t.Errorf("%d names, want %d", len(names), len(all))
	}
	// libvirt 12.8's last, as its libvirt_functions.stp has it.
	if got := Procedure(456).String(); got != "DOMAIN_ANNOUNCE_INTERFACE (procedure 456)" {
		t.Errorf("procedure 456 is %q", got)
	}
	for name, number := range all {
		if got, want := number.String(), fmt.Sprintf("%s (procedure %d)", name, number); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if got := Procedure(len(names) + 1).String(); got != fmt.Sprintf("procedure %d", len(names)+1) {
		t.Errorf("one beyond the names is %q", got)
	}
	for _, table := range []map[Procedure]string{Migrate, Refused} {
		for number, name := range table {
			if all[name] != number {
				t.Errorf("%s has number %d, and is %d here", name, all[name], number)
			}
		}
	}
	for name, number := range map[string]Procedure{
		"CONNECT_OPEN": ProcConnectOpen, "CONNECT_CLOSE": procConnectClose, "CONNECT_SUPPORTS_FEATURE": ProcConnectSupportsFeature,
		"DOMAIN_MIGRATE_PREPARE": ProcMigratePrepare, "DOMAIN_MIGRATE_PREPARE2": ProcMigratePrepare2,
		"DOMAIN_MIGRATE_PREPARE_TUNNEL": ProcMigratePrepareTunnel, "DOMAIN_ABORT_JOB": ProcDomainAbortJob,
		"DOMAIN_ABORT_JOB_FLAGS": ProcDomainAbortJobFlags, "DOMAIN_MIGRATE_PREPARE3": ProcMigratePrepare3,
		"DOMAIN_MIGRATE_PREPARE_TUNNEL3": ProcMigratePrepareTunnel3, "DOMAIN_MIGRATE_FINISH3": ProcMigrateFinish3,
		"DOMAIN_MIGRATE_CONFIRM3_PARAMS": ProcMigrateConfirm3Params,
		"DOMAIN_MIGRATE_BEGIN3_PARAMS":   ProcMigrateBegin3Params, "DOMAIN_MIGRATE_PREPARE3_PARAMS": ProcMigratePrepare3Params,
		"DOMAIN_MIGRATE_PREPARE_TUNNEL3_PARAMS": ProcMigratePrepareTunnel3Params,
		"DOMAIN_MIGRATE_PERFORM3_PARAMS":        ProcMigratePerform3Params, "DOMAIN_MIGRATE_FINISH3_PARAMS": ProcMigrateFinish3Params,
	} {
		if all[name] != number {
			t.Errorf("%s has number %d, and is %d here", name, all[name], number)
		}
	}
}

// Whatever is not in the table is denied, whichever procedure libvirt has.
func TestAllowed(t *testing.T) {
	for name, number := range constants(t) {
		err := Allowed(Head{Program: ProgramRemote, Procedure: number})
		if listed := Migrate[number] != "" || Refused[number] != ""; listed != (err == nil) {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && (err.Code != ErrAccessDenied || !strings.HasPrefix(err.Message, "access denied: ")) {
			t.Errorf("%s: %+v", name, err)
		}
	}
	for _, h := range []Head{
		{Program: ProgramRemote, Procedure: 0},
		{Program: ProgramRemote, Procedure: 100000},
		{Program: 0x20008087, Procedure: 1},
		{Program: 0x00068000, Procedure: 1},
		{Program: 0x06900690, Procedure: 1},
		{Program: 0, Procedure: 1},
		{Program: ProgramRemote, Procedure: ProcConnectOpen, Type: TypeStream},
		{Program: ProgramRemote, Procedure: 209, Type: TypeStream},
	} {
		if Allowed(h) == nil {
			t.Errorf("%+v is allowed", h)
		}
	}
	for _, h := range []Head{
		{Program: ProgramKeepalive, Procedure: 1, Type: TypeMessage},
		{Program: ProgramRemote, Procedure: ProcMigratePrepareTunnel3Params, Type: TypeStream, Status: StatusContinue},
	} {
		if err := Allowed(h); err != nil {
			t.Error(err)
		}
	}
}
