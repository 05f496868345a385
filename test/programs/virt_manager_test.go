package programs

import (
	"os"
	"path/filepath"

	"github.com/virt-sluice/sluice/internal/lab"
	"github.com/virt-sluice/sluice/proxy/session"
)

// virtManager are the cases of virt-manager's migration dialog.
var virtManager = []testCase{
	dialog("migration dialog as it is", session.BySluice, "direct", "qemu+tls://host-b/system"),
	alone(dialog("migration dialog, tunnelled", session.ByTunnel, "tunnelled", "qemu+tls://host-b/system")),
}

func dialog(settings, by, mode, destination string) testCase {
	return testCase{program: "virt-manager", pkg: "virt-manager", settings: settings, by: by, guest: lab.GuestSpec{Persistent: true}, move: func(s *stage) {
		script, err := filepath.Abs("virt_manager.py")
		s.check(err)
		const home = "/run/virt-manager"
		s.check(os.MkdirAll(s.Lab.A.Path(home), 0o700))
		// GTK's Broadway needs no X server: its windows are for a browser, of which there is none.
		env := []string{"HOME=" + home, "XDG_RUNTIME_DIR=" + home, "GDK_BACKEND=broadway", "BROADWAY_DISPLAY=:5", "GSETTINGS_BACKEND=memory", "NO_AT_BRIDGE=1"}
		s.runs(s.Lab.A, env, "dbus-run-session", "--", "sh", "-c",
			`broadwayd :5 & display=$!
			until grep -q "$HOME/broadway6.socket" /proc/net/unix; do kill -0 $display && sleep 0.1 || exit; done
			timeout 120 /usr/bin/python3 "$0" "$@"; status=$?; kill $display; wait; exit $status`,
			script, s.guest.Name, destination, mode)
	}}
}
