package dev

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/streamrun/streamrun/policies"
	"github.com/streamrun/streamrun/topology/internal/record"
)

// A letter is a record of the dead-letter topic.
type letter struct {
	policies.Letter
	key, value []byte
}

// readLetters reads the dead letters, sorted by entity, epoch, number and place.
func readLetters(topic string, partitions [][]record.Record) ([]letter, error) {
	var letters []letter
	for p, records := range partitions {
		for i := range records {
			r := &records[i]
			l, err := policies.ReadLetter(r.Headers)
			if err != nil {
				return nil, fmt.Errorf("dev: %s-%d@%d: %w", topic, p, r.Offset, err)
			}
			letters = append(letters, letter{l, r.Key, r.Value})
		}
	}
	slices.SortStableFunc(letters, func(a, b letter) int {
		return cmp.Or(cmp.Compare(a.Entity, b.Entity), cmp.Compare(a.Epoch, b.Epoch), cmp.Compare(a.Sequence, b.Sequence),
			cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.Offset, b.Offset))
	})
	return letters, nil
}

// writeLetters writes a letter a line.
func writeLetters(w io.Writer, letters []letter) error {
	type line struct {
		Entity    string          `json:"entity,omitempty"`
		Epoch     int64           `json:"epoch"`
		Sequence  *int64          `json:"sequence,omitempty"`
		ID        string          `json:"id,omitempty"`
		Reason    policies.Reason `json:"reason"`
		Rule      string          `json:"rule"`
		Step      string          `json:"step"`
		Attempts  int             `json:"attempts"`
		FirstAt   string          `json:"first_at"`
		Topic     string          `json:"topic"`
		Partition int32           `json:"partition"`
		Offset    int64           `json:"offset"`
		Exception string          `json:"exception,omitempty"`
		Message   string          `json:"message,omitempty"`
		Key       any             `json:"key"`
		Value     any             `json:"value"`
	}
	return writeLines(w, func(put func(any) error) error {
		for i := range letters {
			l := &letters[i]
			out := line{
				Entity: l.Entity, Epoch: l.Epoch, ID: l.ID, Reason: l.Reason, Rule: l.Rule.String(), Step: l.Step,
				Attempts: l.Attempts, FirstAt: time.UnixMilli(l.FirstAt).UTC().Format(time.RFC3339Nano),
				Topic: l.Topic, Partition: l.Partition, Offset: l.Offset, Exception: l.Exception, Message: l.Message,
				Key: jsonOf(l.key, false), Value: jsonOf(l.value, true),
			}
			if l.HasSequence {
				out.Sequence = &l.Sequence
			}
			if err := put(out); err != nil {
				return err
			}
		}
		return nil
	})
}

// jsonOf returns bytes as JSON has them: themselves where they are JSON and may be, a
// text, or base64 where they are none.
func jsonOf(b []byte, document bool) any {
	switch {
	case b == nil:
		return nil
	case document && json.Valid(b):
		return json.RawMessage(b)
	case utf8.Valid(b):
		return string(b)
	default:
		return b
	}
}

// readTable folds the records of a compacted topic to its rows.
func readTable(partitions [][]record.Record) map[string][]byte {
	table := make(map[string][]byte)
	for _, records := range partitions {
		for i := range records {
			if r := &records[i]; r.Value == nil {
				delete(table, string(r.Key))
			} else {
				table[string(r.Key)] = r.Value
			}
		}
	}
	return table
}

// writeTable writes a row a line, sorted by key.
func writeTable(w io.Writer, table map[string][]byte) error {
	type line struct {
		Key   string `json:"key"`
		Value any    `json:"value"`
	}
	return writeLines(w, func(put func(any) error) error {
		for _, key := range slices.Sorted(maps.Keys(table)) {
			if err := put(line{key, jsonOf(table[key], true)}); err != nil {
				return err
			}
		}
		return nil
	})
}

// writeLines writes JSON values one a line.
func writeLines(w io.Writer, lines func(put func(any) error) error) error {
	out := bufio.NewWriter(w)
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := lines(func(v any) error {
		b.Reset()
		if err := enc.Encode(v); err != nil {
			return err
		}
		_, err := out.Write(b.Bytes())
		return err
	}); err != nil {
		return err
	}
	return out.Flush()
}
