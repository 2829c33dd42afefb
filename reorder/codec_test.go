package reorder

import (
	"bytes"
	"encoding/hex"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/streamrun/streamrun/policies"
	"github.com/streamrun/streamrun/topology"
)

var update = flag.Bool("update", false, "write the golden bytes anew")

// goldenRows are rows of every kind that a machine has written: kind and name to bytes.
func goldenRows(t *testing.T) map[string][]byte {
	t.Helper()
	rows := map[string][]byte{}
	add := func(prefix string, r *rig) {
		r.commit()
		for key, value := range r.rows {
			rows[prefix+" "+hex.EncodeToString([]byte(key))] = value
		}
	}
	calm := newRig(t, bySequence())
	for n := range int64(3) {
		calm.m.Record(calm.Entity("A"), &topology.OrderEvent{Metadata: policies.Metadata{Entity: "A", HasSequence: true, Sequence: n + 1}}, 0)
		calm.drive()
	}
	add("calm", calm)

	c := bySequence()
	c.Buffer, c.OnTimeout, c.Gap, c.Reset, c.Start = policies.BufferDurable, policies.OnTimeoutHold, policies.GapRebuild, policies.ResetEpoch, policies.StartFirstSeen()
	c.Classes = map[string]policies.Class{"view": {Early: policies.EarlyApply}}
	busy := newRig(t, c)
	busy.fate = fail
	busy.deliver(policies.Metadata{Entity: "A", HasSequence: true, Sequence: 1})
	busy.deliver(policies.Metadata{Entity: "A", HasSequence: true, Sequence: 10, Epoch: 2, ID: "k1", Version: 7})
	busy.deliver(policies.Metadata{Entity: "A", HasSequence: true, Sequence: 15, Epoch: 2, ID: "k1"}) // void
	busy.deliver(policies.Metadata{Entity: "A", HasSequence: true, Sequence: 13, Epoch: 2, Class: "view", ID: "v"})
	busy.deliver(policies.Metadata{
		Entity: "A", HasSequence: true, Sequence: 12, Epoch: 2, ID: "h", Version: 8, EventTime: 5, ProducedAt: 6,
		Causation: "cause", Correlation: "deal", Class: "pay",
	})
	busy.deliver(policies.Metadata{Entity: "A", HasSequence: true, Sequence: 3, Epoch: 2, ID: "before"})
	busy.tick(1000)
	add("busy", busy)

	c = bySequence()
	c.OnTimeout = policies.OnTimeoutSkip
	parked := newRig(t, c)
	parked.fate = func(id string, _ int) topology.ApplyOutcome {
		if id == "A-5" {
			return topology.OutcomePoison
		}
		return topology.OutcomeDone
	}
	parked.seq("A", 2, 3)
	parked.tick(1000)
	parked.seq("A", 4, 5, 6)
	add("parked", parked)

	c = bySequence()
	c.OrderBy, c.Buffer = policies.ByVersion, policies.BufferDurable
	newest := newRig(t, c)
	newest.deliver(policies.Metadata{Entity: "A", Version: 3, EventTime: 30, ID: "k3"})
	newest.deliver(policies.Metadata{Entity: "A", Version: 2, EventTime: 20, ID: "k2"})
	add("newest", newest)

	c.OrderBy, c.Slack = policies.ByEventTime, 10*time.Millisecond
	timed := newRig(t, c)
	timed.deliver(policies.Metadata{Entity: "A", EventTime: 100, ID: "k1"})
	add("timed", timed)

	c = bySequence()
	c.AutoWait, c.OnTimeout = true, policies.OnTimeoutSkip
	learned := newRig(t, c)
	learned.seq("A", 2)
	learned.tick(70)
	learned.seq("A", 1, 4)
	learned.tick(5000) // 3 is given up
	learned.seq("A", 3)
	add("learned", learned)

	c = bySequence()
	c.Causal, c.Buffer = true, policies.BufferDurable
	causal := newRig(t, c)
	causal.seq("A", 1)
	causal.deliver(policies.Metadata{Entity: "B", HasSequence: true, Sequence: 1, Causation: "A-2"})
	add("causal", causal)
	return rows
}

func TestRowsHaveTheGoldenBytes(t *testing.T) {
	t.Parallel()
	path := filepath.Join("testdata", "rows.golden")
	rows := goldenRows(t)
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(rows)) {
		b.WriteString(name + " " + hex.EncodeToString(rows[name]) + "\n")
	}
	if *update {
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), b.String()); diff != "" {
		t.Errorf("the format has changed (-update writes it anew): %s", diff)
	}
}

// recode decodes a value by the kind of its row and encodes it again. An error is
// how bytes are refused.
func recode(kind byte, key, value []byte) ([]byte, error) {
	switch kind {
	case kindEntity:
		var r Row
		if err := r.decode(value); err != nil {
			return nil, err
		}
		return r.append(nil, true), nil
	case kindHeld:
		e, err := decodeHeld(value)
		if err != nil {
			return nil, err
		}
		return e.appendHeld(nil), nil
	case kindLetter:
		e, err := decodeLetter(value)
		if err != nil {
			return nil, err
		}
		return e.appendLetter(nil), nil
	}
	if len(key) == 2 && key[1] == taskWaits {
		w := newWaits(&policies.Contract{OrderBy: policies.BySequence, AutoWait: true, MaxWait: time.Minute})
		in := &reader{b: value}
		w.read(in)
		return w.append(nil), in.end()
	}
	m := NewMachine(policies.Contract{OrderBy: policies.ByEventTime, Causal: true, Buffer: policies.BufferDurable}, quiet{}, 64)
	if len(key) == 2 {
		in := &reader{b: value}
		in.version()
		marks := readWatermarks(in)
		if err := in.end(); err != nil {
			return nil, err
		}
		m.marks = marks
		return m.appendWatermarks(nil), nil
	}
	if err := m.Restore(key, value); err != nil {
		return nil, err
	}
	if err := m.Restored(nil); err != nil {
		return nil, err
	}
	m.causes.applied.saved = 0
	return m.taskChanges(nil)[1].value, nil // the first is that of the watermarks
}

func TestDecodersRefuseWhatIsNotWhole(t *testing.T) {
	t.Parallel()
	for name, value := range goldenRows(t) {
		key, _ := hex.DecodeString(name[strings.Index(name, " ")+1:])
		again, err := recode(key[0], key, value)
		if err != nil || !bytes.Equal(again, value) {
			t.Fatalf("%s: %x becomes %x, %v", name, value, again, err)
		}
		for n := range value {
			if _, err := recode(key[0], key, value[:n]); err == nil {
				t.Errorf("%s: %d of %d bytes are taken for the whole", name, n, len(value))
			}
		}
		if _, err := recode(key[0], key, append(slices.Clone(value), 0)); err == nil {
			t.Errorf("%s: a byte too many is not seen", name)
		}
		other := slices.Clone(value)
		other[0]++
		if _, err := recode(key[0], key, other); err == nil {
			t.Errorf("%s: another version is not seen", name)
		}
	}
}

func TestRestoreRefusesAKeyThatIsNotTheValues(t *testing.T) {
	t.Parallel()
	c := bySequence()
	c.Buffer = policies.BufferDurable
	r := newRig(t, c)
	r.seq("A", 2)
	r.commit()
	for key, value := range r.rows {
		if key[0] != kindHeld {
			continue
		}
		other := []byte(key)
		other[len(other)-1]++
		if err := newRig(t, c).m.Restore(other, value); err == nil {
			t.Error("no error")
		}
	}
	for _, key := range []string{"", "\x09A", "\x02", "\x03\x05A"} {
		if err := r.m.Restore([]byte(key), []byte{1}); err == nil {
			t.Errorf("key %x is taken", key)
		}
	}
}

func fuzz(f *testing.F, kind byte) {
	for _, line := range strings.Split(golden(f), "\n") {
		part := strings.Split(line, " ")
		if len(part) != 3 {
			continue
		}
		key, _ := hex.DecodeString(part[1])
		value, _ := hex.DecodeString(part[2])
		if key[0] == kind {
			f.Add(key, value)
		}
	}
	f.Fuzz(func(t *testing.T, key, value []byte) {
		if kind == kindTask && (len(key) < 2 || key[0] != kindTask) {
			return
		}
		again, err := recode(kind, key, value)
		if err == nil && !bytes.Equal(again, value) {
			t.Errorf("%x is accepted and becomes %x", value, again)
		}
	})
}

func golden(f *testing.F) string {
	b, err := os.ReadFile(filepath.Join("testdata", "rows.golden"))
	if err != nil {
		f.Fatal(err)
	}
	return string(b)
}

func FuzzEntityRow(f *testing.F) { fuzz(f, kindEntity) }
func FuzzTaskRow(f *testing.F)   { fuzz(f, kindTask) }
func FuzzHeldRow(f *testing.F)   { fuzz(f, kindHeld) }
func FuzzLetterRow(f *testing.F) { fuzz(f, kindLetter) }

func TestSpansAreSets(t *testing.T) {
	t.Parallel()
	var s spans
	model := map[int64]bool{}
	for i := range int64(2000) {
		n := i * 7919 % 40
		switch i % 5 {
		case 0, 1:
			s.add(n, n+2)
			model[n], model[n+1], model[n+2] = true, true, true
		case 2:
			s.remove(n)
			delete(model, n)
		case 3:
			s.add(n, n)
			model[n] = true
		default:
			if i%25 == 4 {
				s.dropTo(n / 4)
				for k := range model {
					if k <= n/4 {
						delete(model, k)
					}
				}
			}
		}
		for k := int64(-1); k < 45; k++ {
			if s.has(k) != model[k] {
				t.Fatalf("step %d: %v has %d: %t", i, s, k, s.has(k))
			}
		}
		for j := 1; j < len(s); j++ {
			if s[j].from <= s[j-1].to+1 {
				t.Fatalf("step %d: %v", i, s)
			}
		}
	}
}

func TestTheMemoryOfIDsForgetsTheFirst(t *testing.T) {
	t.Parallel()
	for _, limit := range []int{1, 3, 16, 100} {
		var m ids
		var model []idEntry
		for i := range int64(500) {
			e := newIDEntry(i, uint64(i)+1, i%2 == 0)
			m.record(e, limit, i)
			if model = append(model, e); len(model) > limit {
				model = model[1:]
			}
			var got []idEntry
			m.each(func(e idEntry) { got = append(got, e) })
			if !slices.Equal(got, model) {
				t.Fatalf("limit %d, step %d: %v", limit, i, got)
			}
			for _, e := range model {
				if found, ok := m.find(e.hash); !ok || found != e || !m.has(e.hash) || !m.at(e.number()) {
					t.Fatalf("limit %d, step %d: %v is not found", limit, i, e)
				}
			}
			if first := model[0].number(); first > 0 && (m.has(uint64(first)) || m.at(first-1)) {
				t.Fatalf("limit %d, step %d: %d is not forgotten", limit, i, first-1)
			}
		}
	}
}
