package main

import (
	"errors"

	"github.com/rs/zerolog"

	"github.com/virt-sluice/sluice/internal/config"
)

func newDaemon(*config.Config, zerolog.Logger) (runner, error) {
	return nil, errors.New("this build has no daemon yet")
}
