package topology

import (
	"fmt"
	"path"
	"runtime"
	"strconv"
	"strings"

	"github.com/streamrun/streamrun/topology/internal/graph"
)

// A Builder collects the nodes of one topology. New makes one; it is not safe for
// concurrent use, and not used again after Build.
type Builder struct {
	graph graph.Graph
	names map[string]int // derived names so far
}

// New starts the topology of an app. The name prefixes its internal topics, its
// group and its transactional ids: it is the app's identity for ever.
func New(app string) *Builder {
	return &Builder{graph: graph.Graph{App: app}, names: map[string]int{}}
}

// An Error is what is wrong with one node; Build joins all of them.
type Error = graph.Error

// Build checks the topology and returns it. The error joins everything that is
// wrong, each an *Error with the node, the operator and file:line of its call.
func (b *Builder) Build() (*Topology, error) {
	if err := b.graph.Check(claims(&b.graph)); err != nil {
		return nil, err
	}
	return &Topology{graph: &b.graph, subs: b.graph.Cut()}, nil
}

// A Topology is a checked graph. It is immutable and safe for concurrent use.
type Topology struct {
	graph *graph.Graph
	subs  []*graph.Sub
}

// App returns the name of the app.
func (t *Topology) App() string { return t.graph.App }

// Subs returns the sub-topologies. It is for the drivers of a topology; the type is
// internal to them.
func (t *Topology) Subs() []*graph.Sub { return t.subs }

// add adds a node of an operator.
func (b *Builder) add(n *graph.Node) *graph.Node {
	n.Site = callSite()
	return b.graph.Add(n)
}

// derive makes the name of a node that needs none of its own: it owns nothing.
func (b *Builder) derive(parent *graph.Node, op string) string {
	name := parent.Name + "." + op
	b.names[name]++
	if n := b.names[name]; n > 1 {
		name += "-" + strconv.Itoa(n)
	}
	return name
}

// callSite returns file:line of the call that led into the operators' packages.
func callSite() string {
	var pcs [32]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(3, pcs[:])])
	for {
		f, more := frames.Next()
		if !operator(f) || !more {
			dir, file := path.Split(f.File)
			return fmt.Sprintf("%s:%d", path.Join(path.Base(dir), file), f.Line)
		}
	}
}

// operator reports whether the frame is inside the packages of operators.
func operator(f runtime.Frame) bool {
	const module = "github.com/streamrun/streamrun/"
	rest, ok := strings.CutPrefix(f.Function, module)
	if !ok || strings.HasSuffix(f.File, "_test.go") {
		return false
	}
	pkg, _, _ := strings.Cut(rest, ".")
	return pkg == "topology" || pkg == "processors" || pkg == "reorder"
}
