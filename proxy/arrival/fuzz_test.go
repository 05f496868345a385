package arrival

import (
	"bytes"
	"reflect"
	"testing"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/virt-sluice/sluice/proxy/control"
)

// FuzzCalls: what a peer sends as a call or an answer is read or refused, and what is read is the
// same once it is written again. Frames have a checked outline before they come here, which skipping
// does in its place.
func FuzzCalls(f *testing.F) {
	for _, v := range []any{
		PrepareCall{Name: "g", XML: "<domain/>", Cookie: []byte("c"), Flags: 1, Bandwidth: 2, Parallel: 3, Values: control.Values{Numbers: map[string]uint64{"comp-mt-level": 1}, Lists: map[string][]string{"comp-methods": {"mt"}}}, CreateDisks: map[string]CreateDisk{"vda": {Size: 1, Backing: "/b"}}}, PrepareReply{Cookie: []byte("c"), Made: []string{"/a"}},
		FinishCall{Cookie: []byte("c"), Postcopy: true}, FinishReply{Downtime: -1, Undecided: "x"}, OutcomeAsk{"s", "u"}, OutcomeReply{OutcomeRuns, "running", true},
	} {
		b, err := msgpack.Marshal(v)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if r := bytes.NewReader(body); len(body) > 1<<16 || msgpack.NewDecoder(r).Skip() != nil || r.Len() > 0 {
			return
		}
		for _, to := range []any{new(PrepareCall), new(PrepareReply), new(FinishCall), new(FinishReply), new(OutcomeAsk), new(OutcomeReply)} {
			if msgpack.Unmarshal(body, to) != nil {
				continue
			}
			again := reflect.New(reflect.TypeOf(to).Elem()).Interface()
			out, err := msgpack.Marshal(to)
			if err == nil {
				err = msgpack.Unmarshal(out, again)
			}
			if err != nil || !reflect.DeepEqual(again, to) {
				t.Errorf("%+v becomes %+v, %v", to, again, err)
			}
		}
	})
}
