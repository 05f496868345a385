//go:build nogrpc

package telemetry

import (
	"fmt"

	"github.com/virt-sluice/sluice/proxy/control"
)

// Tracer is one that nobody has: OTLP's own types bring gRPC, also where it goes over HTTP.
type Tracer struct{}

func Check(collector string) error {
	return fmt.Errorf("send traces to %s: this sluice was built without OTLP (tag nogrpc): use another build, or leave telemetry.otlp out", collector)
}

func Start(o Options) (*Tracer, error) { return nil, Check(o.Collector) }

func (*Tracer) Ended(*control.SessionRecord) {}

func (*Tracer) Close() {}
