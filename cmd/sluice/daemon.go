package main

import (
	"github.com/rs/zerolog"

	"github.com/virt-sluice/sluice/internal/config"
	"github.com/virt-sluice/sluice/internal/observer"
	"github.com/virt-sluice/sluice/proxy"
	"github.com/virt-sluice/sluice/proxy/control"
)

func newDaemon(cfg *config.Config, log zerolog.Logger, look *observer.Observer, confinement *control.Confinement, follow bool) (runner, error) {
	return proxy.New(proxy.Options{Config: cfg, Log: log, Version: buildVersion(), Observer: look, Confinement: confinement, Follow: follow})
}
