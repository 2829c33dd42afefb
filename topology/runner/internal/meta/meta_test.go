package meta

import (
	"encoding/hex"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/streamrun/streamrun/policies"
	"github.com/streamrun/streamrun/topology/internal/record"
	"github.com/streamrun/streamrun/topology/internal/task"
)

func formats(key, value string) []policies.Term {
	return []policies.Term{{Name: "key", Value: key}, {Name: "value", Value: value}}
}

func term(name, value string, w policies.Weight) policies.Term {
	return policies.Term{Name: name, Value: value, Weight: w}
}

// sample is an app that orders the events of two topics and keeps totals.
func sample() Plan {
	return Plan{
		Name: "in-order", Hash: 0x0123456789abcdef, Topics: []string{"orders", "refunds"},
		Steps: []task.PlanStep{
			{Name: "orders", Kind: task.SourceStep, Terms: formats("string", "json")},
			{Name: "refunds", Kind: task.SourceStep, Terms: formats("string", "json")},
			{Name: "in-order", Kind: task.OrderStep, Terms: []policies.Term{
				term("because", "sums", policies.Label), term("order_by", "sequence", policies.Meaning), term("max_wait", "10s", policies.Amount),
				term("class.late", "drop", policies.Meaning), term("class.refund.late", "reject", policies.Meaning),
			}},
			{Name: "totals", Kind: task.StoreStep, Terms: formats("string", "json")},
		},
	}
}

var topicID = [16]byte{0x0f, 0xed, 15: 1}

// golden.txt has a line "name hex" for each format.
func TestGoldenBytes(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("testdata/golden.txt")
	if err != nil {
		t.Fatal(err)
	}
	p := sample()
	got := "key " + hex.EncodeToString(Key(Live, p.Name)) + "\nplan " + hex.EncodeToString(p.Append(nil)) +
		"\ntopic-key " + hex.EncodeToString(TopicKey(Live, "orders")) + "\ntopic " + hex.EncodeToString(AppendTopic(nil, topicID)) + "\n"
	if diff := cmp.Diff(string(text), got); diff != "" {
		t.Error(diff)
	}
	again, _, err := Decode([]record.Record{{Key: Key(3, p.Name), Value: p.Append(nil)}, {Key: TopicKey(3, "orders"), Value: AppendTopic(nil, topicID)}})
	if diff := cmp.Diff(map[int]Generation{3: {[]Plan{p}, map[string][16]byte{"orders": topicID}}}, again); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
}

func TestDecodeTakesTheLastOfEveryKey(t *testing.T) {
	t.Parallel()
	old, last, other := sample(), sample(), sample()
	old.Hash, other.Name = 1, "other"
	rec := func(generation int, p Plan) record.Record {
		return record.Record{Key: Key(generation, p.Name), Value: p.Append(nil)}
	}
	topic := func(id byte) record.Record {
		return record.Record{Key: TopicKey(Live, "orders"), Value: AppendTopic(nil, [16]byte{id})}
	}
	got, values, err := Decode([]record.Record{topic(1), rec(Live, old), rec(Live, other), rec(2, old), topic(2), rec(Live, last)})
	want := map[int]Generation{Live: {[]Plan{last, other}, map[string][16]byte{"orders": {2}}}, 2: {Plans: []Plan{old}}}
	if diff := cmp.Diff(want, got); err != nil || diff != "" || len(values) != 4 {
		t.Errorf("%v, %d values\n%s", err, len(values), diff)
	}
	for _, bad := range []record.Record{
		{},
		{Key: []byte("x")},
		{Key: Key(Live, "a")},
		{Key: append(Key(Live, "a"), 0), Value: last.Append(nil)},
		{Key: Key(Live, "a"), Value: append(last.Append(nil), 0)},
		{Key: TopicKey(Live, "a")},
		{Key: TopicKey(Live, "a"), Value: topic(1).Value[:16]},
		{Key: TopicKey(Live, "a"), Value: append(topic(1).Value, 0)},
	} {
		if _, _, err := Decode([]record.Record{bad}); err == nil {
			t.Errorf("key %q, value %q: accepted", bad.Key, bad.Value)
		}
	}
}

func FuzzDecode(f *testing.F) {
	p := sample()
	f.Add(Key(Live, p.Name), p.Append(nil))
	f.Add(Key(2, ""), (&Plan{}).Append(nil))
	f.Add(TopicKey(Live, "orders"), AppendTopic(nil, topicID))
	f.Fuzz(func(t *testing.T, key, value []byte) {
		generations, _, err := Decode([]record.Record{{Key: key, Value: value}})
		if err != nil {
			return
		}
		same := func(k, v []byte) {
			if string(k) != string(key) || string(v) != string(value) {
				t.Errorf("%q %q is read as %q %q", key, value, k, v)
			}
		}
		for number, g := range generations {
			for _, p := range g.Plans {
				same(Key(number, p.Name), p.Append(nil))
			}
			for name, id := range g.Topics {
				same(TopicKey(number, name), AppendTopic(nil, id))
			}
		}
	})
}

func TestSettle(t *testing.T) {
	t.Parallel()
	order := func(p *Plan) []policies.Term { return p.Steps[2].Terms }
	for _, c := range []struct {
		name    string
		was     func(p *Plan)
		is      func(p *Plan) []Plan
		settled []string // name and topics of each plan
		notes   string   // parts that follow one another
		changes string   // likewise
	}{
		{name: "the same", settled: []string{"in-order orders refunds"}},
		{name: "a label", is: func(p *Plan) []Plan { order(p)[0].Value = "other sums"; return []Plan{*p} }, settled: []string{"in-order orders refunds"}},
		{
			name: "a wait", is: func(p *Plan) []Plan { order(p)[2].Value = "30s"; return []Plan{*p} },
			settled: []string{"in-order orders refunds"}, notes: `order "in-order": max_wait was 10s and is 30s`,
		},
		{
			name: "a policy", is: func(p *Plan) []Plan { order(p)[1].Value = "version"; return []Plan{*p} },
			changes: `order "in-order": order_by was sequence and is version`,
		},
		{
			name: "a term that the recording version did not know", is: func(p *Plan) []Plan {
				p.Steps[2].Terms = append(order(p), term("colour", "red", policies.Meaning))
				return []Plan{*p}
			}, settled: []string{"in-order orders refunds"},
		},
		{
			name: "a class that says what held for it before", is: func(p *Plan) []Plan {
				p.Steps[2].Terms = append(order(p), term("class.gift.late", "drop", policies.Meaning))
				return []Plan{*p}
			}, settled: []string{"in-order orders refunds"},
		},
		{
			name: "a class that says something else", is: func(p *Plan) []Plan {
				p.Steps[2].Terms = append(order(p), term("class.gift.late", "reject", policies.Meaning))
				return []Plan{*p}
			}, changes: `order "in-order": class.gift.late was drop and is reject`,
		},
		{
			name: "a class left out", is: func(p *Plan) []Plan { p.Steps[2].Terms = order(p)[:4]; return []Plan{*p} },
			changes: `order "in-order": class.refund.late was reject and is drop`,
		},
		{
			name: "a serde", is: func(p *Plan) []Plan { p.Steps[3].Terms = formats("string", "proto"); return []Plan{*p} },
			changes: `store "totals": value was json and is proto: the bytes`,
		},
		{
			name: "a source in front, under another name of the sub-topology", is: func(p *Plan) []Plan {
				p.Name, p.Topics = "a", []string{"a-new", "orders", "refunds"}
				p.Steps = append(p.Steps, task.PlanStep{Name: "a-new", Kind: task.SourceStep}, task.PlanStep{Name: "a", Kind: task.StoreStep})
				return []Plan{*p}
			}, settled: []string{"in-order orders refunds a-new"},
			notes: `topic "a-new" is new: it is read from its beginning|store "a" is new: it begins empty`,
		},
		{
			name: "a source less behind an order", is: func(p *Plan) []Plan { p.Topics, p.Steps = p.Topics[1:], p.Steps[1:]; return []Plan{*p} },
			changes: `topic "orders" is not read any more`,
		},
		{
			name: "a source less without an order", was: func(p *Plan) { p.Steps = append(p.Steps[:2:2], p.Steps[3]) },
			is: func(p *Plan) []Plan {
				p.Topics, p.Steps = p.Topics[1:], []task.PlanStep{p.Steps[1], p.Steps[3]}
				return []Plan{*p}
			},
			settled: []string{"in-order refunds"}, notes: `topic "orders" is not read any more`,
		},
		{
			name: "an order renamed", is: func(p *Plan) []Plan { p.Steps[2].Name = "sorted"; return []Plan{*p} },
			changes: `order "in-order" is gone and "sorted" is new, which knows nothing of the events that were read: if it was renamed, say there was: in-order`,
		},
		{
			name: "a store renamed", is: func(p *Plan) []Plan { p.Steps[3].Name = "sums"; return []Plan{*p} },
			changes: `store "totals" is gone and "sums" is new, which would begin empty: if its step was renamed, say there store: totals`,
		},
		{
			name: "a store left out", is: func(p *Plan) []Plan { p.Steps = p.Steps[:3]; return []Plan{*p} },
			settled: []string{"in-order orders refunds"}, notes: `store "totals" is gone`,
		},
		{
			name: "a store that was left out before", was: func(p *Plan) { p.Steps[3] = task.PlanStep{Name: "totals", Kind: Gone} },
			changes: `store "totals" was left out once and is back`,
		},
		{
			name: "two parts", is: func(p *Plan) []Plan {
				return []Plan{{Name: "in-order", Topics: p.Topics, Steps: p.Steps[:3]}, {Name: "totals", Steps: p.Steps[3:]}}
			},
			changes: "sub-topology in-order is in two parts now (in-order, totals)",
		},
		{
			name: "another one beside it", is: func(p *Plan) []Plan {
				return []Plan{{Name: "x", Topics: []string{"x"}, Steps: []task.PlanStep{{Name: "x", Kind: task.SourceStep}}}, *p}
			}, settled: []string{"x x", "in-order orders refunds"},
		},
		{
			name: "nothing left of it", is: func(*Plan) []Plan {
				return []Plan{{Name: "x", Topics: []string{"x"}, Steps: []task.PlanStep{{Name: "x", Kind: task.SourceStep}}}}
			}, settled: []string{"x x"}, notes: "sub-topology in-order is gone",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			was, now := sample(), sample()
			if c.was != nil {
				c.was(&was)
			}
			plans := []Plan{now}
			if c.is != nil {
				plans = c.is(&now)
			}
			settled, notes, changes := Settle([]Plan{was}, plans)
			says(t, "changes", changes, c.changes)
			if c.changes != "" {
				return
			}
			says(t, "notes", notes, c.notes)
			var got []string
			for _, p := range settled {
				got = append(got, strings.Join(append([]string{p.Name}, p.Topics...), " "))
			}
			if diff := cmp.Diff(c.settled, got); diff != "" {
				t.Error(diff)
			}
			// What is recorded then is at peace with the same topology.
			if _, notes, changes := Settle(settled, plans); len(notes)+len(changes) > 0 {
				t.Errorf("at the next start: %q, %q", notes, changes)
			}
		})
	}
	a, b := sample(), sample()
	b.Name, b.Steps = "b", []task.PlanStep{{Name: "b", Kind: task.StoreStep}}
	one := sample()
	one.Steps = append(one.Steps, b.Steps...)
	_, _, changes := Settle([]Plan{a, b}, []Plan{one})
	says(t, "two made one", changes, "sub-topologies in-order and b are one now")
}

// says checks that there are as many texts as parts, and that each has its part.
func says(t *testing.T, what string, texts []string, parts string) {
	t.Helper()
	want := strings.Split(parts, "|")
	if parts == "" {
		want = nil
	}
	if len(texts) != len(want) {
		t.Fatalf("%s: %q, want %q", what, texts, want)
	}
	for i := range want {
		if !strings.Contains(texts[i], want[i]) {
			t.Errorf("%s: %q does not say %q", what, texts[i], want[i])
		}
	}
}
