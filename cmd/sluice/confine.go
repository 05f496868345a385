package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"github.com/rs/zerolog"
	"kernel.org/pub/linux/libs/security/libcap/cap"

	"github.com/virt-sluice/sluice/internal/config"
	"github.com/virt-sluice/sluice/internal/confine"
	"github.com/virt-sluice/sluice/internal/observer"
	"github.com/virt-sluice/sluice/proxy/control"
	"github.com/virt-sluice/sluice/proxy/rundir"
)

// confinedDaemon starts the observer, gives up what the daemon does not need, and makes the daemon,
// in this order: certificates are read with the rights with which they are read again later.
func confinedDaemon(cfg *config.Config, follow bool, log zerolog.Logger) (runner, *observer.Observer, error) {
	look, err := observer.Start()
	if err != nil {
		return nil, nil, err
	}
	made := false
	defer func() {
		if !made {
			look.Close()
		}
	}()
	state := &control.Confinement{UID: os.Geteuid(), Dumps: confine.Dumpable(), ObserverUnit: look.Unit}
	if err := rundir.Make(cfg.RunDir); err != nil { // rules are for what is there
		return nil, nil, err
	}
	if cfg.StateDir != "" {
		if err := os.MkdirAll(cfg.StateDir, 0o700); err != nil {
			log.Warn().Err(err).Msg("there is no folder for history (state_dir): what ends is forgotten at the next start")
		}
	}
	if cfg.Landlock != config.LandlockOff {
		state.Landlock, err = confine.Landlock(confine.FilesOf(cfg))
		if err != nil {
			state.Landlock, state.LandlockError = 0, err.Error()
		}
	}

	var keep []cap.Value
	for _, n := range confine.Needed(cfg) {
		keep = append(keep, n.Capability)
	}
	held, err := confine.Capabilities(keep, []cap.Value{cap.DAC_READ_SEARCH})
	if err != nil {
		log.Warn().Err(err).Msg("more capabilities are kept than are needed")
	}
	d, err := newDaemon(cfg, log, look, state, follow)
	if errors.Is(err, fs.ErrPermission) && slices.Contains(held, cap.DAC_READ_SEARCH) {
		keep = append(keep, cap.DAC_READ_SEARCH)
		if held, err = confine.Capabilities(keep, nil); err == nil {
			log.Warn().Msg("CAP_DAC_READ_SEARCH is kept: the certificates cannot be read without it")
			d, err = newDaemon(cfg, log, look, state, follow)
		}
	} else if err == nil {
		held, _ = confine.Capabilities(keep, nil)
	}
	var file *fs.PathError
	if errors.Is(err, fs.ErrPermission) && errors.As(err, &file) && state.Landlock > 0 {
		err = fmt.Errorf("%w: the file's mode forbids it, or Landlock does (`landlock` in docs/config.md)", err)
	}
	if err != nil {
		return nil, nil, err
	}
	state.Capabilities = []string{}
	for _, c := range held {
		state.Capabilities = append(state.Capabilities, c.String())
	}
	log.Info().Int("uid", state.UID).Strs("capabilities", state.Capabilities).Int("landlock", state.Landlock).Str("without_landlock", state.LandlockError).Msg("confined")
	made = true
	return d, look, nil
}
