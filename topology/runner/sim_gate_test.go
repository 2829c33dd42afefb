package runner

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/streamrun/streamrun/topology/internal/kafka"
	"github.com/streamrun/streamrun/topology/internal/record"
)

// A gate stands between instances and the broker: every request, every answer and
// every word of the group waits in it until the simulation lets it pass. So one thing
// happens at a time, and which one is drawn.
//
// Behind it is a door at the broker. One thing that happens may have several goroutines
// look at the broker at the same time: all that a marker wakes, a member that is thrown
// out and those that stay. They stand at the door until everything else is at rest, and
// are let in one by one, in an order that is drawn too.
type gate struct {
	mu      sync.Mutex // guards waiting and turns
	waiting []*passage
	turns   []*passage    // at the door
	arrived chan struct{} // 1 deep: something waits
	knocked chan struct{} // 1 deep: somebody is at the door
}

func newGate() *gate {
	return &gate{arrived: make(chan struct{}, 1), knocked: make(chan struct{}, 1)}
}

// A passage is something that waits in the gate.
type passage struct {
	who    *instance
	call   string // Produce, End ...
	about  string // what tells it from other calls of the same name
	number int64  // of the call: which of those that are about the same came first
	answer bool   // it was handled, and the answer is on its way
	since  time.Time
	open   chan struct{}
}

func (p *passage) String() string {
	way := "->"
	if p.answer {
		way = "<-"
	}
	return fmt.Sprintf("%d %s %s %s", p.who.id, way, p.call, p.about)
}

func comparePassages(a, b *passage) int {
	answer := func(p *passage) int {
		if p.answer {
			return 1
		}
		return 0
	}
	return cmp.Or(cmp.Compare(a.who.id, b.who.id), cmp.Compare(a.call, b.call), cmp.Compare(a.about, b.about), cmp.Compare(answer(a), answer(b)), cmp.Compare(a.number, b.number))
}

// list returns what waits, in an order that does not depend on the scheduler of
// goroutines.
func (g *gate) list() []*passage {
	g.mu.Lock()
	defer g.mu.Unlock()
	slices.SortStableFunc(g.waiting, comparePassages)
	return slices.Clone(g.waiting)
}

func (g *gate) remove(p *passage) {
	g.mu.Lock()
	defer g.mu.Unlock()
	is := func(o *passage) bool { return o == p }
	g.waiting, g.turns = slices.DeleteFunc(g.waiting, is), slices.DeleteFunc(g.turns, is)
}

// let opens the gate for one.
func (g *gate) let(p *passage) {
	g.remove(p)
	close(p.open)
}

// turn takes somebody from the door, drawn by rnd; nil: nobody is there.
func (g *gate) turn(rnd *rand.Rand) *passage {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.turns) == 0 {
		return nil
	}
	slices.SortStableFunc(g.turns, comparePassages)
	n := rnd.IntN(len(g.turns))
	p := g.turns[n]
	g.turns = slices.Delete(g.turns, n, n+1)
	return p
}

// callKey is what the context of a call has its passage under.
type callKey struct{}

// turn stands at the door of the broker; it is a mem.Turn.
func (i *instance) turn(ctx context.Context, kind string) {
	p := passage{call: kind}
	if c, called := ctx.Value(callKey{}).(passage); called {
		p = c
	}
	p.who, p.open = i, make(chan struct{})
	i.gate.mu.Lock()
	i.gate.turns = append(i.gate.turns, &p)
	i.gate.mu.Unlock()
	select {
	case i.gate.knocked <- struct{}{}:
	default:
	}
	select {
	case <-p.open:
	case <-i.dead:
		i.gate.remove(&p)
	}
}

// errDead is what a process hears of the world after its end.
var errDead = errors.New("sim: the process is dead")

// wait waits in the gate; it returns early when the context ends.
func (i *instance) wait(ctx context.Context, p passage) error {
	p.who, p.since, p.open = i, time.Now(), make(chan struct{})
	i.gate.mu.Lock()
	i.gate.waiting = append(i.gate.waiting, &p)
	i.gate.mu.Unlock()
	select {
	case i.gate.arrived <- struct{}{}:
	default:
	}
	defer i.gate.remove(&p)
	select {
	case <-p.open:
	case <-ctx.Done():
	case <-i.dead:
		return errDead
	}
	return nil
}

// call is one call through the gate: the request waits, then its answer.
func (i *instance) call(ctx context.Context, call, about string, do func(context.Context) error) error {
	p := passage{call: call, about: about, number: i.calls.Add(1)}
	if err := i.wait(ctx, p); err != nil {
		return err
	}
	err := do(context.WithValue(ctx, callKey{}, p))
	p.answer = true
	if dead := i.wait(ctx, p); dead != nil {
		return dead
	}
	return err
}

// gated is the cluster that an instance sees.
type gated struct {
	kafka.Cluster
	who *instance
}

func (g *gated) Producer(opts kafka.ProducerOptions) (kafka.Producer, error) {
	p, err := g.Cluster.Producer(opts)
	return &gatedProducer{p, g.who, opts.TransactionalID[strings.LastIndexByte(opts.TransactionalID, '-'):]}, err
}

func (g *gated) Admin() (kafka.Admin, error) {
	a, err := g.Cluster.Admin()
	return &gatedAdmin{a, g.who}, err
}

func (g *gated) Fetcher(opts kafka.FetchOptions) (kafka.Fetcher, error) {
	f, err := g.Cluster.Fetcher(opts)
	return &gatedFetcher{f, g.who}, err
}

func (g *gated) Group(opts kafka.GroupOptions) (kafka.Group, error) {
	m, err := g.Cluster.Group(opts)
	return &gatedGroup{m, g.who}, err
}

type gatedProducer struct {
	kafka.Producer
	who *instance
	id  string // of the worker
}

func (p *gatedProducer) Init(ctx context.Context) (id kafka.ProducerID, err error) {
	err = p.who.call(ctx, "Init", p.id, func(ctx context.Context) (err error) { id, err = p.Producer.Init(ctx); return err })
	return id, err
}

func (p *gatedProducer) Open(ctx context.Context) error {
	return p.who.call(ctx, "Open", p.id, func(ctx context.Context) error { return p.Producer.Open(ctx) })
}

func (p *gatedProducer) Produce(ctx context.Context, e kafka.Encoding) error {
	return p.who.call(ctx, "Produce", p.id, func(ctx context.Context) error { return p.Producer.Produce(ctx, e) })
}

func (p *gatedProducer) Flush(ctx context.Context) (acked map[record.TopicPartition]int64, err error) {
	err = p.who.call(ctx, "Flush", p.id, func(ctx context.Context) (err error) { acked, err = p.Producer.Flush(ctx); return err })
	return acked, err
}

func (p *gatedProducer) SendOffsets(ctx context.Context, group string, m kafka.Member, o []kafka.CommittedOffset) error {
	return p.who.call(ctx, "SendOffsets", p.id, func(ctx context.Context) error { return p.Producer.SendOffsets(ctx, group, m, o) })
}

func (p *gatedProducer) End(ctx context.Context, commit bool) error {
	return p.who.call(ctx, "End", p.id, func(ctx context.Context) error { return p.Producer.End(ctx, commit) })
}

type gatedAdmin struct {
	kafka.Admin
	who *instance
}

func (a *gatedAdmin) Committed(ctx context.Context, group string, parts []record.TopicPartition, stable bool) (got map[record.TopicPartition]kafka.CommittedOffset, err error) {
	err = a.who.call(ctx, "Committed", fmt.Sprint(parts), func(ctx context.Context) (err error) {
		got, err = a.Admin.Committed(ctx, group, parts, stable)
		return err
	})
	return got, err
}

func (a *gatedAdmin) EndOffsets(ctx context.Context, parts []record.TopicPartition) (got map[record.TopicPartition]kafka.Marks, err error) {
	err = a.who.call(ctx, "EndOffsets", fmt.Sprint(parts), func(ctx context.Context) (err error) { got, err = a.Admin.EndOffsets(ctx, parts); return err })
	return got, err
}

type gatedFetcher struct {
	kafka.Fetcher
	who *instance
}

func (f *gatedFetcher) Fetch(ctx context.Context, positions []kafka.Position) (got []kafka.Fetched, err error) {
	err = f.who.call(ctx, "Fetch", fmt.Sprint(positions), func(ctx context.Context) (err error) { got, err = f.Fetcher.Fetch(ctx, positions); return err })
	return got, err
}

type gatedGroup struct {
	kafka.Group
	who *instance
}

func (g *gatedGroup) Run(ctx context.Context, h kafka.GroupHandler) error {
	return g.Group.Run(ctx, &gatedHandler{h, g.who})
}

// gatedHandler hears of the group late.
type gatedHandler struct {
	kafka.GroupHandler
	who *instance
}

func (h *gatedHandler) tell(word string, do func()) {
	if h.who.wait(context.Background(), passage{call: word}) == nil {
		do()
	}
}

func (h *gatedHandler) Assigned(m kafka.Member, parts []record.TopicPartition) {
	h.who.member.Store(&m.ID)
	h.tell("Assigned", func() { h.GroupHandler.Assigned(m, parts) })
}

func (h *gatedHandler) Revoked(parts []record.TopicPartition) {
	h.tell("Revoked", func() { h.GroupHandler.Revoked(parts) })
}

func (h *gatedHandler) Lost(parts []record.TopicPartition) {
	h.tell("Lost", func() { h.GroupHandler.Lost(parts) })
}
