package config

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"github.com/streamrun/streamrun/policies"
)

// classKeys are the policies that a class may override; in the contract itself they
// hold for every class that has no word of its own.
var classKeys = []string{"early", "late", "duplicate", "conflict", "poison", "effects"}

func (r *reader) readContract(v value, g Guarantee) policies.Contract {
	f := r.mapping(v, append([]string{
		"events_for", "because", "shape", "order_by", "start", "reset", "gap", "on_timeout", "on_overflow",
		"max_wait", "max_held", "id_memory", "max_holes", "max_dlq", "max_jump", "retry", "buffer",
		"on_version_backward", "slack", "max_future", "causal", "max_depth", "classes",
	}, classKeys...)...)
	before := len(r.problems)
	var c policies.Contract
	if s, ok := f.get("events_for"); ok {
		c.EventsFor, _ = r.text(s)
	}
	if s, ok := f.get("because"); ok {
		c.Because, _ = r.text(s)
		c.Because = strings.TrimSpace(c.Because)
	}
	enum(f, "shape", &c.Shape, policies.Snapshot, policies.Delta, policies.Command)
	enum(f, "order_by", &c.OrderBy, policies.BySequence, policies.ByVersion, policies.ByEventTime)
	r.readStart(f, &c.Start)
	enum(f, "reset", &c.Reset, policies.ResetForbid, policies.ResetEpoch)
	enum(f, "gap", &c.Gap, policies.GapBuffer, policies.GapReject, policies.GapRetry, policies.GapRebuild, policies.GapApply)
	enum(f, "on_timeout", &c.OnTimeout, policies.OnTimeoutPark, policies.OnTimeoutSkip, policies.OnTimeoutRebuild, policies.OnTimeoutHold)
	enum(f, "on_overflow", &c.OnOverflow, policies.OnOverflowPause, policies.OnOverflowSkip, policies.OnOverflowPark)
	r.readWait(f, &c)
	f.count("max_held", &c.MaxHeld)
	f.count("id_memory", &c.IDMemory)
	f.count("max_holes", &c.MaxHoles)
	f.count("max_dlq", &c.MaxDLQ)
	f.integer("max_jump", 1, func(n int64) { c.MaxJump = n })
	if retry, ok := f.entries["retry"]; ok {
		rf := r.mapping(retry, "max", "delay")
		rf.integer("max", 0, func(n int64) {
			if c.Retry.Max = int(n); n == 0 {
				c.Retry.Max = -1 // none, where 0 of a Contract is the default
			}
		})
		rf.duration("delay", time.Millisecond, &c.Retry.Delay)
	}
	enum(f, "buffer", &c.Buffer, policies.BufferDurable, policies.BufferVolatile)
	enum(f, "on_version_backward", &c.OnVersionBackward, policies.VersionCount, policies.VersionReject)
	f.duration("slack", 0, &c.Slack)
	f.duration("max_future", time.Millisecond, &c.MaxFuture)
	f.boolean("causal", &c.Causal)
	f.count("max_depth", &c.MaxDepth)
	c.Class = readClass(f)
	if classes, ok := f.entries["classes"]; ok {
		named := r.names(classes)
		c.Classes = make(map[string]policies.Class, len(named.names))
		for _, name := range named.names {
			c.Classes[name] = readClass(r.mapping(named.entries[name], classKeys...))
		}
	}
	if len(r.problems) == before { // else a contradiction may be one of what is wrong already
		r.contradictions(f, c, g)
	}
	return c.WithDefaults()
}

// readWait reads how long a hole is waited for: a duration, auto, or the bounds
// between which it is estimated.
func (r *reader) readWait(f fields, c *policies.Contract) {
	v, ok := f.get("max_wait")
	if !ok {
		return
	}
	if _, bounds := v.node.(*ast.MappingNode); bounds {
		c.AutoWait = true
		b := r.mapping(v, "min", "max")
		b.duration("min", time.Millisecond, &c.MinWait)
		b.duration("max", time.Millisecond, &c.MaxWait)
		return
	}
	c.AutoWait = f.durationOrAuto("max_wait", time.Millisecond, &c.MaxWait)
}

// readStart reads a number, or first_seen.
func (r *reader) readStart(f fields, dst *policies.Start) {
	v, ok := f.get("start")
	if !ok {
		return
	}
	s, ok := r.scalar(v, "a number or first_seen")
	if !ok {
		return
	}
	n, err := strconv.ParseInt(s.text, 10, 64)
	switch {
	case s.text == "first_seen":
		*dst = policies.StartFirstSeen()
	case err == nil && (!s.quoted || s.changed):
		*dst = policies.StartAt(n)
	default:
		r.add(CodeValue, v.at, v.path, "%q is neither a number nor first_seen%s", s.text, suggest(s.text, []string{"first_seen"}))
	}
}

func readClass(f fields) policies.Class {
	var c policies.Class
	enum(f, "early", &c.Early, policies.EarlyWait, policies.EarlyApply)
	enum(f, "late", &c.Late, policies.LateReject, policies.LateDrop, policies.LateRebuild, policies.LateCompensate)
	enum(f, "duplicate", &c.Duplicate, policies.DuplicateDrop, policies.DuplicateReject)
	enum(f, "conflict", &c.Conflict, policies.ConflictReject, policies.ConflictPark)
	enum(f, "poison", &c.Poison, policies.PoisonPark, policies.PoisonSkip)
	enum(f, "effects", &c.Effects, policies.EffectsInOrder, policies.EffectsAlways, policies.EffectsNever)
	return c
}

// count reads a bound of at least one.
func (f fields) count(name string, dst *int) {
	f.integer(name, 1, func(n int64) { *dst = int(n) })
}

// contradictions reports what the contract's own check finds, each at its key.
func (r *reader) contradictions(f fields, c policies.Contract, g Guarantee) {
	err := c.Validate(policies.Facts{
		AtLeastOnce:    g == AtLeastOnce,
		SequencedPaths: true, // there is one path, and this contract is on it
	})
	if err == nil {
		return
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		r.add(CodeContract, f.at, f.path, "%s", err)
		return
	}
	for _, err := range joined.Unwrap() {
		var ce *policies.ContractError
		if !errors.As(err, &ce) {
			r.add(CodeContract, f.at, f.path, "%s", err)
			continue
		}
		at, path, found := f.locate(ce.Class, ce.Field)
		if other, _, ok := f.locate(ce.Class, ce.Other); !found && ok {
			at = other // what it contradicts is a default
		}
		r.add(CodeContract, at, path, "%s; %s", ce.Problem, ce.Fix)
	}
}

// locate returns the key that a contradiction is about, or the nearest one around it
// and false.
func (f fields) locate(class, field string) (at position, path string, found bool) {
	names := strings.Split(field, ".")
	if class != "" {
		names = []string{"classes", class, field}
	}
	at, path = f.at, f.path
	for i, name := range names {
		path = join(path, name)
		entry, ok := f.entries[name]
		found = ok
		if !ok {
			continue
		}
		at = f.keys[name]
		if i < len(names)-1 {
			quiet := &reader{file: f.r.file, lines: f.r.lines, getenv: f.r.getenv}
			f = quiet.names(entry) // its problems were reported when it was read
		}
	}
	return at, path, found
}
