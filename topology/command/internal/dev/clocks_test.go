package dev

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"

	"github.com/streamrun/streamrun/statestore"
	"github.com/streamrun/streamrun/topology/config"
	"github.com/streamrun/streamrun/topology/internal/record"
	"github.com/streamrun/streamrun/topology/internal/task"
)

// live runs the production task of a contract over records that come at given times,
// and returns what an app would have left.
func live(t *rapid.T, w *world, records []record.Record, clocks []int64) {
	topo, err := w.file.Topology()
	if err != nil {
		t.Fatal(err)
	}
	plan := task.Plans(topo)[0]
	backend := statestore.NewMemory()
	tk, err := task.Open(plan, 0, backend, task.Options{Partitions: func(string) int32 { return 1 }}, []task.Start{{None: true}})
	if err != nil {
		t.Fatal(err)
	}
	var journal, letters []record.Record
	step := func(s task.Step) {
		s.Wall, s.Budget = s.Clock, 1000
		if _, err := tk.Step(s); err != nil {
			t.Fatal(err)
		}
		b := tk.Take()
		if b == nil {
			return
		}
		if err := backend.Apply(b.Puts, nil); err != nil {
			t.Fatal(err)
		}
		for _, o := range b.Journal {
			journal = append(journal, record.Record{Value: append([]byte(nil), o.Value...)})
		}
		for _, o := range b.DeadLetters {
			letters = append(letters, record.Record{Key: o.Key, Value: o.Value, Headers: o.Headers})
		}
		tk.Recycle(b)
	}
	from := 0
	for i := range records {
		if i+1 < len(records) && clocks[i+1] == clocks[i] {
			continue // one step has all records of its time
		}
		step(task.Step{Kind: task.StepRecords, Clock: clocks[i], Inputs: []task.Input{{Records: records[from : i+1], Next: int64(i) + 1}}})
		from = i + 1
	}
	for {
		due, ok := tk.Due()
		if !ok {
			break
		}
		step(task.Step{Kind: task.StepTick, Clock: due})
	}
	w.total = tk.Dispositions()[0]
	w.stored = make(map[string]*entity)
	if err := entitiesOf(w.file.Contract, backend, w.stored); err != nil {
		t.Fatal(err)
	}
	w.table = make(map[string][]byte)
	for id, e := range w.stored {
		if e.value != nil {
			w.table[id] = e.value
		}
	}
	if w.letters, err = readLetters("path-dlq", [][]record.Record{letters}); err != nil {
		t.Fatal(err)
	}
	if err := clocked(w.deliveries, journal); err != nil {
		t.Fatal(err)
	}
}

// Whatever comes when, the fold says what the production task does, late events included.
func TestTheFoldKnowsWhatIsLate(t *testing.T) {
	t.Parallel()
	contracts := []string{
		"on_timeout: park", "on_timeout: skip", "on_timeout: skip\n  late: drop", "on_timeout: skip\n  poison: skip",
		"on_timeout: park\n  poison: skip\n  start: first_seen", "on_timeout: skip\n  max_held: 3\n  on_overflow: park",
		"on_timeout: skip\n  max_holes: 2", "on_timeout: skip\n  id_memory: 1\n  max_jump: 6",
	}
	files := make(map[string]*config.File)
	for _, text := range contracts {
		files[text] = smallFile(t, text+"\n  max_wait: 100ms")
	}
	late, judged, entities := 0, 0, 0
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.SampledFrom(contracts).Draw(t, "contract")
		w := &world{file: files[text]}
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		var texts []string
		for _, k := range []string{"a", "b"} {
			for n := 1; n <= 1+rng.IntN(7); n++ {
				if rng.IntN(8) == 0 {
					continue // it never comes
				}
				e := fmt.Sprintf(`{"k":%q,"n":%d,"id":"%s%d","bad":%v}`, k, n, k, n, rng.IntN(12) == 0)
				texts = append(texts, e)
				if rng.IntN(4) == 0 {
					texts = append(texts, e)
				}
			}
		}
		rng.Shuffle(len(texts), func(i, j int) { texts[i], texts[j] = texts[j], texts[i] })
		var records []record.Record
		var clocks []int64
		now := int64(1_000_000)
		for i, text := range texts {
			now += []int64{0, 1, 40, 60, 99, 100, 101, 250}[rng.IntN(8)]
			r := record.Record{Offset: int64(i), Key: []byte(text[6:7]), Value: []byte(text), Timestamp: now}
			e, err := understand(w.file, &r)
			if err != nil {
				t.Fatal(err)
			}
			records, clocks = append(records, r), append(clocks, now)
			w.deliveries = append(w.deliveries, delivery{event: e, offset: r.Offset})
		}
		w.sent = int64(len(records))
		live(t, w, records, clocks)
		v, err := verify(w)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range v.checks {
			if !c.OK {
				t.Fatalf("%s\n%v at %v\n%s: %s", text, texts, clocks, c.Name, c.Detail)
			}
		}
		n, _ := tooLate(v)
		late += n
		for _, r := range v.results {
			entities++
			if r.Unknown == "" {
				judged++
			}
		}
	})
	t.Logf("%d entities, %d judged, %d events too late", entities, judged, late)
	if late < 20 || judged*10 < entities*8 {
		t.Error("it tried too little")
	}
}
