package config_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"github.com/google/go-cmp/cmp"

	"github.com/streamrun/streamrun/topology"
	"github.com/streamrun/streamrun/topology/config"
	"github.com/streamrun/streamrun/topology/serde"
	"github.com/streamrun/streamrun/topology/topologytest"
)

func driver(t *testing.T, f *config.File, partitions int) (*topologytest.Driver, *topologytest.InputTopic[string, []byte]) {
	t.Helper()
	topo, err := f.Topology()
	if err != nil {
		t.Fatal(err)
	}
	d := topologytest.New(t, topo, topologytest.Options{Partitions: partitions})
	return d, topologytest.Input(d, f.Input.Topic, serde.Of(serde.String(), serde.Bytes()))
}

// table returns the output's last values as JSON.
func table(d *topologytest.Driver, f *config.File) map[string]string {
	out := map[string]string{}
	for key, state := range topologytest.Table(d, f.Output.Topic, f.Store().Serde()) {
		text, err := f.EncodeState(nil, state)
		if err != nil {
			panic(err)
		}
		out[key] = string(text)
	}
	return out
}

// Shuffled, repeated and restarted, the permits example gives what folding each case
// in order gives.
func TestPermitsGiveTheInOrderFold(t *testing.T) {
	t.Parallel()
	f, err := config.Load("../../examples/permits/streamrun.yaml")
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(3, 4))
	type sent struct{ key, value string }
	var events []sent
	want := map[string]string{}
	for c := range 40 {
		key := fmt.Sprintf("case-%d", c)
		var state any
		n := 1 + rng.IntN(8)
		for s := 1; s <= n; s++ {
			value, err := json.Marshal(map[string]any{
				"case_id": key, "sequence": s, "event_id": fmt.Sprintf("%s/%d", key, s), "activity": fmt.Sprintf("T%02d", rng.IntN(20)),
				"event_time": time.Unix(int64(1e9+1000*c+s), 0).UTC().Format(time.RFC3339Nano), "resource": fmt.Sprint(rng.IntN(3)),
				"department": []string{"General", "Experts"}[rng.IntN(2)], "channel": "Desk", "last": s == n,
			})
			if err != nil {
				t.Fatal(err)
			}
			events = append(events, sent{key, string(value)})
			r := record(t, f, key, string(value))
			m, err := f.Metadata(r)
			if err != nil {
				t.Fatal(err)
			}
			if state, err = f.Update(&m, r.Value, state); err != nil {
				t.Fatal(err)
			}
			if end, err := f.IsEnd(r); end != (s == n) || err != nil {
				t.Fatal(end, err)
			}
		}
		text, err := f.EncodeState(nil, state)
		if err != nil {
			t.Fatal(err)
		}
		want[key] = string(text)
	}
	deliveries := slices.Concat(events, events[:len(events)/3])
	rng.Shuffle(len(deliveries), func(i, j int) { deliveries[i], deliveries[j] = deliveries[j], deliveries[i] })

	d, in := driver(t, f, 4)
	for i, e := range deliveries {
		in.Send(e.key, []byte(e.value))
		if i%50 == 49 {
			d.Restart()
		}
	}
	if diff := cmp.Diff(want, table(d, f)); diff != "" {
		t.Fatal(diff)
	}
	counts := d.Dispositions(f.Input.Topic)
	if got, want := counts.Applied, int64(len(events)); got != want {
		t.Fatalf("applied %d of %d: %+v", got, want, counts)
	}
	if letters := topologytest.Letters(d, f.DLQ.Topic); len(letters) > 0 {
		t.Fatalf("%d letters", len(letters))
	}
}

// An event that waited is decoded again; its metadata reach the update all the same.
func TestMetaOfAnEventThatWaited(t *testing.T) {
	t.Parallel()
	text := strings.Replace(small, "{topic: t-in, key: event.k, sequence: event.s}",
		"{topic: t-in, key: key, sequence: header.seq, id: header.id, time: meta.timestamp}", 1)
	f := parse(t, strings.Replace(text, "{update: 'UPDATE'}", `{initial: [], update: 'concat(state, [[event, meta.id, meta.sequence, meta.time]])'}`, 1), noEnv)
	d, in := driver(t, f, 1)
	for _, s := range []string{"3", "2", "1"} {
		in.SendRecord(topology.Record[string, []byte]{Key: "a", Value: []byte(`"e` + s + `"`), Timestamp: 1000, Headers: []topology.Header{
			{Key: []byte("seq"), Value: []byte(s)}, {Key: []byte("id"), Value: []byte("id-" + s)},
		}})
	}
	want := map[string]string{"a": `[["e1","id-1",1,1000],["e2","id-2",2,1000],["e3","id-3",3,1000]]`}
	if diff := cmp.Diff(want, table(d, f)); diff != "" {
		t.Fatal(diff)
	}
}

func TestBadEventsBecomeLettersWithTheirReason(t *testing.T) {
	t.Parallel()
	text := strings.Replace(small, "because: y}", "because: y, poison: skip}", 1)
	f := parse(t, strings.Replace(text, "{update: 'UPDATE'}", `{initial: 0, update: 'state + event.n'}`, 1), noEnv)
	d, in := driver(t, f, 1)
	for _, e := range []struct{ key, value string }{
		{"a", `{"k":"a","s":1,"n":1}`},
		{"a", `{"k":"a","s":2,"n":"two"}`},               // poison
		{"a", `{"k":"a","s":2`},                          // undecodable
		{"a", `{"k":"b","s":1,"n":1}`},                   // wrong_key
		{"a", `{"s":1,"n":1}`},                           // invalid_metadata: no entity
		{"a", `{"k":"a","n":1}`},                         // invalid_metadata: no sequence
		{"a", `{"k":"a","s":-1,"n":1}`},                  // invalid_metadata
		{"a", `{"k":"a","s":9223372036854775808,"n":1}`}, // invalid_metadata
		{"a", `{"k":"a","s":3000000,"n":1}`},             // sequence_jump
		{"a", `{"k":"a","s":3,"n":10}`},
	} {
		in.Send(e.key, []byte(e.value))
	}
	var got []string
	for _, l := range topologytest.Letters(d, f.DLQ.Topic) {
		got = append(got, fmt.Sprintf("%s %q: %s (%s at %s, attempts %d)", l.Reason, l.Entity, l.Message, l.Exception, l.Step, l.Attempts))
	}
	want := []string{
		`poison "a": f.yaml:7:60: steps.st.state.update: invalid operation: int + string (*config.EvalError at st, attempts 1)`,
		`undecodable "": decoding the value: config: input in: the value cannot be decoded: jsontext: unexpected EOF after offset 14 (*topology.DecodeError at in, attempts 1)`,
		`wrong_key "b": f.yaml:4:33: inputs.in.key: the entity is "b", but the key of the record is "a": its producer must send the events of an entity under its name (*config.EvalError at o, attempts 0)`,
		`invalid_metadata "": f.yaml:4:33: inputs.in.key: expected a value, got nothing (*config.EvalError at o, attempts 0)`,
		`invalid_metadata "a": f.yaml:4:52: inputs.in.sequence: expected a whole number, got nothing (*config.EvalError at o, attempts 0)`,
		`invalid_metadata "a":  ( at o, attempts 0)`, // the rules refuse it: the reason says all
		`invalid_metadata "a": f.yaml:4:52: inputs.in.sequence: expected a whole number, got the number 9.223372036854776e+18 (*config.EvalError at o, attempts 0)`,
		`sequence_jump "a":  ( at o, attempts 0)`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatal(diff)
	}
	if diff := cmp.Diff(map[string]string{"a": "11"}, table(d, f)); diff != "" {
		t.Fatal(diff)
	}
}

func TestNilAndTombstonesDeleteInTheirTurn(t *testing.T) {
	t.Parallel()
	text := strings.Replace(small, "{topic: t-in, key: event.k, sequence: event.s}", "{topic: t-in, key: key, sequence: header.seq}", 1)
	f := parse(t, strings.Replace(text, "{update: 'UPDATE'}", `{initial: "", update: 'event == "gone" ? nil : state + event'}`, 1), noEnv)
	d, in := driver(t, f, 1)
	send := func(key, seq, value string) {
		r := topology.Record[string, []byte]{Key: key, Tombstone: value == "", Headers: []topology.Header{{Key: []byte("seq"), Value: []byte(seq)}}}
		if value != "" {
			r.Value = []byte(value)
		}
		in.SendRecord(r)
	}
	send("a", "1", `"x"`)
	send("b", "1", `"x"`)
	send("a", "3", `"z"`)
	send("b", "3", `"z"`)
	if got := slices.Sorted(maps.Keys(table(d, f))); len(got) != 2 {
		t.Fatal(got)
	}
	send("a", "2", `"gone"`)
	send("b", "2", "")
	if diff := cmp.Diff(map[string]string{"a": `"z"`, "b": `"z"`}, table(d, f)); diff != "" {
		t.Fatal(diff)
	}
	send("a", "4", `"gone"`)
	send("b", "4", "")
	if diff := cmp.Diff(map[string]string{}, table(d, f)); diff != "" {
		t.Fatal(diff)
	}
	if n := len(topologytest.Letters(d, f.DLQ.Topic)); n > 0 {
		t.Fatalf("%d letters", n)
	}
}

// The description is kept, so that a change that would orphan state is seen.
func TestDescribe(t *testing.T) {
	t.Parallel()
	datadriven.RunTest(t, "testdata/describe", func(t *testing.T, d *datadriven.TestData) string {
		f, err := config.Load(d.Input)
		if err != nil {
			d.Fatalf(t, "%v", err)
		}
		topo, err := f.Topology()
		if err != nil {
			d.Fatalf(t, "%v", err)
		}
		return topo.Describe().String()
	})
}
