package task

import (
	"strconv"

	"github.com/streamrun/streamrun/topology"
	"github.com/streamrun/streamrun/topology/internal/record"
)

// letter dead-letters the event of a decision: the original bytes, and headers that
// say where it came from and why it is here.
func (t *Task) letter(d topology.Decision) {
	rec := *t.raw
	if t.event == nil || d.Event != t.event {
		var err error
		if rec, err = decodePayload(d.Event.Payload); err != nil {
			panic(stateError{err})
		}
	}
	topic := t.plan.node.DLQ
	headers := make([]record.Header, 0, len(rec.Headers)+12)
	headers = append(headers, rec.Headers...)
	headers = append(headers,
		record.Header{Key: []byte("__streams.errors.topic"), Value: []byte(t.plan.Sources[d.Event.Source])},
		record.Header{Key: []byte("__streams.errors.offset"), Value: strconv.AppendInt(nil, d.Event.Offset, 10)},
	)
	t.letters = append(t.letters, record.Output{
		TopicPartition: record.TopicPartition{Topic: topic, Partition: t.partition},
		Timestamp:      rec.Timestamp, Key: rec.Key, Value: rec.Value, Headers: headers,
	})
}

// alarm keeps a decision that somebody should know of.
func (t *Task) alarm(d topology.Decision) {
	a := Alarm{From: d.From, Rule: d.Rule, Rebuild: d.Kind == topology.DecideRequestRebuild}
	if d.Entity != nil {
		a.Entity = d.Entity.ID
	}
	t.alarms = append(t.alarms, a)
}
