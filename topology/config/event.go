package config

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/expr-lang/expr/vm"

	"github.com/streamrun/streamrun/policies"
	"github.com/streamrun/streamrun/topology"
)

// A Record is a record of the input with its value decoded by Decode.
type Record = topology.Record[string, any]

// ErrUndecodable is the error of a value that is not one JSON text.
var ErrUndecodable = errors.New("the value cannot be decoded")

// Decode returns the event of a record's value: nil, bool, int, float64, string,
// []any or map[string]any. No value (nil) is no event. A whole number that fits in
// 64 bits is an int, exactly; any other number is the nearest float64. The error
// wraps ErrUndecodable.
func (f *File) Decode(value []byte) (any, error) {
	if value == nil {
		return nil, nil
	}
	v, err := decodeJSON(value)
	if err != nil {
		return nil, fmt.Errorf("config: input %s: %w: %w", f.Input.Name, ErrUndecodable, err)
	}
	return v, nil
}

// EncodeState appends the canonical JSON of a state: the same state gives the same
// bytes.
func (f *File) EncodeState(dst []byte, state any) ([]byte, error) {
	dst, err := encodeJSON(dst, state)
	if err != nil {
		return dst, fmt.Errorf("config: store %s: encoding the state: %w", f.State.Store, err)
	}
	return dst, nil
}

// DecodeState returns the state that EncodeState wrote.
func (f *File) DecodeState(text []byte) (any, error) {
	v, err := decodeJSON(text)
	if err != nil {
		return nil, fmt.Errorf("config: store %s: decoding the state: %w", f.State.Store, err)
	}
	return v, nil
}

// An evaluator runs expressions and keeps what may be used again. It is not safe
// for concurrent use; a File lends one to each call.
type evaluator struct {
	machine vm.VM
	env     map[string]any
}

func newEvaluator() *evaluator { return &evaluator{env: make(map[string]any, 4)} }

// begin makes the variables of an input's expressions. What an expression can keep
// (headers, meta) is made anew for each record, and only where it is read.
func (in *Input) begin(ev *evaluator, r *Record) {
	ev.env["event"], ev.env["key"] = r.Value, r.Key
	var header, meta bool
	for _, e := range []*expression{in.key, in.id, in.sequence, in.version, in.epoch, in.time, in.class, in.causation, in.end} {
		if e != nil {
			header, meta = header || e.header, meta || e.meta
		}
	}
	if header {
		headers := make(map[string]any, len(r.Headers))
		for _, h := range r.Headers {
			if h.Value != nil {
				headers[string(h.Key)] = string(h.Value)
			}
		}
		ev.env["header"] = headers
	}
	if meta {
		ev.env["meta"] = map[string]any{"timestamp": int(r.Timestamp)}
	}
}

// Metadata returns the order metadata of a record as the input's expressions give
// it. The error is an *EvalError and says which part is missing or of the wrong type;
// the event is to be refused as invalid_metadata, and what could be read of it is
// returned too. A sequence number out of range is no error here: the rules of order
// refuse the event (R0). The record is only read.
func (f *File) Metadata(r *Record) (m policies.Metadata, err error) {
	ev := f.evaluators.Get().(*evaluator)
	defer f.evaluators.Put(ev)
	in := &f.Input
	in.begin(ev, r)
	m.EventTime = r.Timestamp
	m.Entity = ev.text(in.key, true, &err)
	m.ID = ev.text(in.id, true, &err)
	m.Version = ev.number(in.version, f.Contract.OrderBy == policies.ByVersion, &err)
	m.Epoch = ev.number(in.epoch, false, &err)
	m.Class = ev.text(in.class, false, &err)
	m.Causation = ev.text(in.causation, false, &err)
	if in.time != nil {
		m.EventTime = ev.time(in.time, &err)
	}
	if in.sequence != nil {
		m.Sequence, m.HasSequence = ev.sequence(in.sequence, f.Contract.OrderBy == policies.BySequence, &err)
	}
	return m, err
}

// sequence evaluates an expression for a whole number, also where there is an error
// already. Where it need not be there, what is none is as good as absent.
func (ev *evaluator) sequence(e *expression, must bool, err *error) (n int64, ok bool) {
	v, evalErr := e.eval(&ev.machine, ev.env)
	if evalErr == nil {
		if n, ok = wholeNumber(v); ok {
			return n, true
		}
		evalErr = e.bad(wantNumber.words, v)
	}
	if must && *err == nil {
		*err = evalErr
	}
	return 0, false
}

// text evaluates an expression for a text or a whole number. It does nothing once
// there is an error.
func (ev *evaluator) text(e *expression, must bool, err *error) string {
	v, ok := ev.value(e, must, err)
	if !ok {
		return ""
	}
	s, ok := word(v)
	if !ok || (must && s == "") {
		*err = e.bad(wantText.words, v)
	}
	return s
}

func (ev *evaluator) number(e *expression, must bool, err *error) int64 {
	v, ok := ev.value(e, must, err)
	if !ok {
		return 0
	}
	n, ok := wholeNumber(v)
	if !ok {
		*err = e.bad(wantNumber.words, v)
	}
	return n
}

func (ev *evaluator) time(e *expression, err *error) int64 {
	v, ok := ev.value(e, true, err)
	if !ok {
		return 0
	}
	switch v := v.(type) {
	case int:
		return int64(v)
	case string:
		if t, parseErr := time.Parse(time.RFC3339Nano, v); parseErr == nil {
			return t.UnixMilli()
		}
	}
	*err = e.bad(wantTime.words, v)
	return 0
}

// value evaluates an expression; false when it is absent, failed, or gave nothing
// (which is an error where it must give something).
func (ev *evaluator) value(e *expression, must bool, err *error) (any, bool) {
	if e == nil || *err != nil {
		return nil, false
	}
	v, evalErr := e.eval(&ev.machine, ev.env)
	switch {
	case evalErr != nil:
		*err = evalErr
		return nil, false
	case v == nil && must:
		*err = e.bad("a value", nil)
		return nil, false
	}
	return v, v != nil
}

// wholeNumber returns an int, or the number that a text of digits has.
func wholeNumber(v any) (int64, bool) {
	switch v := v.(type) {
	case int:
		return int64(v), true
	case string:
		n, err := strconv.ParseInt(v, 10, 64)
		return n, err == nil
	default:
		return 0, false
	}
}

// IsEnd reports whether the record is the last of its entity. It is false for an
// input that declares no end, and where the expression gives nothing.
func (f *File) IsEnd(r *Record) (bool, error) {
	if f.Input.end == nil {
		return false, nil
	}
	ev := f.evaluators.Get().(*evaluator)
	defer f.evaluators.Put(ev)
	f.Input.begin(ev, r)
	v, err := f.Input.end.eval(&ev.machine, ev.env)
	if err != nil {
		return false, err
	}
	end, ok := v.(bool)
	if !ok && v != nil {
		return false, f.Input.end.bad(wantBool.words, v)
	}
	return end, nil
}

// Update returns the state of an entity after an event: nil deletes it. A nil state
// is that of an entity that has none, which begins with Initial; a nil event
// deletes the state. The result is canonical: encoding and decoding it changes
// nothing. Neither argument is changed; the result may share parts with both. The
// error is an *EvalError, and is that event's failure for good: the same event and
// state fail again.
func (f *File) Update(m *policies.Metadata, event, state any) (any, error) {
	if event == nil {
		return nil, nil
	}
	if state == nil {
		state = f.State.Initial
	}
	ev := f.evaluators.Get().(*evaluator)
	defer f.evaluators.Put(ev)
	ev.env["event"], ev.env["key"], ev.env["state"] = event, m.Entity, state
	if f.State.update.meta {
		ev.env["meta"] = metaVariable(m)
	}
	v, err := f.State.update.eval(&ev.machine, ev.env)
	if err != nil {
		return nil, err
	}
	if v, err = canonical(v); err != nil {
		return nil, f.State.update.fail(f.State.update.scalar.at, err.Error())
	}
	return v, nil
}

// metaVariable is meta of an update: the order metadata, which belong to the event
// and not to one delivery of it.
func metaVariable(m *policies.Metadata) map[string]any {
	meta := map[string]any{
		"class": m.Class, "epoch": int(m.Epoch), "id": m.ID, "time": int(m.EventTime), "version": int(m.Version),
	}
	if m.HasSequence {
		meta["sequence"] = int(m.Sequence)
	}
	return meta
}
