package imports

// A room is a row of the table: one package, or with /... all below it too. A
// package's row is its own, else the one with the longest path that fits.
type room struct {
	path    string   // below the module
	imports []string // rooms that it may import, in the same notation
	tests   []string // rooms that only its tests may import, besides
	never   []string // rooms that it must not reach on any path
	why     string
}

// rooms is the table of rooms.
func rooms() []room {
	const (
		leaf     = "it is a leaf that everybody may import, so it imports nobody"
		pure     = "it decides and does nothing, so that what it decides can be tested without a broker, clock or disk"
		operator = "operators stand on the public API alone, so that a user's own operator has equal rights"
		driver   = "it knows the seam and one thing behind it; whoever uses the seam must not notice which"
		shell    = "it carries out what pure parts decide"
		witness  = "it is an independent witness: an error that it shared with what it judges would go unseen"
		user     = "it uses the project as others do; internal parts are out of reach for those"
	)
	api := []string{"topology", "topology/serde", "topology/topologytest", "topology/runner", "topology/security", "topology/command", "processors/...", "reorder", "policies/...", "statestore/..."}
	return []room{
		{path: "policies", why: leaf},
		{path: "policies/producer", imports: []string{"policies"}, why: "producers link it without the rest"},
		{path: "topology/serde", why: leaf},
		{path: "topology/internal/record", why: leaf},
		{path: "topology/security", why: leaf},

		{path: "statestore", imports: []string{"topology/serde", "topology/internal/record", "policies"}, tests: []string{"statestore/storetest"}, why: pure},
		{path: "statestore/storetest", imports: []string{"statestore", "topology/serde"}, why: "back ends outside the project run it too"},
		{path: "statestore/badgerdb", imports: []string{"statestore"}, tests: []string{"statestore/storetest", "topology/serde"}, why: "a back end knows stores as bytes only"},
		{path: "statestore/gokastore", imports: []string{"statestore", "statestore/badgerdb"}, tests: []string{"statestore/storetest", "topology/embedded"}, why: "a back end knows stores as bytes only"},

		{path: "topology/internal/graph", imports: []string{"statestore", "topology/serde", "topology/internal/record", "policies"}, why: pure},
		{
			path:    "topology",
			imports: []string{"topology/internal/graph", "topology/internal/record", "topology/serde", "statestore", "policies"},
			tests:   []string{"topology/topologytest", "processors", "reorder"},
			why:     "the vocabulary builds and validates; it runs nothing, so it never imports the task or the runner",
		},
		{
			path:    "topology/internal/task",
			imports: []string{"topology", "topology/internal/graph", "topology/internal/record", "topology/serde", "statestore", "policies"},
			tests:   []string{"processors", "reorder"},
			why:     "the task knows orders and processors by their interfaces; " + pure,
		},
		{
			path:    "topology/topologytest",
			imports: []string{"topology", "topology/internal/graph", "topology/internal/record", "topology/internal/task", "topology/serde", "statestore", "policies"},
			tests:   []string{"processors", "reorder"},
			why:     "users test with the real task and without a broker",
		},

		{path: "topology/internal/kafka", imports: []string{"topology/internal/record"}, why: "the seam names what is needed of Kafka; drivers are behind it"},
		{path: "topology/internal/kafka/assign", imports: []string{"topology/internal/record"}, why: "who gets which task is a function of its arguments, the same for all drivers"},
		{path: "topology/internal/kafka/mem", imports: []string{"topology/internal/kafka", "topology/internal/kafka/assign", "topology/internal/record"}, tests: []string{"topology/internal/kafka/kafkatest"}, why: driver},
		{path: "topology/internal/kafka/wire", imports: []string{"topology/internal/kafka", "topology/internal/kafka/assign", "topology/internal/record", "topology/security"}, tests: []string{"topology/internal/kafka/kafkatest", "topology/embedded"}, why: driver},
		{path: "topology/internal/kafka/kafkatest", imports: []string{"topology/internal/kafka", "topology/internal/record"}, why: "one suite for all drivers knows none of them"},
		{path: "topology/internal/metrics", imports: []string{"policies"}, why: "names and help of the metrics, and nothing that is measured"},
		{path: "topology/internal/simulation", why: pure},
		{path: "topology/embedded", why: "the broker knows nothing of its clients"},

		{path: "processors", imports: []string{"topology", "topology/serde", "statestore", "policies"}, tests: []string{"topology/topologytest"}, why: operator},
		{path: "processors/webhook", imports: []string{"topology", "processors", "policies"}, tests: []string{"topology/topologytest", "topology/serde"}, why: operator},
		{path: "processors/sqlsink", imports: []string{"topology", "processors", "policies"}, tests: []string{"topology/topologytest", "topology/serde"}, why: operator},
		{path: "processors/gokagroup", imports: []string{"topology", "processors", "policies", "statestore"}, tests: []string{"topology/embedded"}, why: operator},

		{
			path:    "reorder",
			imports: []string{"topology", "topology/serde", "statestore", "policies"},
			tests:   []string{"reorder/scenario", "reorder/host", "reorder/internal/twin", "topology/topologytest", "processors"},
			why:     operator + "; sequencer and machine are pure",
		},
		{path: "reorder/scenario", imports: []string{"policies"}, tests: []string{"reorder/host", "reorder/internal/twin"}, why: "cases drive the twin and the production code alike and know neither"},
		{path: "reorder/host", imports: []string{"reorder", "reorder/scenario", "topology", "policies"}, tests: []string{"reorder/internal/twin"}, why: pure},
		{
			path:    "reorder/internal/twin",
			imports: []string{"reorder/scenario", "policies"},
			never:   []string{"reorder", "reorder/host", "topology/..."},
			why:     witness,
		},

		{
			path:    "topology/runner/...",
			imports: []string{"topology", "topology/internal/graph", "topology/internal/record", "topology/internal/task", "topology/internal/kafka", "topology/internal/kafka/wire", "topology/internal/metrics", "topology/security", "topology/serde", "statestore", "statestore/badgerdb", "policies"},
			tests:   []string{"topology/internal/kafka/mem", "topology/internal/kafka/kafkatest", "topology/internal/simulation", "topology/embedded", "processors", "reorder"},
			why:     shell + "; it knows orders and operators by the topology only",
		},
		{
			path:    "topology/runner/internal/meta",
			imports: []string{"policies", "topology/internal/task", "topology/internal/record"},
			why:     "what is recorded, and what it allows, are functions of records and plans",
		},
		{
			path:    "topology/runner/internal/decide",
			imports: []string{"topology/internal/record", "policies"},
			why:     pure,
		},
		{
			path:    "topology/config/...",
			imports: []string{"topology", "topology/security", "topology/serde", "processors/...", "reorder", "policies", "statestore"},
			tests:   []string{"topology/topologytest"},
			why:     "it turns a file into what a program would have built, through the same API",
		},
		{
			path:    "topology/command",
			imports: []string{"topology/...", "processors/...", "reorder", "reorder/scenario", "reorder/host", "policies/...", "statestore/..."},
			why:     "the command line puts everything together",
		},
		{path: "topology/command/internal/feed", why: pure},
		{path: "topology/command/internal/generate", why: pure},
		{
			path:    "topology/command/internal/fold",
			imports: []string{"topology/config/...", "topology/serde", "policies"},
			never:   []string{"reorder/...", "topology/internal/task", "topology/runner/..."},
			why:     witness,
		},
		{
			path:    "topology/command/internal/...",
			imports: []string{"topology/...", "processors/...", "reorder", "reorder/scenario", "reorder/host", "policies/...", "statestore/..."},
			why:     "the command line puts everything together",
		},

		{path: "cmd/streamrun", imports: []string{"topology/command"}, why: "the program is the command library with nothing added, so that a user's own program has the same verbs"},
		{path: "examples/...", imports: api, why: user},
		{path: "integration/history", never: []string{"topology/...", "reorder/...", "processors/...", "statestore/...", "policies/..."}, why: witness},
		{path: "integration/...", imports: []string{"cmd/...", "examples/...", "topology/...", "processors/...", "reorder/...", "policies/...", "statestore/..."}, why: "truths that need everything stand above everything"},
	}
}

// A home is a library and the only rooms that import it.
type home struct {
	library string   // a module, or a part of one
	rooms   []string // in the notation of room.path; nil: tests only
	why     string
}

// homes is the table of libraries. A library that is not in it is not used.
func homes() []home {
	const (
		oneHome = "a library has one home, so that it can be replaced there and its faults are looked for there"
		test    = "it serves tests"
	)
	goka := []string{"statestore/gokastore", "processors/gokagroup", "integration/..."}
	return []home{
		{"github.com/xdg-go/scram", []string{"topology/internal/kafka/wire"}, oneHome},
		{"github.com/IBM/sarama", []string{"topology/internal/kafka/wire", "statestore/gokastore", "processors/gokagroup", "integration/..."}, "the seam to Kafka hides the client; only where a foreign API has sarama's types is it seen"},
		{"github.com/lovoo/goka", goka, "goka is the table plane; the write plane stands without it"},
		{"github.com/dgraph-io/badger", []string{"statestore/badgerdb"}, "its settings decide about durability and are made in one place"},
		{"github.com/prometheus/client_golang", []string{"topology/internal/metrics"}, "names, labels and help of every metric are one list"},
		{"github.com/twmb/franz-go/pkg/kfake", []string{"topology/embedded"}, "the embedded broker is replaceable; nothing else may lean on it"},
		{"github.com/twmb/franz-go", []string{"topology/embedded", "integration/history", "integration/torture"}, "a judge that read by our own client would not see what that client gets wrong"},

		{"github.com/spf13/cobra", []string{"topology/command"}, oneHome},
		{"github.com/spf13/pflag", []string{"topology/command"}, oneHome},
		{"github.com/goccy/go-yaml", []string{"topology/config/...", "reorder/scenario"}, oneHome},
		{"github.com/expr-lang/expr", []string{"topology/config/..."}, "expressions must be deterministic; what they may call is decided in one place"},
		{"github.com/invopop/jsonschema", []string{"topology/config/..."}, oneHome},
		{"github.com/santhosh-tekuri/jsonschema", []string{"topology/config/..."}, oneHome},
		{"github.com/go-json-experiment/json", []string{"topology/config/...", "topology/serde", "topology/command", "topology/command/internal/..."}, "JSON that is state must come out byte for byte the same"},
		{"github.com/failsafe-go/failsafe-go", []string{"topology/runner/..."}, oneHome},
		{"github.com/jackc/pgx", []string{"processors/sqlsink"}, oneHome},
		{"github.com/tidwall/btree", []string{"reorder", "statestore", "topology/internal/task"}, "sorted rows in memory"},
		{"github.com/cespare/xxhash", []string{"reorder", "statestore/...", "topology/internal/task", "topology/internal/graph"}, "hashes that are stored are of one kind"},

		{"github.com/google/go-cmp", []string{"reorder/scenario", "topology/internal/kafka/kafkatest", "statestore/storetest", "topology/topologytest"}, test},
		{"pgregory.net/rapid", []string{"statestore/storetest"}, test},
		{"github.com/cockroachdb/datadriven", nil, test},
		{"github.com/rogpeppe/go-internal", nil, test},
		{"go.uber.org/goleak", []string{"topology/internal/kafka/kafkatest"}, test},
	}
}

// testLibraries are those that every test file may import.
func testLibraries() []string {
	return []string{"github.com/google/go-cmp", "pgregory.net/rapid", "github.com/cockroachdb/datadriven", "github.com/rogpeppe/go-internal", "go.uber.org/goleak"}
}
