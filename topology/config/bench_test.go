package config_test

import (
	"testing"

	"github.com/streamrun/streamrun/topology/config"
)

// One event of the permits example: decoded, its metadata read, folded, and the
// state written.
func BenchmarkEvent(b *testing.B) {
	f, err := config.Load("../../examples/permits/streamrun.yaml")
	if err != nil {
		b.Fatal(err)
	}
	value := []byte(`{"case_id":"case-891","sequence":1,"event_id":"task-4","activity":"Confirmation of receipt","event_time":"2010-10-02T09:20:39.266000+02:00","resource":"Resource26","department":"General","channel":"Internet","last":false}`)
	r := &config.Record{Key: "case-891"}
	var state any
	var text []byte
	b.ReportAllocs()
	for b.Loop() {
		if r.Value, err = f.Decode(value); err != nil {
			b.Fatal(err)
		}
		m, err := f.Metadata(r)
		if err != nil {
			b.Fatal(err)
		}
		if state, err = f.Update(&m, r.Value, state); err != nil {
			b.Fatal(err)
		}
		if text, err = f.EncodeState(text[:0], state); err != nil {
			b.Fatal(err)
		}
		if state, err = f.DecodeState(text); err != nil {
			b.Fatal(err)
		}
	}
}
