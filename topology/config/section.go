package config

import (
	"fmt"
	"math"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/goccy/go-yaml/ast"

	"github.com/streamrun/streamrun/policies"
	"github.com/streamrun/streamrun/topology"
)

// Defaults of the kafka section.
const (
	DefaultCommitInterval     = 100 * time.Millisecond
	DefaultTransactionTimeout = 10 * time.Second
)

// AutoInterval is the CommitInterval of commit_interval: auto.
const AutoInterval time.Duration = -1

func (r *reader) readKafka(v value) Kafka {
	k := Kafka{
		Guarantee:      ExactlyOnce,
		CommitInterval: DefaultCommitInterval, TransactionTimeout: DefaultTransactionTimeout,
		Compression: NoCompression,
	}
	f := r.mapping(v, "brokers", "guarantee", "partitioner", "commit_interval", "transaction_timeout", "compression", "tls", "sasl")
	if b, ok := f.get("brokers"); ok {
		k.Brokers = r.brokers(b)
	}
	enum(f, "guarantee", &k.Guarantee, ExactlyOnce, AtLeastOnce)
	// Sources that are partitioned otherwise come with a later version; that the key
	// is here now keeps files the same.
	partitioner := "murmur2"
	enum(f, "partitioner", &partitioner, "murmur2")
	enum(f, "compression", &k.Compression, NoCompression, Gzip, Snappy, LZ4, Zstd)
	k.Security = r.readSecurity(f)
	if f.durationOrAuto("commit_interval", time.Millisecond, &k.CommitInterval) {
		k.CommitInterval = AutoInterval
	}
	f.duration("transaction_timeout", time.Second, &k.TransactionTimeout)
	if at, ok := f.keys["transaction_timeout"]; ok {
		k.TimeoutAt = fmt.Sprintf("%s:%d:%d", r.file, at.line, at.col)
	}
	if k.CommitInterval >= k.TransactionTimeout {
		at := f.at
		if p, ok := f.keys["commit_interval"]; ok {
			at = p
		}
		r.add(CodeValue, at, f.path, "commit_interval %s must be shorter than transaction_timeout %s", k.CommitInterval, k.TransactionTimeout)
	}
	return k
}

// IsAddress reports whether text is the address of a broker: host:port, the port a
// number from 1 to 65535.
func IsAddress(text string) bool {
	host, port, err := net.SplitHostPort(text)
	if err != nil || host == "" || strings.ContainsFunc(host, unicode.IsSpace) {
		return false
	}
	n, err := strconv.ParseUint(port, 10, 16)
	return err == nil && n > 0
}

// brokers reads a list of addresses, or one text with commas between them.
func (r *reader) brokers(v value) []string {
	var brokers []string
	add := func(v value, text string) {
		for _, b := range strings.Split(text, ",") {
			b = strings.TrimSpace(b)
			if !IsAddress(b) {
				r.add(CodeValue, v.at, v.path, "%q is not host:port", b)
			}
			brokers = append(brokers, b)
		}
	}
	if _, list := v.node.(*ast.SequenceNode); !list {
		if text, ok := r.text(v); ok {
			add(v, text)
		}
		return brokers
	}
	items, _ := r.list(v)
	for _, item := range items {
		if text, ok := r.text(item); ok {
			add(item, text)
		}
	}
	if len(items) == 0 {
		r.add(CodeValue, v.at, v.path, "has no broker")
	}
	return brokers
}

func (r *reader) readInputs(v value, c policies.Contract, hasContract bool) Input {
	inputs := r.names(v)
	if len(inputs.names) == 0 {
		if !inputs.broken {
			r.add(CodeMissing, v.at, v.path, "has no input: orders: {topic: orders, ...}")
		}
		return Input{}
	}
	r.inputs = inputs.names
	for _, name := range inputs.names[1:] {
		r.add(CodeNotYet, inputs.keys[name], inputs.path, "a second input %q: not in this version, which reads one", name)
	}
	in := Input{Name: inputs.names[0]}
	entry := inputs.entries[in.Name]
	r.checkName(in.Name, inputs.keys[in.Name], entry.path)
	entry.at = inputs.keys[in.Name]

	f := r.mapping(entry, "topic", "partitions", "format", "undecodable_batch",
		"key", "id", "sequence", "version", "epoch", "time", "class", "causation", "end")
	in.Topic = r.topic(f, "the input")
	f.partitions(&in.Partitions)
	format := "json"
	enum(f, "format", &format, "json")
	in.Undecodable = topology.BatchStop
	enum(f, "undecodable_batch", &in.Undecodable, topology.BatchStop, topology.BatchSkip)

	s := inputScope()
	f.require("key", `an expression for the entity of an event, such as "event.order_id"`)
	in.key = f.expression("key", s, wantText)
	in.id = f.expression("id", s, wantText)
	in.sequence = f.expression("sequence", s, wantNumber)
	in.version = f.expression("version", s, wantNumber)
	in.epoch = f.expression("epoch", s, wantNumber)
	in.time = f.expression("time", s, wantTime)
	in.class = f.expression("class", s, wantText)
	in.causation = f.expression("causation", s, wantText)
	in.end = f.expression("end", s, wantBool)
	if hasContract {
		in.checkContract(f, c)
	}
	return in
}

// checkContract asks for the metadata that the contract needs.
func (in Input) checkContract(f fields, c policies.Contract) {
	need := func(needed bool, name, why string) {
		if needed {
			f.require(name, why)
		}
	}
	need(c.OrderBy == policies.BySequence, "sequence", "the contract orders events by their sequence number")
	need(c.OrderBy == policies.ByVersion, "version", "the contract orders events by their version")
	need(c.OrderBy == policies.ByEventTime, "time", "the contract orders events by their time")
	need(c.OrderBy != policies.BySequence, "id", "without a sequence number an event is known by its id alone")
	need(c.Reset == policies.ResetEpoch, "epoch", "the contract starts again when an event has a greater epoch (reset: epoch)")
	need(c.Causal, "causation", "the contract holds an event until its cause is applied (causal: true)")
	need(len(c.Classes) > 0, "class", "the contract has classes")
}

// readSteps reads the one order and the one state that this version has, in any
// order: from: says what follows what.
func (r *reader) readSteps(v value, f *File) {
	var inOrder, state fields
	names := slices.Clone(r.inputs)
	items, ok := r.list(v)
	if !ok {
		return
	}
	for _, item := range items {
		item.path = stepPath(v.path, item)
		step := r.mapping(item, "name", "was", "from", "in_order", "state")
		name := ""
		if n, ok := step.require("name", "a step's name is the identity of what it owns"); ok {
			if name = r.name(n); name != "" && slices.Contains(names, name) {
				r.add(CodeTwice, n.at, n.path, "the name %q is taken by an input or another step", name)
			}
			names = append(names, name)
		}
		_, isOrder := step.entries["in_order"]
		_, isState := step.entries["state"]
		switch {
		case isOrder && isState:
			r.add(CodeValue, step.keys["state"], step.path, "in_order and state are two steps")
		case isOrder && f.InOrder.Name != "", isState && f.State.Name != "":
			r.add(CodeNotYet, step.at, step.path, "a second step of this kind: not in this version, which has one in_order and one state")
		case isOrder:
			inOrder, f.InOrder.Name = step, orElse(name, "?")
			r.readInOrder(step, names, &f.InOrder)
		case isState:
			state, f.State.Name = step, orElse(name, "?")
			if at, ok := step.keys["was"]; ok {
				r.add(CodeValue, at, join(step.path, "was"), "a state that was renamed says in store: what it was")
			}
			r.readState(step, &f.State)
		default:
			if !step.broken {
				r.add(CodeMissing, step.at, step.path, `says not what it does: "in_order: true" or "state: ..."`)
			}
		}
	}
	if f.InOrder.Name == "" {
		r.add(CodeMissing, v.at, v.path, `no step with "in_order: true"; it keeps the contract`)
	}
	if f.State.Name == "" {
		r.add(CodeMissing, v.at, v.path, `no step with "state: ..."`)
	}
	if s := f.State.Store; s != "" && (s == f.Input.Name || s == f.InOrder.Name) {
		r.add(CodeTwice, state.keys["state"], join(state.path, "state.store"), "the name %q is taken by an input or another step", s)
	}
	r.reference(inOrder, names, f.Input.Name, "an order reads the input")
	r.reference(state, names, f.InOrder.Name, "a state reads the step that keeps the order")
}

// stepPath names a step by its name where it has one.
func stepPath(path string, item value) string {
	if m, ok := item.node.(*ast.MappingNode); ok {
		for _, pair := range m.Values {
			name, ok := pair.Value.(*ast.StringNode)
			if key, isText := pair.Key.(*ast.StringNode); ok && isText && key.Value == "name" && nameForm.MatchString(name.Value) {
				return join(path, name.Value)
			}
		}
	}
	return item.path
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// reference checks from: against the one name that it may have.
func (r *reader) reference(f fields, names []string, want, why string) {
	if f.entries == nil {
		return
	}
	v, ok := f.require("from", "say what it reads")
	if !ok {
		return
	}
	from, ok := r.text(v)
	switch {
	case !ok, from == want, want == "", want == "?":
	case slices.Contains(r.inputs, want) && slices.Contains(r.inputs, from): // it is reported that there are two
	case !slices.Contains(names, from):
		r.add(CodeReference, v.at, v.path, "nothing here is named %q%s", from, suggest(from, names))
	default:
		r.add(CodeReference, v.at, v.path, "%s: %q, not %q", why, want, from)
	}
}

func (r *reader) readInOrder(f fields, others []string, o *InOrder) {
	if was, ok := f.get("was"); ok {
		o.Was, o.WasAt = r.name(was), fmt.Sprintf("%s:%d:%d", r.file, was.at.line, was.at.col)
		if slices.Contains(others, o.Was) {
			r.add(CodeTwice, was.at, was.path, "the name %q is one of the file: what was it before it was renamed?", o.Was)
		}
	}
	on := true
	f.boolean("in_order", &on)
	if !on {
		r.add(CodeValue, f.keys["in_order"], join(f.path, "in_order"), "leave the step out instead; the contract says how its order is kept")
	}
}

func (r *reader) readState(step fields, st *State) {
	v := step.entries["state"]
	f := r.mapping(v, "store", "initial", "update")
	st.Store = st.Name
	if s, ok := f.get("store"); ok {
		st.Store = r.name(s)
	}
	st.Initial = map[string]any{}
	initial, said := f.entries["initial"]
	if said && initial.node != nil {
		st.Initial = r.constant(initial)
	}
	u, ok := f.require("update", "an expression for the next state, over event, state, key and meta")
	if !ok {
		return
	}
	text, ok := r.scalar(u, "an expression")
	if !ok {
		return
	}
	st.update = r.compile(text, updateScope(st.Initial, text.text), wantAny)
	if _, object := st.Initial.(map[string]any); st.update != nil && !object {
		if field := firstField(text.text); field != "" {
			r.add(CodeType, initial.at, initial.path, "update reads state.%s whatever the event is, so initial must be a mapping, found %s", field, describe(st.Initial))
		}
	}
}

func (r *reader) readOutputs(v value, st State) Output {
	outputs := r.names(v)
	if len(outputs.names) == 0 {
		if !outputs.broken {
			r.add(CodeMissing, v.at, v.path, "has no output: totals: {from: totals, kind: table, topic: totals}")
		}
		return Output{}
	}
	for _, name := range outputs.names[1:] {
		r.add(CodeNotYet, outputs.keys[name], outputs.path, "a second output %q: not in this version, which has one", name)
	}
	out := Output{Name: outputs.names[0]}
	entry := outputs.entries[out.Name]
	r.checkName(out.Name, outputs.keys[out.Name], entry.path)
	entry.at = outputs.keys[out.Name]
	f := r.mapping(entry, "from", "kind", "topic", "partitions")
	names := []string{}
	if st.Name != "" && st.Name != "?" {
		names = append(names, st.Name)
	}
	r.reference(f, names, st.Name, "a table publishes a state")
	if _, ok := f.require("kind", `say "kind: table"`); ok {
		kind := ""
		enum(f, "kind", &kind, "table")
	}
	out.Topic = r.topic(f, "the output")
	f.partitions(&out.Partitions)
	return out
}

// partitions reads with how many partitions a topic is to be created.
func (f fields) partitions(dst *int) {
	f.integer("partitions", 1, func(n int64) {
		if n > math.MaxInt32 {
			at := f.entries["partitions"]
			f.r.add(CodeValue, at.at, at.path, "%d is more than a topic can have, which is %d", n, math.MaxInt32)
			return
		}
		*dst = int(n)
	})
}

var nameForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$`)

// name reads a name that becomes part of topic names.
func (r *reader) name(v value) string {
	text, ok := r.text(v)
	if !ok || !r.checkName(text, v.at, v.path) {
		return ""
	}
	return text
}

func (r *reader) checkName(text string, at position, path string) bool {
	ok := nameForm.MatchString(text)
	if !ok {
		r.add(CodeValue, at, path, "%q is no name: up to 64 letters, digits, '_' and '-', and no sign first", text)
	}
	return ok
}

var topicForm = regexp.MustCompile(`^[A-Za-z0-9._-]{1,200}$`)

// A topicUse is what a topic is named for, and where.
type topicUse struct {
	job string
	at  value
}

// topic reads the entry topic; a topic has one job.
func (r *reader) topic(f fields, job string) string {
	v, ok := f.require("topic", "the name of a topic")
	if !ok {
		return ""
	}
	text, ok := r.text(v)
	if !ok {
		return ""
	}
	if !topicForm.MatchString(text) || text == "." || text == ".." {
		r.add(CodeValue, v.at, v.path, "%q is no topic: up to 200 letters, digits, '.', '_' and '-'", text)
		return ""
	}
	if other, taken := r.topics[text]; taken {
		r.add(CodeTwice, v.at, v.path, "topic %q is that of %s already", text, other.job)
		return ""
	}
	r.topics[text] = topicUse{job, v}
	return text
}
