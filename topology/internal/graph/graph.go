package graph

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/streamrun/streamrun/topology/internal/record"
)

// Kind is the kind of a node.
type Kind uint8

// Kinds of nodes.
const (
	Source    Kind = iota
	Processor      // a user's or an operator's Processor
	Order          // keeps the events in order
	Sink           // every record to a topic
	TableSink      // the last value of each key of a store, at each commit, to a topic
)

// String returns the kind's word in a description.
func (k Kind) String() string {
	return [...]string{"source", "processor", "in order", "sink", "table"}[k]
}

// A Node is one step of a topology.
type Node struct {
	Index   int // in Graph.Nodes
	Name    string
	Kind    Kind
	Op      string // the function that added it
	Site    string // file:line of the user's call
	Parents []*Node
	Next    []*Node

	Topics      []string // of a Source, a Sink or a TableSink
	Stores      []string // that the node may open; of a TableSink the one it publishes
	SkipBatches bool     // of a Source: those that cannot be decoded
	Bytes       []Format // of a Source, one; of a Processor, of each store
	Order       any      // topology.Order of an Order node
	DLQ         string   // dead-letter topic of an Order node
	Was         string   // of an Order node: the name under which its state is; empty: Name
	Rekeys      bool     // its output may have another key than its input
	Errs        []error  // what the operator found wrong

	// Wire makes the node's handler for one task. next has the handlers of Next; the
	// types behind any are known to the typed function that added the node.
	Wire func(env Env, next []any) (handler any, err error)
}

// Owner returns the name under which what an Order node owns is kept.
func (n *Node) Owner() string { return cmp.Or(n.Was, n.Name) }

// A Format says what the bytes of keys and values are.
type Format struct{ Key, Value string }

// A Graph is a topology under construction.
type Graph struct {
	App    string
	Nodes  []*Node
	Stores []string // in the order of their first use
}

// Add adds a node behind its parents.
func (g *Graph) Add(n *Node) *Node {
	n.Index = len(g.Nodes)
	g.Nodes = append(g.Nodes, n)
	for _, p := range n.Parents {
		p.Next = append(p.Next, n)
	}
	for _, s := range n.Stores {
		if !slices.Contains(g.Stores, s) {
			g.Stores = append(g.Stores, s)
		}
	}
	return n
}

// An Error is what is wrong with one node.
type Error struct {
	Node  string
	Op    string
	Site  string
	Topic string // that something else has; empty where it is not about that
	Err   error
}

// Error implements error.
func (e *Error) Error() string {
	return fmt.Sprintf("%s: topology: %s %q: %v", e.Site, e.Op, e.Node, e.Err)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Fail makes an Error of a node.
func (n *Node) Fail(format string, args ...any) error {
	return &Error{Node: n.Name, Op: n.Op, Site: n.Site, Err: fmt.Errorf(format, args...)}
}

// taken makes the Error of a node whose topic something else has.
func (n *Node) taken(topic, format string, args ...any) error {
	return &Error{Node: n.Name, Op: n.Op, Site: n.Site, Topic: topic, Err: fmt.Errorf("topic %q "+format, append([]any{topic}, args...)...)}
}

// named returns the topics that a node reads or writes and that somebody named.
func (n *Node) named() []string {
	if n.DLQ == "" {
		return n.Topics
	}
	return append(slices.Clone(n.Topics), n.DLQ)
}

// Check returns everything that is wrong with the graph. claimed says whose a topic
// is that no node may name, "" for any other.
func (g *Graph) Check(claimed func(topic string) string) error {
	var errs []error
	if err := CheckName(g.App); err != nil {
		errs = append(errs, fmt.Errorf("topology: app: %w", err))
	}
	names := map[string]*Node{}
	published := map[string]*Node{}
	read := map[string]*Node{}
	for _, n := range g.Nodes {
		errs = append(errs, n.Errs...)
		if err := CheckName(n.Name); err != nil {
			errs = append(errs, n.Fail("%w", err))
		} else if other, ok := names[n.Name]; ok {
			errs = append(errs, n.Fail("the name is taken by the %s at %s; every node needs its own", other.Op, other.Site))
		} else {
			names[n.Name] = n
		}
		if n.Was != "" {
			if err := CheckName(n.Was); err != nil {
				errs = append(errs, n.Fail("was: %w", err))
			}
			if i := slices.IndexFunc(g.Nodes, func(o *Node) bool { return o != n && (o.Name == n.Was || o.Was == n.Was) }); i >= 0 {
				errs = append(errs, n.Fail("was %q, which %q is (%s): one of them has its state", n.Was, g.Nodes[i].Name, g.Nodes[i].Site))
			}
		}
		for _, s := range n.Stores {
			if err := CheckName(s); err != nil {
				errs = append(errs, n.Fail("store: %w", err))
			}
		}
		for _, t := range n.named() {
			if err := CheckName(t); err != nil {
				errs = append(errs, n.Fail("topic: %w", err))
			}
			if whose := claimed(t); whose != "" {
				errs = append(errs, n.taken(t, "is %s; take another name", whose))
			}
			if n.Kind == Source {
				if other, ok := read[t]; ok {
					errs = append(errs, n.taken(t, "is read by source %q already; use its stream", other.Name))
				}
				read[t] = n
				continue
			}
			if other, ok := published[t]; ok && !sharable(n, other) {
				errs = append(errs, n.taken(t, "is written by %q already; %s", other.Name, why(n, other)))
			}
			published[t] = n
		}
		switch n.Kind {
		case Source:
			if len(n.Topics) == 0 {
				errs = append(errs, n.Fail("no topic to read"))
			}
			if len(n.Next) == 0 {
				errs = append(errs, n.Fail("nothing reads the stream; add a processor or a sink"))
			}
		case Order:
			errs = append(errs, checkOrder(n)...)
		case TableSink:
			if !slices.ContainsFunc(g.Nodes, func(m *Node) bool { return m.Kind == Processor && slices.Contains(m.Stores, n.Stores[0]) }) {
				errs = append(errs, n.Fail("no processor has the store %q", n.Stores[0]))
			}
		case Processor, Sink:
		}
	}
	for t, n := range read {
		if w, ok := published[t]; ok {
			errs = append(errs, n.taken(t, "is written by %q of the same topology", w.Name))
		}
	}
	if len(g.Nodes) == 0 {
		errs = append(errs, errors.New("topology: no source; start with topology.Source"))
	}
	subs := map[string]*Sub{}
	for _, s := range g.cut() {
		if other, ok := subs[s.Name]; ok && s.Name != "" {
			errs = append(errs, s.Nodes[0].Fail("its sub-topology and that of %q would both be called %q; give one of the two owners of that name another", other.Nodes[0].Name, s.Name))
		}
		subs[s.Name] = s
		orders := slices.DeleteFunc(slices.Clone(s.Nodes), func(n *Node) bool { return n.Kind != Order })
		for _, n := range orders[min(1, len(orders)):] {
			errs = append(errs, n.Fail("the sub-topology has an order already (%q at %s); this version keeps one order in each", orders[0].Name, orders[0].Site))
		}
	}
	slices.SortStableFunc(errs, func(a, b error) int { return nodeIndex(names, a) - nodeIndex(names, b) })
	return errors.Join(errs...)
}

// sharable reports whether two nodes may write the same topic.
func sharable(n, other *Node) bool {
	return n.Kind == other.Kind && n.Kind != TableSink
}

// why says what is wrong when two nodes write a topic that they may not share.
func why(n, other *Node) string {
	if n.Kind == Order || other.Kind == Order {
		return "dead letters need a topic of their own"
	}
	return "a table needs a topic of its own"
}

// nodeIndex orders errors by their nodes.
func nodeIndex(names map[string]*Node, err error) int {
	var e *Error
	if errors.As(err, &e) {
		if n, ok := names[e.Node]; ok {
			return n.Index
		}
	}
	return -1
}

// checkOrder checks what stands before an Order node: a held event is decoded and
// sent through those nodes again when its turn comes.
func checkOrder(n *Node) (errs []error) {
	p := n.Parents[0]
	for ; p.Kind != Source; p = p.Parents[0] {
		switch {
		case len(p.Next) > 1:
			errs = append(errs, n.Fail("%q before it has other readers; branch behind the order", p.Name))
		case len(p.Stores) > 0:
			errs = append(errs, n.Fail("%q before it has a store; put the events in order first", p.Name))
		case p.Rekeys:
			errs = append(errs, n.Fail("%q before it changes the key; repartition by the new key first", p.Name))
		case p.Kind == Order:
			errs = append(errs, n.Fail("the events are in order already by %q", p.Name))
		}
	}
	if len(p.Next) > 1 {
		errs = append(errs, n.Fail("source %q has other readers; branch behind the order", p.Name))
	}
	return errs
}

// CheckName says what is wrong with a name: names become parts of topics, metrics
// and directories.
func CheckName(name string) error {
	switch {
	case name == "":
		return errors.New("the name is empty")
	case len(name) > 200:
		return fmt.Errorf("the name %.20q... is longer than 200 characters", name)
	case name == "." || name == "..":
		return fmt.Errorf("the name %q is not usable", name)
	}
	for _, r := range name {
		if (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_' && r != '.' {
			return fmt.Errorf("the name %q has %q; letters, digits, '.', '_' and '-' can be used", name, r)
		}
	}
	return nil
}

// A Sub is a sub-topology: nodes that share edges or stores.
type Sub struct {
	Name   string // the alphabetically first owner of state, else the first source
	Nodes  []*Node
	Topics []string // source topics in order of their sources; a task reads one partition of each
	Stores []string // in the order of the graph
}

// Cut returns the sub-topologies in the order of their first nodes. The graph has
// passed Check.
func (g *Graph) Cut() []*Sub { return g.cut() }

func (g *Graph) cut() []*Sub {
	root := make([]int, len(g.Nodes))
	for i := range root {
		root[i] = i
	}
	find := func(i int) int {
		for root[i] != i {
			i = root[i]
		}
		return i
	}
	join := func(i, j int) {
		a, b := find(i), find(j)
		root[max(a, b)] = min(a, b)
	}
	store := map[string]int{}
	for _, n := range g.Nodes {
		for _, p := range n.Parents {
			join(n.Index, p.Index)
		}
		for _, s := range n.Stores {
			if first, ok := store[s]; ok {
				join(n.Index, first)
			} else {
				store[s] = n.Index
			}
		}
	}
	var subs []*Sub
	byRoot := map[int]*Sub{}
	for _, n := range g.Nodes {
		s, ok := byRoot[find(n.Index)]
		if !ok {
			s = &Sub{}
			byRoot[find(n.Index)] = s
			subs = append(subs, s)
		}
		s.Nodes = append(s.Nodes, n)
		if n.Kind == Source {
			s.Topics = append(s.Topics, n.Topics...)
		}
	}
	for _, s := range subs {
		var owners, sources []string
		for _, n := range s.Nodes {
			switch {
			case n.Kind == Order:
				owners = append(owners, n.Owner())
			case n.Kind == Source:
				sources = append(sources, n.Name)
			}
			if n.Kind != TableSink {
				owners = append(owners, n.Stores...)
			}
		}
		for _, name := range g.Stores {
			if slices.Contains(owners, name) {
				s.Stores = append(s.Stores, name)
			}
		}
		if len(owners) == 0 {
			owners = sources
		}
		if len(owners) > 0 {
			s.Name = slices.Min(owners)
		}
	}
	return subs
}

// Env is what the wired nodes of one task ask of it.
type Env interface {
	// Record is the record in hand.
	Record() *record.Record
	// Text returns the bytes of a key as a string; one whose state is at hand costs no
	// memory.
	Text(key []byte) string
	// Position says where the record in hand was read, and its stream and task time.
	Position() Position
	// Fail ends the record in hand with an error; the first one counts, and nothing
	// of what the record did stays.
	Fail(n *Node, err error)
	// Failed reports whether the record in hand has failed.
	Failed() bool
	// Emit adds a record for the sink; nothing is kept of the slices.
	Emit(sink *Node, key, value []byte, timestamp int64, headers []record.Header)
	// OpenStore gives a node one of its stores.
	OpenStore(n *Node, store string) (Store, error)
	// Offer hands the order node's event to its machine: a *topology.OrderEvent with
	// metadata alone, and why they are unusable (nil when they are not). When it answers
	// true, the node sends the record in hand on and calls Applied, which sees to what
	// follows.
	Offer(n *Node, event any, refused error) bool
	Applied()
	// Passing reports whether the record in hand is past its order: it was decided
	// to be applied, and goes on behind the order node.
	Passing() bool
}

// Store is statestore.Raw, which this package does not import.
type Store interface {
	Get(key []byte) (value []byte, ok bool, err error)
	Put(key, value []byte) error
	Delete(key []byte) error
}

// Position is where a record stands.
type Position struct {
	Task       string // "0_3"
	Topic      string
	Partition  int32
	Offset     int64
	StreamTime int64 // milliseconds since the Unix epoch
	Clock      int64 // the task clock, likewise
}
