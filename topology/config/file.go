package config

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/streamrun/streamrun/policies"
	"github.com/streamrun/streamrun/topology"
	"github.com/streamrun/streamrun/topology/security"
)

// A File is a checked topology file. It is immutable and safe for concurrent use.
type File struct {
	Path      string // as given to Parse or Load
	Name      string // of the app
	Contract  policies.Contract
	Kafka     Kafka
	StoreKind StoreKind // empty: the file does not say
	Standbys  int       // instances that keep the state of a task warm, besides its own
	Input     Input
	InOrder   InOrder
	State     State
	Output    Output
	DLQ       DLQ

	evaluators sync.Pool
	source     string
	kept       []kept // what it names and does not hold
}

// Kafka says how the app talks to Kafka.
type Kafka struct {
	Brokers            []string // none: the file does not say
	Guarantee          Guarantee
	CommitInterval     time.Duration // or AutoInterval
	TransactionTimeout time.Duration
	TimeoutAt          string // where the file says TransactionTimeout, file:line:col; empty: it does not
	Compression        Compression
	Security           security.Security
}

// Compression is how what is written is compressed.
type Compression string

// Compressions.
const (
	NoCompression Compression = "none"
	Gzip          Compression = "gzip"
	Snappy        Compression = "snappy"
	LZ4           Compression = "lz4"
	Zstd          Compression = "zstd"
)

// Guarantee is what happens to an event whatever fails.
type Guarantee string

// Guarantees.
const (
	ExactlyOnce Guarantee = "exactly_once"
	AtLeastOnce Guarantee = "at_least_once"
)

// A StoreKind says where the state is while the app runs.
type StoreKind string

// Kinds of stores.
const (
	Memory StoreKind = "memory"
	Badger StoreKind = "badger"
)

// Input is the topic that the app reads and where its events have their metadata.
type Input struct {
	Name       string
	Topic      string
	Partitions int // to create the topic with; 0: the topic exists
	// Undecodable says what becomes of a batch that cannot be decoded.
	Undecodable topology.BatchPolicy

	key, id, sequence, version, epoch, time, class, causation, end *expression
}

// HasEnd reports whether the input declares which event is an entity's last.
func (i Input) HasEnd() bool { return i.end != nil }

// InOrder is the step that keeps the events of an entity in order.
type InOrder struct {
	Name  string
	Was   string // the name that its state bears; empty: Name
	WasAt string // where the file says so, file:line:col
}

// State is the step that folds the events of an entity into a state.
type State struct {
	Name    string // of the step
	Store   string
	Initial any // canonical

	update *expression
}

// Output is the table that the states are published as.
type Output struct {
	Name       string
	Topic      string
	Partitions int // to create the topic with; 0: as many as the input has
}

// DLQ is where events go that are refused.
type DLQ struct {
	Topic string
}

// Load reads and parses a file. Variables come from the environment of the process.
// What is wrong with the file is an *Error; that it cannot be read is not.
func Load(path string) (*File, error) {
	src, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("config: reading the topology file: %w", err)
	}
	return Parse(path, src, os.LookupEnv)
}

// Parse reads and checks the text of a topology file. The name stands before the
// place in every message; getenv gives the value of a variable. The error is an
// *Error with everything that is wrong.
func Parse(name string, src []byte, getenv func(string) (string, bool)) (*File, error) {
	text := strings.TrimPrefix(string(src), "\ufeff") // a byte order mark
	r := &reader{file: name, lines: strings.Split(strings.ReplaceAll(text, "\r\n", "\n"), "\n"), getenv: getenv, topics: map[string]topicUse{}}
	f := &File{Path: name, source: text}
	f.evaluators.New = func() any { return newEvaluator() }
	if root, ok := r.root(text); ok {
		r.readFile(f, root)
		r.checkTopology(f)
	}
	if err := r.err(name, text); err != nil {
		return nil, err
	}
	f.kept = r.kept
	return f, nil
}

// readFile reads the sections in the order in which they depend on one another.
func (r *reader) readFile(f *File, root value) {
	top := r.mapping(root, "version", "name", "contract", "kafka", "store", "num_standby", "inputs", "steps", "outputs", "dlq")
	r.readVersion(top)
	if v, ok := top.require("name", "the app's name prefixes its topics and its group, for ever"); ok {
		f.Name = r.name(v)
	}
	kafka, _ := top.get("kafka")
	f.Kafka = r.readKafka(kafka)
	enum(top, "store", &f.StoreKind, Memory, Badger)
	top.integer("num_standby", 0, func(n int64) { f.Standbys = int(n) })
	contract, hasContract := top.require("contract", "say which events must be processed in order, and why")
	if hasContract {
		f.Contract = r.readContract(contract, f.Kafka.Guarantee)
	}
	if v, ok := top.require("inputs", "name a topic to read"); ok {
		f.Input = r.readInputs(v, f.Contract, hasContract)
	}
	if v, ok := top.require("steps", "say what becomes of the events"); ok {
		r.readSteps(v, f)
	}
	if v, ok := top.require("outputs", "name a topic to publish the table to"); ok {
		f.Output = r.readOutputs(v, f.State)
	}
	if v, ok := top.require("dlq", "name a topic for the events that are refused"); ok {
		dlq := r.mapping(v, "topic")
		f.DLQ.Topic = r.topic(dlq, "the dead letters")
	}
}

// readVersion checks that the file says which version of this format it is written
// in, before anything else.
func (r *reader) readVersion(top fields) {
	v, ok := top.require("version", `the first line of a topology file is "version: 1"`)
	if !ok {
		return
	}
	if top.names[0] != "version" {
		r.add(CodeValue, top.keys["version"], v.path, `stands behind %q; the first line of a topology file is "version: 1"`, top.names[0])
	}
	s, ok := r.scalar(v, "a number")
	if ok && (s.text != "1" || s.quoted) {
		r.add(CodeValue, v.at, v.path, "version %q is unknown; this program reads version 1", s.text)
	}
}
