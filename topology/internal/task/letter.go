package task

import (
	"errors"
	"fmt"

	"github.com/streamrun/streamrun/policies"
	"github.com/streamrun/streamrun/topology"
	"github.com/streamrun/streamrun/topology/internal/record"
)

// A failure is the last one of a handler, or of what reads an event's metadata, for
// the letter that may follow it.
type failure struct {
	source  int
	offset  int64
	attempt int // of the handler, 0 if it never ran
	node    string
	err     error // nil in a replay: the journal does not have what it said
}

// letter dead-letters the event of a decision: the original bytes, and headers that
// say where it came from and why it is here.
func (t *Task) letter(d *topology.Decision) {
	var rec record.Record
	if t.event != nil && d.Event == t.event {
		rec = *t.raw
	} else {
		var err error
		if rec, err = decodePayload(d.Event.Payload); err != nil {
			panic(&StateError{Err: err})
		}
	}
	l := policies.Letter{
		Topic: t.plan.Sources[d.Event.Source], Partition: t.partition, Offset: d.Event.Offset,
		ID: d.Event.ID, Reason: d.Reason, Rule: d.Rule, Entity: d.Event.Entity, Epoch: d.Event.Epoch,
		HasSequence: d.Event.HasSequence, Sequence: d.Event.Sequence,
		Step: t.plan.node.Name, Attempts: d.Attempt, FirstAt: t.clock,
	}
	if f := t.failure; f.node != "" && f.source == d.Event.Source && f.offset == d.Event.Offset {
		l.Step, l.Attempts = f.node, f.attempt
		if f.err != nil {
			l.Exception, l.Message = kind(f.err), f.err.Error()
		}
	}
	headers := make([]record.Header, len(rec.Headers), len(rec.Headers)+14)
	copy(headers, rec.Headers)
	t.letters = append(t.letters, record.Output{
		TopicPartition: record.TopicPartition{Topic: t.plan.node.DLQ, Partition: t.partition},
		Timestamp:      rec.Timestamp, Key: rec.Key, Value: rec.Value, Headers: policies.AppendLetter(headers, &l),
	})
}

// kind names the type of an error; of a refusal the one of its detail.
func kind(err error) string {
	var refused *policies.RefusedError
	if errors.As(err, &refused) {
		err = refused.Err
	}
	return fmt.Sprintf("%T", err)
}

// alarm keeps a decision that somebody should know of.
func (t *Task) alarm(d *topology.Decision) {
	a := Alarm{From: d.From, Rule: d.Rule, Rebuild: d.Kind == topology.DecideRequestRebuild}
	if d.Entity != nil {
		a.Entity = d.Entity.ID
	}
	t.alarms = append(t.alarms, a)
}
