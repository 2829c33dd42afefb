package meta

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/streamrun/streamrun/policies"
	"github.com/streamrun/streamrun/topology/internal/record"
	"github.com/streamrun/streamrun/topology/internal/task"
)

// Live is the generation of an app that was never rebuilt.
const Live = 1

const (
	format    = 1
	planKind  = 'p'
	topicKind = 't'
)

// A Generation is what is recorded of one generation of an app.
type Generation struct {
	Plans  []Plan
	Topics map[string][16]byte // ids of those that it reads, or has its state in, by name
}

// A Plan is what is recorded of one sub-topology.
type Plan struct {
	Name   string // that its topics bear
	Hash   uint64
	Topics []string        // sources: a task knows them by their numbers here
	Steps  []task.PlanStep // those that are Gone too
}

// Gone is the kind of a store that the topology had.
const Gone = "gone"

// Key returns the key of the record of a sub-topology in a generation.
func Key(generation int, name string) []byte {
	return appendText(binary.AppendUvarint([]byte{planKind}, uint64(generation)), name)
}

// TopicKey returns the key of the record of a topic in a generation.
func TopicKey(generation int, name string) []byte {
	return appendText(binary.AppendUvarint([]byte{topicKind}, uint64(generation)), name)
}

// AppendTopic appends the value of the record of a topic.
func AppendTopic(b []byte, id [16]byte) []byte { return append(append(b, format), id[:]...) }

// Append appends the value of the record.
func (p *Plan) Append(b []byte) []byte {
	b = append(b, format)
	b = binary.BigEndian.AppendUint64(b, p.Hash)
	b = binary.AppendUvarint(b, uint64(len(p.Topics)))
	for _, t := range p.Topics {
		b = appendText(b, t)
	}
	b = binary.AppendUvarint(b, uint64(len(p.Steps)))
	for _, s := range p.Steps {
		b = appendText(b, s.Name)
		b = appendText(b, s.Kind)
		b = binary.AppendUvarint(b, uint64(len(s.Terms)))
		for _, t := range s.Terms {
			b = appendText(b, t.Name)
			b = appendText(b, t.Value)
			b = append(b, byte(t.Weight))
		}
	}
	return b
}

// Decode returns what the records of a meta topic, in their order, have recorded of each
// generation, and the last value of each key.
func Decode(records []record.Record) (generations map[int]Generation, values map[string]string, err error) {
	values = map[string]string{}
	var keys []string
	for _, r := range records {
		if _, ok := values[string(r.Key)]; !ok {
			keys = append(keys, string(r.Key))
		}
		values[string(r.Key)] = string(r.Value)
	}
	generations = map[int]Generation{}
	for _, k := range keys {
		if err := decode(generations, []byte(k), []byte(values[k])); err != nil {
			return nil, nil, fmt.Errorf("meta: record with key %q: %w", k, err)
		}
	}
	return generations, values, nil
}

// decode adds what one record says to its generation.
func decode(generations map[int]Generation, key, value []byte) error {
	k := reader{b: key}
	kind, number, name := k.byte(), int(k.uvarint(1<<31)), k.text()
	if err := k.end(); err != nil {
		return fmt.Errorf("key: %w", err)
	}
	r := reader{b: value}
	if f := r.byte(); r.err == nil && f != format {
		return fmt.Errorf("unknown format %d", f)
	}
	g := generations[number]
	switch kind {
	case planKind:
		g.Plans = append(g.Plans, r.plan(name))
	case topicKind:
		if g.Topics == nil {
			g.Topics = map[string][16]byte{}
		}
		var id [16]byte
		copy(id[:], r.take(16))
		g.Topics[name] = id
	default:
		return errors.New("unknown kind")
	}
	generations[number] = g
	return r.end()
}

// plan reads what stands behind the format in the record of a plan.
func (r *reader) plan(name string) Plan {
	p := Plan{Name: name}
	if h := r.take(8); len(h) == 8 {
		p.Hash = binary.BigEndian.Uint64(h)
	}
	for range r.count() {
		p.Topics = append(p.Topics, r.text())
	}
	for range r.count() {
		s := task.PlanStep{Name: r.text(), Kind: r.text()}
		for range r.count() {
			t := policies.Term{Name: r.text(), Value: r.text(), Weight: policies.Weight(r.byte())}
			if t.Weight > policies.Label {
				r.fail(fmt.Errorf("unknown weight %d", t.Weight))
			}
			s.Terms = append(s.Terms, t)
		}
		p.Steps = append(p.Steps, s)
	}
	return p
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// reader reads the parts of a record; the first error sticks.
type reader struct {
	b   []byte
	err error
}

var errCut = errors.New("cut short")

func (r *reader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
	r.b = nil
}

func (r *reader) take(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.fail(errCut)
		return nil
	}
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

func (r *reader) byte() byte {
	if b := r.take(1); len(b) == 1 {
		return b[0]
	}
	return 0
}

// uvarint reads a number in its shortest form.
func (r *reader) uvarint(limit uint64) uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 || n > 1 && r.b[n-1] == 0 || v > limit {
		r.fail(errCut)
		return 0
	}
	r.b = r.b[n:]
	return v
}

// count reads the length of a list, whose entries take a byte at least.
func (r *reader) count() uint64 { return r.uvarint(uint64(len(r.b))) }

func (r *reader) text() string { return string(r.take(r.uvarint(uint64(len(r.b))))) }

func (r *reader) end() error {
	if r.err == nil && len(r.b) > 0 {
		r.err = fmt.Errorf("%d bytes too many", len(r.b))
	}
	return r.err
}
