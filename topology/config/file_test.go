package config_test

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/streamrun/streamrun/policies"
	"github.com/streamrun/streamrun/topology"
	"github.com/streamrun/streamrun/topology/config"
	"github.com/streamrun/streamrun/topology/security"
)

// The file of the package comment, with every key.
const whole = "testdata/whole.yaml"

const small = `version: 1
name: a
contract: {events_for: x, because: y}
inputs: {in: {topic: t-in, key: event.k, sequence: event.s}}
steps:
  - {name: o, from: in, in_order: true}
  - {name: st, from: o, state: {update: 'UPDATE'}}
outputs: {out: {from: st, kind: table, topic: t-out}}
dlq: {topic: t-dlq}
`

func parse(t testing.TB, text string, getenv func(string) (string, bool)) *config.File {
	t.Helper()
	f, err := config.Parse("f.yaml", []byte(text), getenv)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

var public = cmp.Options{
	cmpopts.IgnoreUnexported(config.File{}, config.Input{}, config.State{}),
	cmp.Comparer(func(a, b policies.Start) bool { return a == b }),
}

func TestWholeFileSaysEveryKey(t *testing.T) {
	t.Parallel()
	f, err := config.Load(whole)
	if err != nil {
		t.Fatal(err)
	}
	want := &config.File{
		Path: whole,
		Name: "order-totals",
		Contract: policies.Contract{
			EventsFor: "order_id", Because: "a payment applied after a cancellation would charge a closed order",
			Shape: policies.Command, OrderBy: policies.BySequence, Start: policies.StartAt(5), Reset: policies.ResetEpoch,
			Gap: policies.GapRetry, OnTimeout: policies.OnTimeoutSkip, OnOverflow: policies.OnOverflowPark,
			MaxWait: 90 * time.Second, MaxHeld: 11, IDMemory: 12, MaxHoles: 13, MaxDLQ: 14, MaxJump: 15,
			Retry: policies.Retry{Max: 4, Delay: 200 * time.Millisecond}, Buffer: policies.BufferDurable,
			OnVersionBackward: policies.VersionReject, MaxFuture: time.Minute, Causal: true, MaxDepth: 7,
			Class: policies.Class{
				Early: policies.EarlyWait, Late: policies.LateDrop, Duplicate: policies.DuplicateReject,
				Conflict: policies.ConflictPark, Poison: policies.PoisonSkip, Effects: policies.EffectsNever,
			},
			Classes: map[string]policies.Class{"viewed": {
				Early: policies.EarlyApply, Late: policies.LateReject, Duplicate: policies.DuplicateDrop,
				Conflict: policies.ConflictReject, Poison: policies.PoisonPark, Effects: policies.EffectsInOrder,
			}},
		},
		Kafka: config.Kafka{
			Brokers: []string{"a:9092", "b:9092", "c:9092"}, Guarantee: config.AtLeastOnce,
			CommitInterval: 50 * time.Millisecond, TransactionTimeout: 20 * time.Second, TimeoutAt: "testdata/whole.yaml:39:3", Compression: config.Zstd,
			Security: security.Security{
				TLS:  &security.TLS{CA: "ca.pem", Cert: "app.pem", Key: "app.key", ServerName: "kafka.internal"},
				SASL: &security.SASL{Mechanism: security.ScramSHA512, User: "orders", Password: security.Secret{Env: "KAFKA_PASSWORD"}},
			},
		},
		StoreKind: config.Badger,
		Standbys:  2,
		Input:     config.Input{Name: "orders", Topic: "orders", Partitions: 8, Undecodable: topology.BatchSkip},
		InOrder:   config.InOrder{Name: "in_order", Was: "ordered", WasAt: "testdata/whole.yaml:78:10"},
		State:     config.State{Name: "totals", Store: "order_totals", Initial: map[string]any{"total": 0, "lines": []any{}}},
		Output:    config.Output{Name: "order_totals", Topic: "order-totals", Partitions: 12},
		DLQ:       config.DLQ{Topic: "order-totals.dlq"},
	}
	if diff := cmp.Diff(want, f, public); diff != "" {
		t.Fatal(diff)
	}
	if !f.Input.HasEnd() {
		t.Fatal("no end")
	}
}

func TestSmallFileHasDefaults(t *testing.T) {
	t.Parallel()
	f := parse(t, strings.Replace(small, "UPDATE", "event", 1), noEnv)
	want := &config.File{
		Path:     "f.yaml",
		Name:     "a",
		Contract: policies.Contract{EventsFor: "x", Because: "y"}.WithDefaults(),
		Kafka: config.Kafka{
			Guarantee:      config.ExactlyOnce,
			CommitInterval: 100 * time.Millisecond, TransactionTimeout: 10 * time.Second, Compression: config.NoCompression,
		},
		Input:   config.Input{Name: "in", Topic: "t-in", Undecodable: topology.BatchStop},
		InOrder: config.InOrder{Name: "o"},
		State:   config.State{Name: "st", Store: "st", Initial: map[string]any{}},
		Output:  config.Output{Name: "out", Topic: "t-out"},
		DLQ:     config.DLQ{Topic: "t-dlq"},
	}
	if diff := cmp.Diff(want, f, public); diff != "" {
		t.Fatal(diff)
	}
}

// The package comment shows every key with its default: as a file, it gives the
// defaults where it says so, and it is right.
func TestPackageCommentIsAFile(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	_, text, ok := strings.Cut(string(doc), "//\tversion: 1")
	if !ok {
		t.Fatal("no example")
	}
	var b strings.Builder
	for _, line := range strings.Split("//\tversion: 1"+text, "\n") {
		line, ok := strings.CutPrefix(line, "//")
		if !ok || (line != "" && line[0] != '\t') {
			break
		}
		b.WriteString(strings.TrimPrefix(line, "\t") + "\n")
	}
	f := parse(t, b.String(), noEnv)
	want := policies.Contract{
		EventsFor: "order_id", Because: "a payment applied after a cancellation would charge a closed order",
		Classes: map[string]policies.Class{"viewed": {Early: policies.EarlyApply, Late: policies.LateDrop}},
	}.WithDefaults()
	if diff := cmp.Diff(want, f.Contract, public); diff != "" {
		t.Fatalf("defaults of the contract: %s", diff)
	}
	if f.Kafka.CommitInterval != config.DefaultCommitInterval ||
		f.Kafka.TransactionTimeout != config.DefaultTransactionTimeout || f.Kafka.Guarantee != config.ExactlyOnce {
		t.Fatalf("defaults of kafka: %+v", f.Kafka)
	}
}

func TestTheWaitMayBeEstimated(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]policies.Contract{
		"max_wait: 5s":                 {MaxWait: 5 * time.Second},
		"max_wait: ${WAIT:auto}":       {AutoWait: true, MinWait: policies.DefaultMinWait, MaxWait: policies.DefaultMaxWait},
		"max_wait: auto":               {AutoWait: true, MinWait: policies.DefaultMinWait, MaxWait: policies.DefaultMaxWait},
		"max_wait: {min: 1s}":          {AutoWait: true, MinWait: time.Second, MaxWait: policies.DefaultMaxWait},
		"max_wait: {max: 5ms}":         {AutoWait: true, MinWait: 5 * time.Millisecond, MaxWait: 5 * time.Millisecond},
		"max_wait: {min: 1s, max: 1m}": {AutoWait: true, MinWait: time.Second, MaxWait: time.Minute},
	} {
		c := parse(t, strings.NewReplacer("contract: {events_for: x, because: y}", "contract:\n  events_for: x\n  because: y\n  "+text, "UPDATE", "event").Replace(small), noEnv).Contract
		if c.AutoWait != want.AutoWait || c.MinWait != want.MinWait || c.MaxWait != want.MaxWait {
			t.Errorf("%s: %t, %s to %s", text, c.AutoWait, c.MinWait, c.MaxWait)
		}
	}
}

func TestTheCommitIntervalMayBeAuto(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Duration{
		"2ms": 2 * time.Millisecond, "auto": config.AutoInterval, `"${EVERY}"`: config.AutoInterval, "${NONE:auto}": config.AutoInterval,
	} {
		text = strings.Replace(small, "UPDATE", "event", 1) + "kafka:\n  commit_interval: " + text + "\n"
		if got := parse(t, text, envOf("EVERY", "auto")).Kafka.CommitInterval; got != want {
			t.Errorf("%s: %s", text, got)
		}
	}
}

func TestVariablesAreValuesNotStructure(t *testing.T) {
	t.Parallel()
	text := strings.NewReplacer(
		"because: y", `because: "${WHY:it is so}; costs $${5}"`,
		"x, because", "${X}, because",
		"topic: t-dlq", "topic: \"${DLQ}\", topic: \"${DLQ}\"",
	).Replace(strings.Replace(small, "UPDATE", "event", 1))
	// Unquoted ${X} inside {} is not YAML.
	if _, err := config.Parse("f.yaml", []byte(text), noEnv); err == nil || !strings.Contains(err.Error(), `must be quoted: "${NAME}"`) {
		t.Fatal(err)
	}
	text = strings.NewReplacer("${X}, because", `"${X}", because`, `topic: "${DLQ}", topic`, "topic").Replace(text)
	f := parse(t, text, envOf("X", "a: {b: ${Y}}, #", "DLQ", "dead", "WHY", ""))
	if got, want := f.Contract.EventsFor, "a: {b: ${Y}}, #"; got != want {
		// A value of a variable is neither read as YAML nor substituted again.
		t.Fatalf("%q", got)
	}
}

func TestVariablesInNumbersAndDefaults(t *testing.T) {
	t.Parallel()
	text := strings.NewReplacer(
		"contract: {", "contract: {max_held: \"${HELD}\", start: \"${START:7}\", causal: \"${CAUSAL:false}\", max_wait: \"${WAIT:}5s\", ",
		"topic: t-dlq", "topic: \"${A:}${B:x.}dlq\"",
		"UPDATE", `"$${A}" + event.x`,
	).Replace(small)
	f := parse(t, text, envOf("HELD", "12", "WAIT", "1"))
	if f.Contract.MaxHeld != 12 || f.Contract.Start.At() != 7 || f.Contract.MaxWait != 15*time.Second || f.DLQ.Topic != "x.dlq" {
		t.Fatalf("%+v %+v", f.Contract, f.DLQ)
	}
	got, err := f.Update(&policies.Metadata{}, map[string]any{"x": "!"}, nil)
	if err != nil || got != "${A}!" {
		t.Fatal(got, err)
	}
}

func TestRetryMaxZeroIsNone(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int{"retry: {max: 0}": -1, "retry: {max: 2}": 2, "retry: {delay: 1s}": policies.DefaultRetries, "retry:": policies.DefaultRetries} {
		f := parse(t, strings.NewReplacer("contract: {events_for: x, because: y}", "contract:\n  events_for: x\n  because: y\n  "+text, "UPDATE", "event").Replace(small), noEnv)
		if f.Contract.Retry.Max != want {
			t.Errorf("%s: %+v", text, f.Contract.Retry)
		}
	}
}

// Whether a contract contradicts itself depends on the guarantee of the file.
func TestTheGuaranteeBelongsToTheContract(t *testing.T) {
	t.Parallel()
	text := strings.NewReplacer("because: y", "because: y, order_by: version, buffer: volatile",
		"sequence: event.s", "version: event.v, id: event.id", "UPDATE", "event").Replace(small)
	if _, err := config.Parse("f.yaml", []byte(text), noEnv); err == nil || !strings.Contains(err.Error(), "contract.buffer") {
		t.Fatal(err)
	}
	parse(t, text+"kafka: {guarantee: at_least_once}\n", noEnv)
}

func TestTextPointsAtThePlace(t *testing.T) {
	t.Parallel()
	_, err := config.Parse("f.yaml", []byte(strings.Replace(small, "UPDATE", "évent.x + 1", 1)), noEnv)
	var all *config.Error
	if !errors.As(err, &all) {
		t.Fatal(err)
	}
	want := `f.yaml:7:42: steps.st.state.update: unknown name évent (did you mean "event"?) [SR1009]
    7 |   - {name: st, from: o, state: {update: 'évent.x + 1'}}
                                                 ^
`
	if got := all.Text(); got != want {
		t.Fatalf("got\n%s\nwant\n%s", got, want)
	}
}

func TestAByteOrderMarkIsSkipped(t *testing.T) {
	t.Parallel()
	text := strings.Replace(small, "UPDATE", "event", 1)
	if f := parse(t, "\ufeff"+text, noEnv); f.Name != "a" {
		t.Fatalf("%+v", f)
	}
	_, err := config.Parse("f.yaml", []byte("\ufeff\ufeff"+text), noEnv)
	if err == nil || !strings.Contains(err.Error(), "f.yaml:1:1: unknown key") {
		t.Fatal(err)
	}
}

func TestATextThatIsNotUTF8SaysWhere(t *testing.T) {
	t.Parallel()
	for bad, want := range map[string]string{
		"\xff":         `f.yaml:3:36: byte 55 of the file (0xff) is not UTF-8; save the file as UTF-8 [SR1001]`,
		"é\ufffdé\xe9": `f.yaml:3:39: byte 62 of the file (0xe9) is not UTF-8; save the file as UTF-8 [SR1001]`,
	} {
		text := strings.NewReplacer("because: y", "because: "+bad, "UPDATE", "event").Replace(small)
		if _, err := config.Parse("f.yaml", []byte(text), noEnv); err == nil || err.Error() != want {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// The parser recurses, and takes quadratic time: depth and size are bounded.
func TestDeepAndLongFilesAreRefused(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		strings.Repeat("[", 200_000):                 "f.yaml:1:65: lists and mappings more than 64 deep [SR1001]",
		strings.Repeat("{a: ", 60_000):               "f.yaml:1:257: lists and mappings more than 64 deep [SR1001]",
		"a: 1\nb:\n" + strings.Repeat("- ", 100_000): "f.yaml:3:129: lists and mappings more than 64 deep [SR1001]",
		strings.Repeat("? ", 100_000):                "f.yaml:1:129: lists and mappings more than 64 deep [SR1001]",
		strings.Repeat("#", 300_000):                 "f.yaml:1:1: the file has 300000 bytes; a topology file has at most 262144 [SR1001]",
	} {
		if _, err := config.Parse("f.yaml", []byte(text), noEnv); err == nil || err.Error() != want {
			t.Errorf("%.10s: %v", text, err)
		}
	}
}

func TestLoadOfAMissingFile(t *testing.T) {
	t.Parallel()
	_, err := config.Load("testdata/none.yaml")
	var all *config.Error
	if err == nil || errors.As(err, &all) || !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
}

func TestExampleIsRight(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"../../examples/permits/streamrun.yaml"} {
		if _, err := config.Load(path); err != nil {
			t.Error(err)
		}
	}
}

// What an update certainly reads of a state must be in the first one.
func TestInitialMustHaveWhatUpdateReads(t *testing.T) {
	t.Parallel()
	for update, field := range map[string]string{
		`{"n": (state.n ?? 0) + 1}`: "n", `[1, event.x > state["m"]]`: "m", `state.a.b`: "a", `len(state.list) + 1`: "list",
		`not (state.on)`: "on", `state.x > 1 ? 1 : 2`: "x", `state.first and event.x`: "first", `event[state.f]`: "f",
		"event": "", `state?.n`: "", `state == nil ? {"a": 1} : {"a": state.a}`: "", `event.x or state.x`: "", `event.n ?? state.n`: "",
		`event.k == "x" && state.k == 1`: "", `map(event.x, state.y)`: "", `state`: "", `{"state": event.state.x}`: "",
	} {
		for _, initial := range []string{"null", "[]", "7", `"x"`} {
			text := strings.NewReplacer("{update: 'UPDATE'}", "{initial: "+initial+", update: '"+update+"'}").Replace(small)
			_, err := config.Parse("f.yaml", []byte(text), noEnv)
			if field == "" && err != nil || field != "" && (err == nil || !strings.Contains(err.Error(), "steps.st.state.initial: update reads state."+field+" whatever the event is")) {
				t.Errorf("%s of %s: %v, want %q", update, initial, err, field)
			}
			if field == "" {
				continue
			}
			// The reason for it: the engine fails.
			f := parse(t, strings.Replace(small, "UPDATE", update, 1), noEnv)
			state := map[string]any{"null": nil, "[]": []any{}, "7": 7, `"x"`: "x"}[initial]
			if state == nil {
				continue // an entity that has no state begins with initial
			}
			if got, err := f.Update(&policies.Metadata{}, map[string]any{"x": 1}, state); err == nil {
				t.Errorf("%s of %s gives %v", update, initial, got)
			}
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, path := range []string{whole, "../../examples/permits/streamrun.yaml", "testdata/bad"} {
		text, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte(small))
	f.Add([]byte(strings.Repeat("[", 1000)))
	f.Add([]byte("? a\n: |2-\n\n   b\r\nc: >+\n"))
	f.Fuzz(func(t *testing.T, src []byte) {
		if len(src) > 4096 {
			return // the parser's time, not ours
		}
		file, err := config.Parse("f.yaml", src, envOf("HOME", "}: {", "KAFKA_BROKERS", "\n"))
		var all *config.Error
		switch {
		case err == nil:
			if file.Name == "" || file.Input.Topic == "" || file.DLQ.Topic == "" {
				t.Fatalf("%+v", file)
			}
			_, _ = file.Metadata(&config.Record{Value: map[string]any{}})
			_, _ = file.Update(&policies.Metadata{}, map[string]any{}, nil)
		case !errors.As(err, &all) || len(all.Problems) == 0:
			t.Fatal(err)
		default:
			for _, p := range all.Problems {
				if p.Line < 1 || p.Col < 1 || p.Text == "" || p.Code == "" {
					t.Fatalf("%+v", p)
				}
			}
			_ = all.Text()
		}
	})
}
