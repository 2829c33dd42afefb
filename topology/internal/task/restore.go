package task

import (
	"fmt"
	"strings"

	"github.com/streamrun/streamrun/statestore"
	"github.com/streamrun/streamrun/topology/internal/record"
)

// Restore folds records of one changelog of a plan into the rows of a backend; the
// last record of a key wins, and a null value deletes. position is the offset that
// follows the records. The backend belongs to a task that is not open. After an error
// it may have some of the records.
func (p *Plan) Restore(backend statestore.Backend, changelog int, partition int32, records []record.Record, position int64) error {
	cl := p.Changelogs[changelog]
	f := folder{backend: backend, alone: len(p.Changelogs) == 1, parts: make([][]byte, 1+len(p.Sub.Stores))}
	for i := range records {
		r := &records[i]
		entity, slot := r.Key, true
		if cl.part == 0 {
			entity, slot = p.order.EntityOf(r.Key)
		}
		var err error
		if slot {
			err = f.setPart(entity, cl.part, r.Value)
		} else {
			f.set(f.key(statestore.KindOrder, r.Key), r.Value)
		}
		if err == nil && len(f.puts) == foldRows {
			err = f.apply(nil)
		}
		if err != nil {
			return fmt.Errorf("task: restoring %s-%d@%d: %w", cl.Topic, partition, r.Offset, err)
		}
	}
	return f.apply([]statestore.Position{{Topic: cl.Topic, Partition: partition, Offset: position}})
}

// Layout tells how the rows of the plan's tasks are made up: rows that were written
// under another layout mean something else.
func (p *Plan) Layout() string {
	words := []string{"1"} // of what a Plan makes of records, as Restore does
	for _, c := range p.Changelogs {
		words = append(words, fmt.Sprintf("%d:%s", c.part, c.Topic))
	}
	return strings.Join(words, " ")
}

// foldRows is how many rows are applied at a time.
const foldRows = 64

// folder collects rows until they are applied.
type folder struct {
	backend statestore.Backend
	alone   bool // no row has a part of another changelog
	parts   [][]byte

	puts  []statestore.Put
	bytes []byte // of the keys and rows of puts
}

// key keeps the key of a row.
func (f *folder) key(kind byte, key []byte) []byte {
	from := len(f.bytes)
	f.bytes = append(append(f.bytes, kind), key...)
	return f.bytes[from:len(f.bytes):len(f.bytes)]
}

func (f *folder) set(key, row []byte) {
	f.puts = append(f.puts, statestore.Put{Key: key, Row: row})
}

// setPart changes a part of a row, and keeps what others wrote of it.
func (f *folder) setPart(entity []byte, part int, value []byte) error {
	key := f.key(statestore.KindSlot, entity)
	if !f.alone {
		// What is not applied yet changes no other part: it is of the same changelog.
		row, err := f.backend.Get(key)
		if err != nil {
			return err
		}
		if err := statestore.DecodeRow(row, f.parts); err != nil {
			return err
		}
	}
	f.parts[part] = value
	from := len(f.bytes)
	f.bytes = statestore.AppendRow(f.bytes, f.parts)
	row := f.bytes[from:len(f.bytes):len(f.bytes)]
	if len(row) == 0 {
		row = nil
	}
	f.set(key, row)
	return nil
}

func (f *folder) apply(positions []statestore.Position) error {
	err := f.backend.Apply(f.puts, positions)
	f.puts, f.bytes = f.puts[:0], f.bytes[:0]
	return err
}
