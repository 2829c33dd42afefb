package config_test

import (
	"errors"
	"math"
	"os"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/streamrun/streamrun/policies"
	"github.com/streamrun/streamrun/topology"
	"github.com/streamrun/streamrun/topology/config"
)

// updating returns a small file with the update.
func updating(t testing.TB, update string) *config.File {
	t.Helper()
	return parse(t, strings.Replace(small, "{update: 'UPDATE'}", "{update: '"+strings.ReplaceAll(update, "'", "''")+"'}", 1), noEnv)
}

// input returns a file whose input has the lines.
func input(t testing.TB, lines ...string) *config.File {
	t.Helper()
	text := strings.Replace(strings.Replace(small, "UPDATE", "event", 1),
		"inputs: {in: {topic: t-in, key: event.k, sequence: event.s}}",
		"inputs:\n  in:\n    topic: t-in\n    "+strings.Join(lines, "\n    "), 1)
	return parse(t, text, noEnv)
}

func record(t testing.TB, f *config.File, key, value string, headers ...string) *config.Record {
	t.Helper()
	v, err := f.Decode([]byte(value))
	if err != nil {
		t.Fatal(err)
	}
	r := &config.Record{Key: key, Value: v, Timestamp: 1000}
	for i := 0; i < len(headers); i += 2 {
		r.Headers = append(r.Headers, topology.Header{Key: []byte(headers[i]), Value: []byte(headers[i+1])})
	}
	return r
}

func TestMetadataOfEveryExpression(t *testing.T) {
	t.Parallel()
	f, err := config.Load(whole)
	if err != nil {
		t.Fatal(err)
	}
	got, err := f.Metadata(record(t, f, "o1", `{"order_id": "o1", "seq": 9007199254740993, "version": "12", "at": "2024-02-29T10:00:00.5+02:00",
		"type": "paid", "cause": 77}`, "ce_id", "first", "ce_id", "e-1", "ordepoch", "3"))
	if err != nil {
		t.Fatal(err)
	}
	want := policies.Metadata{
		Entity: "o1", HasSequence: true, Sequence: 9007199254740993, Version: 12, Epoch: 3,
		EventTime: 1709193600500, ID: "e-1", Causation: "77", Class: "paid",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatal(diff)
	}
	got, err = f.Metadata(record(t, f, "o1", `{"order_id": 5, "seq": 1, "event_id": "x"}`))
	want = policies.Metadata{Entity: "5", HasSequence: true, Sequence: 1, EventTime: 1000, ID: "x"}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Fatal(diff, err)
	}
}

func TestSequenceIsANumber(t *testing.T) {
	t.Parallel()
	f := input(t, "key: event.k", "sequence: event.s")
	for _, c := range []struct {
		value string
		has   bool
		want  int64
	}{
		{`{"k":"a","s":0}`, true, 0},
		{`{"k":"a","s":-1}`, true, -1}, // R0 refuses it, not the file
		{`{"k":"a","s":"0000000000000000042"}`, true, 42},
		{`{"k":"a","s":9223372036854775807}`, true, math.MaxInt64},
		{`{"k":"a","s":7.0}`, true, 7},
		{`{"k":"a","s":9007199254740993.0}`, true, 9007199254740993},
		{`{"k":"a","s":7e2}`, true, 700},
		{`{"k":"a","s":9223372036854775808}`, false, 0},
		{`{"k":"a","s":7.5}`, false, 0},
		{`{"k":"a","s":"7.5"}`, false, 0},
		{`{"k":"a","s":""}`, false, 0},
		{`{"k":"a","s":null}`, false, 0},
		{`{"k":"a","s":true}`, false, 0},
		{`{"k":"a","s":{}}`, false, 0},
		{`{"k":"a"}`, false, 0},
	} {
		m, err := f.Metadata(record(t, f, "a", c.value))
		if (err == nil) != c.has || m.HasSequence != c.has || m.Sequence != c.want || m.Entity != "a" || m.EventTime != 1000 {
			t.Errorf("%s: %+v, %v", c.value, m, err)
		}
	}
}

func TestBadMetadataSaysWhere(t *testing.T) {
	t.Parallel()
	f := input(t, "key: event.k", "sequence: event.s", "id: event.id", "time: event.at", "class: event.c.d")
	for value, want := range map[string]string{
		`{"s":1,"id":"i","at":1,"c":{}}`:                  `f.yaml:7:10: inputs.in.key: expected a value, got nothing`,
		`{"s":1,"k":"","id":"i","at":1,"c":{}}`:           `f.yaml:7:10: inputs.in.key: expected text or a whole number, got ""`,
		`{"s":1,"k":[],"id":"i","at":1,"c":{}}`:           `f.yaml:7:10: inputs.in.key: expected text or a whole number, got a list`,
		`{"s":1,"k":1.5,"id":"i","at":1,"c":{}}`:          `f.yaml:7:10: inputs.in.key: expected text or a whole number, got the number 1.5`,
		`{"s":1,"k":"a","at":1,"c":{}}`:                   `f.yaml:9:9: inputs.in.id: expected a value, got nothing`,
		`{"s":1,"k":"a","id":"i","at":"today","c":{}}`:    `f.yaml:10:11: inputs.in.time: expected a time: RFC 3339 text, or milliseconds since 1970, got "today"`,
		`{"s":1,"k":"a","id":"i","at":1}`:                 `f.yaml:11:20: inputs.in.class: cannot fetch d from nothing`,
		`{"s":1,"k":"a","id":"i","at":1,"c":{"d":false}}`: `f.yaml:11:12: inputs.in.class: expected text or a whole number, got false`,
		`{"s":"7.5","k":"a","id":"i","at":1,"c":{}}`:      `f.yaml:8:15: inputs.in.sequence: expected a whole number, got "7.5"`,
		`{"k":"a","id":"i","at":1,"c":{}}`:                `f.yaml:8:15: inputs.in.sequence: expected a whole number, got nothing`,
		`17`:                                              `f.yaml:7:16: inputs.in.key: cannot fetch k from a number`,
		`null`:                                            `f.yaml:7:16: inputs.in.key: cannot fetch k from nothing`,
	} {
		_, err := f.Metadata(record(t, f, "a", value))
		var at *config.EvalError
		if !errors.As(err, &at) || err.Error() != want {
			t.Errorf("%s:\n got %v\nwant %s", value, err, want)
		}
	}
}

func TestUndecodableValues(t *testing.T) {
	t.Parallel()
	f := updating(t, "event")
	for _, value := range []string{
		"", "{", `{"a":1`, `{"a":1}x`, `1 2`, `{"a":1,"a":2}`, "\"\xff\"", `{"a":1e999}`, `nul`, `[1,]`, `{"a":01}`, "{\"a\":\"\x01\"}",
		strings.Repeat("[", 20000),
	} {
		if v, err := f.Decode([]byte(value)); !errors.Is(err, config.ErrUndecodable) {
			t.Errorf("%.20q: %v, %v", value, v, err)
		}
	}
	if v, err := f.Decode(nil); v != nil || err != nil {
		t.Errorf("no value: %v, %v", v, err)
	}
}

func TestEnd(t *testing.T) {
	t.Parallel()
	f := input(t, "key: event.k", "sequence: event.s", "end: event.last")
	for value, want := range map[string]bool{`{"last":true}`: true, `{"last":false}`: false, `{}`: false} {
		if got, err := f.IsEnd(record(t, f, "", value)); got != want || err != nil {
			t.Errorf("%s: %v, %v", value, got, err)
		}
	}
	if _, err := f.IsEnd(record(t, f, "", `{"last":"yes"}`)); err == nil || err.Error() != `f.yaml:9:10: inputs.in.end: expected true or false, got "yes"` {
		t.Error(err)
	}
	if got, err := input(t, "key: event.k", "sequence: event.s").IsEnd(record(t, f, "", `{"last":true}`)); got || err != nil {
		t.Error(got, err)
	}
}

// The expectation is the state's JSON, or the error behind the path.
func TestUpdate(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ update, event, state, want string }{
		{`event`, `{"b":1,"a":[2.50,1e2,-0.0,"\u00e9\u2028<"]}`, ``, `{"a":[2.5,100,0,"é` + "\u2028" + `<"],"b":1}`},
		{`event.n + 1`, `{"n":9007199254740993}`, ``, `9007199254740994`},
		{`{"n": event.n / 2, "m": event.n % 2}`, `{"n":7}`, ``, `{"m":1,"n":3.5}`},
		{`{"n": event.n / 2}`, `{"n":8}`, ``, `{"n":4}`},
		{
			`[event.f * 2e18, event.f * 2e18 + 1e18, event.f * 6e18, 1e21, 1e300, -1.5e-7]`, `{"f":4.5}`, ``,
			`[9000000000000000000,10000000000000000000,27000000000000000000,1e+21,1e+300,-1.5e-7]`,
		},
		{`state.n + 0.5`, `{}`, `{"n":0.5}`, `1`},
		{`event.x`, `{}`, ``, ``},
		{`event.x ?? "none"`, `{}`, ``, `"none"`},
		{`event.x?.y`, `{}`, ``, ``},
		{`event.m == {"b": 1} && 1 in event.l && event.n in [1, 2] && event.l == [1, 2]`, `{"m":{"b":1},"l":[1,2],"n":2}`, ``, `true`},
		{`split("b,a", ",")`, `{}`, ``, `["b","a"]`},
		{`groupBy(event.l, # % 2)`, `{"l":[1,2,3]}`, ``, `{"0":[2],"1":[1,3]}`},
		{`groupBy(event.l, #)`, `{"l":[1,"1"]}`, ``, `a map with the keys 1 and "1" cannot be a state`},
		{`groupBy(event.l, # > 1)`, `{"l":[1]}`, ``, `a map with a key that is neither text nor a whole number cannot be a state`},
		{`1..3`, `{}`, ``, `[1,2,3]`},
		{`[keys(event), values(event), toPairs(event)]`, `{"c":1,"a":2,"b":3}`, ``, `[["a","b","c"],[2,3,1],[["a",2],["b",3],["c",1]]]`},
		{`keys(event.l)`, `{"l":[1]}`, ``, `expected a map, got a list`},
		{`fromJSON(toJSON({"b": event.n, "a": [1]}))`, `{"n":9007199254740993}`, ``, `{"a":[1],"b":9007199254740993}`},
		{`toJSON({"b": 1, "a": "<"})`, `{}`, ``, `"{\"a\":\"<\",\"b\":1}"`},
		{`fromJSON("{")`, `{}`, ``, `jsontext: unexpected EOF after offset 1`},
		{`millis("1970-01-01T00:00:01.5+00:00")`, `{}`, ``, `1500`},
		{`millis("soon")`, `{}`, ``, `millis: "soon" is not a time as in 2006-01-02T15:04:05Z`},
		{`sha256("abc")`, `{}`, ``, `"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"`},
		{`[key, meta.sequence, meta.version, meta.epoch, meta.time, meta.id, meta.class]`, `{}`, ``, `["e",4,5,6,7,"i","c"]`},
		{`{"m": meta}`, `{}`, ``, `{"m":{"class":"c","epoch":6,"id":"i","sequence":4,"time":7,"version":5}}`},
		{`state + event.x`, `{"x":1}`, `{"a":1}`, `invalid operation: map[string]interface {} + int`},
		{`event.s - 1`, `{"s":"x"}`, ``, `invalid operation: string - int`},
		{`1 / event.z`, `{"z":0}`, ``, `+Inf is not a number that JSON can hold`},
		{`{"b": 1 / event.z, "a": 0 / event.z}`, `{"z":0}`, ``, `+Inf is not a number that JSON can hold`},
		{`event.n % event.z`, `{"n":1,"z":0}`, ``, `integer divide by zero`},
		{`event.s[0:1]`, `{"s":"é"}`, ``, `text "\xc3" is not UTF-8`},
		{`map(1..2000000, 1)`, `{}`, ``, `memory budget exceeded`},
		{`reduce(1..60, [#acc, #acc], 1)`, `{}`, ``, `the result takes more than 921600 bytes`},
		{`repeat("x", 921600)`, `{}`, ``, `the result takes more than 921600 bytes`},
		{`repeat(event.c, 200000)`, `{"c":"\u0001"}`, ``, `the result takes more than 921600 bytes`},
		{`{"a": 1 / 0, "b": repeat("x", 921600)}`, `{}`, ``, `the result takes more than 921600 bytes`},
	} {
		f := updating(t, c.update)
		event := record(t, f, "", c.event).Value
		var state any
		if c.state != "" {
			state = record(t, f, "", c.state).Value
		}
		m := policies.Metadata{Entity: "e", HasSequence: true, Sequence: 4, Version: 5, Epoch: 6, EventTime: 7, ID: "i", Class: "c"}
		var first string
		for range 20 { // the same every time, in whatever order Go visits maps
			v, err := f.Update(&m, event, state)
			var got string
			switch {
			case err != nil:
				var at *config.EvalError
				if !errors.As(err, &at) || at.Line != 7 || at.Path != "steps.st.state.update" {
					t.Fatalf("%s: %v", c.update, err)
				}
				got = at.Text
			case v != nil:
				text, err := f.EncodeState(nil, v)
				if err != nil {
					t.Fatalf("%s: %v", c.update, err)
				}
				got = string(text)
				back, err := f.DecodeState(text)
				if diff := cmp.Diff(v, back); diff != "" || err != nil {
					t.Fatalf("%s: %s %v", c.update, diff, err)
				}
			}
			if first == "" {
				first = got
			}
			if got != c.want || got != first {
				t.Errorf("%s:\n got %s\nwant %s", c.update, got, c.want)
				break
			}
		}
	}
}

func TestUpdateBeginsWithInitialAndNilDeletes(t *testing.T) {
	t.Parallel()
	f := parse(t, strings.Replace(small, "{update: 'UPDATE'}", `{initial: {n: 1, l: [1, 2.0, x, true, null, {y: "2"}]}, update: 'event.gone ? nil : state'}`, 1), noEnv)
	m := &policies.Metadata{}
	got, err := f.Update(m, map[string]any{"gone": false}, nil)
	want := map[string]any{"n": 1, "l": []any{1, 2, "x", true, nil, map[string]any{"y": "2"}}}
	if diff := cmp.Diff(any(want), got); diff != "" || err != nil {
		t.Fatal(diff, err)
	}
	for _, event := range []any{nil, map[string]any{"gone": true}} {
		if got, err := f.Update(m, event, want); got != nil || err != nil {
			t.Fatal(got, err)
		}
	}
}

func TestUpdateLeavesItsArgumentsAlone(t *testing.T) {
	t.Parallel()
	f := updating(t, "[event, state]")
	make := func() any { return map[string]any{"list": []any{1.0, []string{"a"}}, "n": 2.0} }
	event, state := make(), make()
	got, err := f.Update(&policies.Metadata{}, event, state)
	canonical := map[string]any{"list": []any{1, []any{"a"}}, "n": 2}
	if diff := cmp.Diff(any([]any{canonical, canonical}), got); diff != "" || err != nil {
		t.Fatal(diff, err)
	}
	if diff := cmp.Diff([]any{make(), make()}, []any{event, state}); diff != "" {
		t.Fatal(diff)
	}
}

func TestUpdateErrorPointsIntoABlock(t *testing.T) {
	t.Parallel()
	text := strings.Replace(small, "  - {name: st, from: o, state: {update: 'UPDATE'}}", "  - name: st\n    from: o\n    state:\n      update: |\n        {\n          \"a\": event.x,\n          \"é\": event.y + 1\n        }", 1)
	f := parse(t, text, noEnv)
	_, err := f.Update(&policies.Metadata{}, map[string]any{}, nil)
	if want := "f.yaml:13:24: steps.st.state.update: invalid operation: <nil> + int"; err == nil || err.Error() != want {
		t.Fatalf("%v, want %s", err, want)
	}
}

// An update changes neither the state nor the event that it was given, and gives
// the same however often and by whomever it is asked.
func TestUpdateIsAFunction(t *testing.T) {
	t.Parallel()
	f, err := config.Load("../../examples/permits/streamrun.yaml")
	if err != nil {
		t.Fatal(err)
	}
	event := record(t, f, "", `{"activity":"a","event_time":"2010-10-02T09:20:39.266000+02:00","department":"D","resource":"r","last":false}`).Value
	m := &policies.Metadata{Entity: "case-1", EventTime: 1286004039266}
	state, err := f.Update(m, event, nil)
	if err != nil {
		t.Fatal(err)
	}
	before, _ := f.EncodeState(nil, state)
	want, err := f.Update(m, event, state)
	if err != nil {
		t.Fatal(err)
	}
	t.Run("group", func(t *testing.T) {
		for range 4 {
			t.Run("", func(t *testing.T) {
				t.Parallel()
				for range 200 {
					got, err := f.Update(m, event, state)
					if diff := cmp.Diff(want, got); diff != "" || err != nil {
						t.Fatal(diff, err)
					}
				}
			})
		}
	})
	if after, _ := f.EncodeState(nil, state); string(after) != string(before) {
		t.Fatalf("the state changed: %s", after)
	}
}

func TestOrderShowsInTheStateOfPermits(t *testing.T) {
	t.Parallel()
	f, err := config.Load("../../examples/permits/streamrun.yaml")
	if err != nil {
		t.Fatal(err)
	}
	events := []string{
		`{"activity":"a","event_time":"2010-10-02T09:00:00+02:00","department":"General","resource":"r1","last":false}`,
		`{"activity":"b","event_time":"2010-10-03T09:00:00+02:00","department":"Experts","resource":"r1","last":false}`,
		`{"activity":"c","event_time":"2010-10-04T21:00:00+02:00","department":"General","resource":"r2","last":true}`,
	}
	fold := func(order ...int) string {
		var state any
		for _, i := range order {
			e := record(t, f, "", events[i])
			m, _ := f.Metadata(&config.Record{Value: e.Value})
			if state, err = f.Update(&m, e.Value, state); err != nil {
				t.Fatal(err)
			}
		}
		text, err := f.EncodeState(nil, state)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	seen := map[string]bool{}
	for _, order := range [][]int{{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}} {
		seen[fold(order...)] = true
	}
	if len(seen) != 6 {
		t.Fatalf("%d states of 6 orders", len(seen))
	}
}

// The library's own encoder, and reading back what it wrote, is the slow way to make
// a value canonical.
func TestStatesAreCanonical(t *testing.T) {
	t.Parallel()
	f := updating(t, "event")
	value := rapid.Deferred(func() *rapid.Generator[any] { return anyValue(3) })
	rapid.Check(t, func(rt *rapid.T) {
		v := map[string]any{"v": value.Draw(rt, "value")}
		written, err := json.Marshal(v)
		if err != nil {
			rt.Fatal(err)
		}
		want, err := f.Decode(written)
		if err != nil {
			rt.Fatal(err)
		}
		got, err := f.Update(&policies.Metadata{}, v, nil)
		if err != nil {
			rt.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			rt.Fatalf("%s\n%s", written, diff)
		}
		text, err := f.EncodeState(nil, got)
		if err != nil {
			rt.Fatal(err)
		}
		twin, err := json.Marshal(got, json.Deterministic(true))
		if err != nil || string(text) != string(twin) {
			rt.Fatalf("%s, want %s (%v)", text, twin, err)
		}
	})
}

// notHuge leaves out the whole floats that become exact integers: the library writes
// their shortest digits, which are another integer.
func notHuge(f float64) any {
	if f = math.Abs(f); f >= 1<<53 && f < 1<<63 {
		return 1.5
	}
	return f
}

func anyValue(depth int) *rapid.Generator[any] {
	kinds := []*rapid.Generator[any]{
		rapid.Just[any](nil), rapid.Bool().AsAny(), rapid.Int().AsAny(), rapid.StringN(0, 8, -1).AsAny(),
		rapid.Map(rapid.Float64(), notHuge), rapid.Map(rapid.IntRange(-70, 70), func(e int) any { return notHuge(math.Ldexp(1.5, e)) }),
		rapid.Map(rapid.SliceOfN(rapid.StringN(0, 3, -1), 0, 3), func(s []string) any { return s }),
	}
	if depth > 0 {
		kinds = append(kinds,
			rapid.Map(rapid.SliceOfN(anyValue(depth-1), 0, 4), func(l []any) any { return l }),
			rapid.Map(rapid.MapOfN(rapid.StringN(0, 4, -1), anyValue(depth-1), 0, 4), func(m map[string]any) any { return m }))
	}
	return rapid.OneOf(kinds...)
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"a":[1,2.5,1e3,"x",true,null,{}],"b":9007199254740993}`))
	f.Add([]byte(`-0.0`))
	f.Add([]byte(`9223372036854775808`))
	text, err := os.ReadFile(whole)
	if err != nil {
		f.Fatal(err)
	}
	file, err := config.Parse("f.yaml", text, noEnv)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		v, err := file.Decode(value)
		if err != nil {
			return
		}
		once, err := file.EncodeState(nil, v)
		if err != nil {
			t.Fatalf("%q was decoded and cannot be encoded: %v", value, err)
		}
		back, err := file.DecodeState(once)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(v, back); diff != "" {
			t.Fatalf("%q: %s", value, diff)
		}
		m, _ := file.Metadata(&config.Record{Value: v})
		_, _ = file.Update(&m, v, nil)
		_, _ = file.IsEnd(&config.Record{Value: v})
	})
}
