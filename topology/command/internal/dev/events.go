package dev

import (
	"errors"
	"fmt"

	"github.com/streamrun/streamrun/policies"
	"github.com/streamrun/streamrun/topology"
	"github.com/streamrun/streamrun/topology/command/internal/feed"
	"github.com/streamrun/streamrun/topology/command/internal/fold"
	"github.com/streamrun/streamrun/topology/config"
	"github.com/streamrun/streamrun/topology/internal/record"
)

// An event is a record of the input as the topology file sees it.
type event struct {
	value   any
	meta    policies.Metadata
	invalid bool            // its metadata are unusable
	reason  policies.Reason // of its letters, where invalid
	end     bool
	key     string
}

// understand reads a record of the input with the file's expressions. The error is
// why its metadata are unusable, which is no error of the record's reader.
func understand(f *config.File, r *record.Record) (event, error) {
	value, err := f.Decode(r.Value)
	if err != nil {
		return event{key: string(r.Key), invalid: true, reason: policies.ReasonUndecodable}, err
	}
	in := topology.Record[string, any]{Key: string(r.Key), Value: value, Tombstone: r.Value == nil, Timestamp: r.Timestamp, Headers: r.Headers}
	e := event{value: value, key: in.Key}
	e.reason = policies.ReasonInvalidMetadata
	if e.meta, err = f.Metadata(&in); err == nil && e.meta.Entity != in.Key {
		e.reason, err = policies.ReasonWrongKey, fmt.Errorf("the key is %q, the entity %q", in.Key, e.meta.Entity)
	}
	if err != nil {
		e.invalid = true
		return e, err
	}
	e.end, err = f.IsEnd(&in)
	return e, err
}

// folded returns the event as the fold sees it.
func (e *event) folded() fold.Event {
	if e.invalid {
		return fold.Event{Entity: e.key, Invalid: true}
	}
	m := &e.meta
	return fold.Event{
		Entity: m.Entity, Epoch: m.Epoch, HasSequence: m.HasSequence, Sequence: m.Sequence,
		Version: m.Version, Time: m.EventTime, ID: m.ID, Class: m.Class,
	}
}

// name is what makes two deliveries the same event.
type name struct {
	entity          string
	epoch, sequence int64
	id              string
}

func (e *event) name() name {
	return name{e.meta.Entity, e.meta.Epoch, e.meta.Sequence, e.meta.ID}
}

// place returns where the event stands in its entity.
func (e *event) place() (feed.Place, bool) {
	return feed.Place{Entity: e.meta.Entity, Epoch: e.meta.Epoch, Sequence: e.meta.Sequence}, !e.invalid && e.meta.HasSequence
}

// An input is a feed that was read and understood.
type input struct {
	lines  []feed.Event
	events []event
	bad    []error // file:line and what is wrong, of lines that are sent with no key
}

// maxProblems bounds how many bad lines are told.
const maxProblems = 10

// readFeed reads the events of a feed. A line for which the file gives no key is sent
// as it is, as other producers would do, and becomes a dead letter. A feed without
// any other line is none; nor is one of which it cannot be said where an entity ends.
func readFeed(f *config.File, path string) (*input, error) {
	lines, err := feed.ReadFile(path, feed.Limits{})
	if err != nil {
		return nil, err
	}
	if len(lines) == 0 {
		return nil, fmt.Errorf("dev: %s has no events: feed a file with one JSON event a line", path)
	}
	in := &input{lines: lines, events: make([]event, len(lines))}
	var problems []error
	for i := range lines {
		keyless, err := error(nil), error(nil)
		in.events[i], keyless, err = feedEvent(f, lines[i].Value)
		if keyless != nil {
			in.bad = append(in.bad, fmt.Errorf("%s:%d: no key: %w", path, lines[i].Line, keyless))
		}
		if err != nil {
			problems = append(problems, fmt.Errorf("%s:%d: %w", path, lines[i].Line, err))
		}
	}
	if len(in.bad) == len(lines) {
		problems = in.bad
	}
	if len(problems) > 0 {
		return nil, fmt.Errorf("dev: reading the feed:\n%w", errors.Join(problems[:min(len(problems), maxProblems)]...))
	}
	return in, nil
}

// feedEvent finds the key of a line, which is the entity that the file's key
// expression gives for it. keyless is why it has none; err is what is wrong with the
// end marker.
func feedEvent(f *config.File, line []byte) (e event, keyless, err error) {
	value, keyless := f.Decode(line)
	if keyless != nil {
		return event{invalid: true, reason: policies.ReasonUndecodable}, keyless, nil
	}
	m, keyless := f.Metadata(&topology.Record[string, any]{Value: value})
	if m.Entity == "" {
		if keyless == nil {
			keyless = errors.New("its entity is empty")
		}
		return event{invalid: true, reason: policies.ReasonInvalidMetadata}, keyless, nil
	}
	// With the key known the rest is read as the app will read it.
	if e, err = understand(f, &record.Record{Key: []byte(m.Entity), Value: line}); e.invalid { // the end marker apart
		err = nil
	}
	return e, nil, err
}

// places gives feed.Losses what it asks for.
func (in *input) places(i int) (feed.Place, bool) { return in.events[i].place() }
