package task

import (
	"fmt"
	"strings"

	"github.com/streamrun/streamrun/statestore"
	"github.com/streamrun/streamrun/topology/internal/record"
)

// Restore folds records of one changelog of a plan into the rows of a backend; the
// last record of a key wins, and a null value deletes. position is the offset that
// follows the records. The backend belongs to a task that is not open.
func (p *Plan) Restore(backend statestore.Backend, changelog int, partition int32, records []record.Record, position int64) error {
	cl := p.Changelogs[changelog]
	f := folder{backend: backend, rows: make(map[string][]byte), parts: make([][]byte, 1+len(p.Sub.Stores))}
	for i := range records {
		r := &records[i]
		if cl.part == 0 {
			entity, ok := p.order.EntityOf(r.Key)
			if !ok {
				f.set(append([]byte{statestore.KindOrder}, r.Key...), r.Value)
				continue
			}
			if err := f.setPart(entity, 0, r.Value); err != nil {
				return fmt.Errorf("task: restoring %s-%d@%d: %w", cl.Topic, partition, r.Offset, err)
			}
			continue
		}
		if err := f.setPart(r.Key, cl.part, r.Value); err != nil {
			return fmt.Errorf("task: restoring %s-%d@%d: %w", cl.Topic, partition, r.Offset, err)
		}
	}
	return backend.Apply(f.puts(), []statestore.Position{{Topic: cl.Topic, Partition: partition, Offset: position}})
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

// folder collects the rows of one Restore.
type folder struct {
	backend statestore.Backend
	rows    map[string][]byte
	keys    []string // in the order of their first change
	parts   [][]byte
}

func (f *folder) set(key, row []byte) {
	if _, ok := f.rows[string(key)]; !ok {
		f.keys = append(f.keys, string(key))
	}
	f.rows[string(key)] = row
}

func (f *folder) setPart(key []byte, part int, value []byte) error {
	k := append([]byte{statestore.KindSlot}, key...)
	row, ok := f.rows[string(k)]
	if !ok {
		var err error
		if row, err = f.backend.Get(k); err != nil {
			return err
		}
	}
	if err := statestore.DecodeRow(row, f.parts); err != nil {
		return err
	}
	f.parts[part] = value
	if next := statestore.AppendRow(nil, f.parts); len(next) > 0 {
		f.set(k, next)
	} else {
		f.set(k, nil)
	}
	return nil
}

func (f *folder) puts() []statestore.Put {
	puts := make([]statestore.Put, 0, len(f.keys))
	for _, k := range f.keys {
		puts = append(puts, statestore.Put{Key: []byte(k), Row: f.rows[k]})
	}
	return puts
}
