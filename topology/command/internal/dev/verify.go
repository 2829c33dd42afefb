package dev

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/streamrun/streamrun/policies"
	"github.com/streamrun/streamrun/topology/command/internal/fold"
	"github.com/streamrun/streamrun/topology/config"
)

// A delivery is a record of the input topic as it was read back.
type delivery struct {
	event
	partition int32
	offset    int64
	before    bool  // it was there before this run
	clock     int64 // the task clock when it was consumed, as the journal says
	readable  int64 // the wall time by which it could be read; 0: nobody knows
}

// world is what was read back from the topics when the app had stopped.
type world struct {
	file        *config.File
	deliveries  []delivery // in the order of each partition
	sent        int64      // records that the topic must have
	total       policies.Counts
	baseline    policies.Counts // when this run began
	stored      map[string]*entity
	table       map[string][]byte
	tableBefore map[string][]byte
	letters     []letter
	refold      string // what the second fold of the tasks found different
	replanned   string // why there is no second fold
	behind      string // a partition whose committed offset is not at its end
}

// A Check is one question and its answer.
type Check struct {
	Name   string `json:"name"`
	Answer string `json:"answer"` // yes, equal, ...
	OK     bool   `json:"ok"`
	Detail string `json:"detail,omitempty"` // the first differences, or why nothing was compared
}

// maxDetails bounds the differences that are shown of one check.
const maxDetails = 5

// differences collects what a check found.
type differences struct {
	list []string
	more int
}

func (d *differences) add(format string, args ...any) {
	if len(d.list) == maxDetails {
		d.more++
		return
	}
	d.list = append(d.list, fmt.Sprintf(format, args...))
}

func (d *differences) check(name, yes string) Check {
	c := Check{Name: name, Answer: yes, OK: len(d.list) == 0}
	if !c.OK {
		c.Answer = "NO"
		for i, s := range d.list {
			if i > 0 {
				c.Detail += "; "
			}
			c.Detail += s
		}
		if d.more > 0 {
			c.Detail += fmt.Sprintf("; and %d more", d.more)
		}
	}
	return c
}

// dependsOnArrival returns why the contract leaves the result to the times of
// arrival, "" if it does not.
func dependsOnArrival(c policies.Contract) string {
	waits := anyClass(c, func(cl policies.Class) bool { return cl.Early == policies.EarlyWait })
	switch {
	case c.OrderBy == policies.ByEventTime:
		return "under order_by: event_time what the watermark has passed is late"
	case c.OrderBy == policies.ByVersion:
		return ""
	case anyClass(c, func(cl policies.Class) bool { return cl.Early == policies.EarlyApply }):
		return "under early: apply an event may be applied ahead of its turn"
	case waits && (c.Gap == policies.GapReject || c.Gap == policies.GapRetry || c.Gap == policies.GapApply):
		return fmt.Sprintf("under gap: %s what comes before its turn does not wait for it", c.Gap)
	case c.Causal:
		return "under causal: true an event waits for that of another entity"
	}
	return ""
}

func anyClass(c policies.Contract, is func(policies.Class) bool) bool {
	if is(c.ClassOf("")) {
		return true
	}
	for name := range c.Classes {
		if is(c.ClassOf(name)) {
			return true
		}
	}
	return false
}

// rulesOf gives the fold what it asks for.
func rulesOf(c policies.Contract) fold.Rules {
	r := fold.Rules{
		FirstSeen: c.Start.FirstSeen(), Start: c.Start.At(), MaxJump: c.MaxJump,
		MaxHeld: c.MaxHeld, MaxHoles: c.MaxHoles, MaxWait: c.MaxWait.Milliseconds(),
		Passes:     func(class string) bool { cl := c.ClassOf(class); return cl.Poison == policies.PoisonSkip },
		Drops:      func(class string) bool { cl := c.ClassOf(class); return cl.Late != policies.LateReject },
		NoStepBack: c.OnVersionBackward == policies.VersionReject,
	}
	switch c.OnTimeout {
	case policies.OnTimeoutPark:
		r.AtGap = fold.Stop
	case policies.OnTimeoutSkip:
		r.AtGap = fold.Pass
	case policies.OnTimeoutHold, policies.OnTimeoutRebuild:
		r.AtGap, r.MaxWait = fold.Wait, 0
	}
	return r
}

// foldOf folds the deliveries in order.
func foldOf(f *config.File, deliveries []delivery) map[string]*fold.Result {
	c := f.Contract.WithDefaults()
	events := make([]fold.Event, len(deliveries))
	for i := range deliveries {
		events[i] = deliveries[i].folded()
		events[i].Clock = deliveries[i].clock
	}
	apply := func(i int, state any) (any, error) {
		m := deliveries[i].meta
		return f.Update(&m, deliveries[i].value, state)
	}
	if c.OrderBy == policies.ByVersion {
		return fold.Latest(events, rulesOf(c), apply)
	}
	return fold.Sequence(events, rulesOf(c), apply)
}

// verification is what verify found.
type verification struct {
	checks   []Check
	entities int // that events were delivered of
	results  map[string]*fold.Result
}

// verify asks all questions of the world.
func verify(w *world) (*verification, error) {
	c := w.file.Contract.WithDefaults()
	v := &verification{results: foldOf(w.file, w.deliveries)}
	v.entities = len(v.results)
	if v.results[""] != nil { // records without a key, which are of no entity
		v.entities--
	}
	if redelivers(c) {
		for _, r := range v.results {
			if len(r.GivenUp) > 0 {
				r.Unknown = "a number was given up before its event came, and a volatile buffer has no clock that outlives it"
			}
		}
	}
	depends := dependsOnArrival(c)
	if depends != "" {
		for _, r := range v.results {
			r.Unknown = depends
		}
	}
	inOrder, err := w.checkFold(v.results, depends)
	if err != nil {
		return nil, err
	}
	v.checks = append(v.checks, inOrder, w.checkTable(), w.checkRefold(), w.checkCounts(v.results), w.checkLetters(v.results), w.checkGaps(v.results))
	if again, ok := w.checkAgain(); ok {
		v.checks = append(v.checks, again)
	}
	return v, nil
}

// checkFold compares the stored states with the fold in order.
func (w *world) checkFold(results map[string]*fold.Result, depends string) (Check, error) {
	var d differences
	unknown, why := 0, ""
	for _, id := range slices.Sorted(maps.Keys(results)) {
		r := results[id]
		if r.Unknown != "" {
			if unknown++; why == "" {
				why = fmt.Sprintf("%s: %s", id, r.Unknown)
			}
			continue
		}
		var want, got []byte
		if r.State != nil {
			var err error
			if want, err = w.file.EncodeState(nil, r.State); err != nil {
				return Check{}, err
			}
		}
		if e := w.stored[id]; e != nil {
			got = e.value
		}
		if !bytes.Equal(want, got) {
			d.add("%s is %s, in order it is %s", id, shown(got), shown(want))
		}
	}
	for id, e := range w.stored {
		if results[id] == nil && e.value != nil {
			d.add("%s has a state, but no event of it was delivered", id)
		}
	}
	check := d.check("in-order fold", "yes")
	switch {
	case check.OK && depends != "":
		check.Answer, check.Detail = "not compared", depends
	case check.OK && unknown > 0:
		check.Answer, check.Detail = fmt.Sprintf("yes (%d not compared)", unknown), why
	}
	return check, nil
}

func shown(value []byte) string {
	switch {
	case value == nil:
		return "absent"
	case len(value) > 300:
		return string(value[:300]) + "..."
	}
	return string(value)
}

// checkTable compares the published table with the stored states.
func (w *world) checkTable() Check {
	var d differences
	for _, id := range slices.Sorted(maps.Keys(w.stored)) {
		if e := w.stored[id]; !bytes.Equal(e.value, w.table[id]) {
			d.add("%s is %s in the table, its state is %s", id, shown(w.table[id]), shown(e.value))
		}
	}
	for _, id := range slices.Sorted(maps.Keys(w.table)) {
		if w.stored[id] == nil {
			d.add("%s is in the table, but has no state", id)
		}
	}
	return d.check("table read back read_committed", "equal")
}

func (w *world) checkRefold() Check {
	var d differences
	if w.refold != "" {
		d.add("%s", w.refold)
	}
	check := d.check("folded again from inputs and journal", "equal")
	if check.OK && w.replanned != "" {
		check.Answer, check.Detail = "not compared", w.replanned
	}
	return check
}

// checkCounts compares the dispositions with what the fold makes of the deliveries.
func (w *world) checkCounts(results map[string]*fold.Result) Check {
	var d differences
	t := w.total
	if !t.Balanced() {
		d.add("they do not add up: %+v", t)
	}
	if n := int64(len(w.deliveries)); n != w.sent {
		d.add("%d records were sent, the topic has %d", w.sent, n)
	}
	twice := t.Delivered - t.Lost - int64(len(w.deliveries))
	if twice != 0 && (twice < 0 || !redelivers(w.file.Contract)) {
		d.add("%d records are in the topic, %d are counted", len(w.deliveries), t.Delivered-t.Lost)
		twice = 0
	}
	if w.behind != "" {
		d.add("%s", w.behind)
	}
	var applied, refused, waiting, dropped int64
	exact := !anyClass(w.file.Contract.WithDefaults(), func(cl policies.Class) bool { return cl.Duplicate == policies.DuplicateReject })
	for _, r := range results {
		exact = exact && r.Unknown == ""
		applied += int64(len(r.Applied))
		refused += int64(len(r.Refused))
		waiting += int64(len(r.Waiting))
		dropped += int64(len(r.Dropped))
	}
	if !exact {
		check := d.check("counts", "add up")
		if check.OK {
			check.Detail = "what must be applied and refused depends on the arrival of some events"
		}
		return check
	}
	refused += int64(len(w.forgotten(results)))
	again := int64(len(w.deliveries)) + twice - applied - refused - waiting - dropped
	for _, c := range []struct {
		what      string
		got, want int64
	}{
		{"applied", t.Applied, applied},
		{"dead-lettered", t.DeadLettered, refused},
		{"held", t.Held, waiting},
		{"retrying", t.Retrying, 0},
		{"delivered again (duplicate, of a letter, superseded)", t.Duplicate + t.DuplicateOfDLQ + t.Superseded, again},
		{"late", t.LateDropped + t.Compensated + t.Absorbed, dropped},
		{"fenced", t.Fenced, 0},
	} {
		if c.got != c.want {
			d.add("%s: %d, must be %d", c.what, c.got, c.want)
		}
	}
	check := d.check("counts", "exact")
	if check.OK && twice > 0 {
		check.Detail = fmt.Sprintf("%d records were delivered again after a kill: their offsets waited for an event", twice)
	}
	return check
}

// A place is where a record of the input is.
type place struct {
	partition int32
	offset    int64
}

// checkLetters compares the dead letters with the events that the fold refuses.
func (w *world) checkLetters(results map[string]*fold.Result) Check {
	var d differences
	want := make(map[place]string) // entity
	unknown := make(map[string]bool)
	for id, r := range results {
		unknown[id] = r.Unknown != ""
		for _, i := range r.Refused {
			want[place{w.deliveries[i].partition, w.deliveries[i].offset}] = id
		}
	}
	at := make(map[place]*delivery, len(w.deliveries))
	for i := range w.deliveries {
		at[place{w.deliveries[i].partition, w.deliveries[i].offset}] = &w.deliveries[i]
	}
	rejects := anyClass(w.file.Contract.WithDefaults(), func(cl policies.Class) bool { return cl.Duplicate == policies.DuplicateReject })
	forgotten := w.forgotten(results)
	for i := range w.letters {
		l := &w.letters[i]
		p := place{l.Partition, l.Offset}
		e := at[p]
		switch _, wanted := want[p]; {
		case e == nil || l.Topic != w.file.Input.Topic:
			d.add("a letter is of %s-%d@%d, which is no event of the input", l.Topic, l.Partition, l.Offset)
		case e.invalid && l.Reason != e.reason:
			d.add("%s has a letter because it is %s, not %s", e, l.Reason, e.reason)
		case unknown[e.folded().Entity], forgotten[p]:
		case !wanted && (!rejects || l.Reason != policies.ReasonDuplicate):
			d.add("%s has a letter (%s), but should have none", e, l.Reason)
		}
		delete(want, p)
	}
	for _, p := range slices.SortedFunc(maps.Keys(want), func(a, b place) int {
		return cmp.Or(cmp.Compare(a.partition, b.partition), cmp.Compare(a.offset, b.offset))
	}) {
		if !unknown[want[p]] {
			d.add("%s has no letter", at[p])
		}
	}
	return d.check("letters", "as the fold refuses")
}

// String names the event of a delivery.
func (d *delivery) String() string {
	switch {
	case d.invalid && d.key == "":
		return fmt.Sprintf("a record without a key (partition %d offset %d)", d.partition, d.offset)
	case d.invalid:
		return fmt.Sprintf("%s (unusable metadata, partition %d offset %d)", d.key, d.partition, d.offset)
	case d.meta.HasSequence:
		return fmt.Sprintf("%s number %d", d.meta.Entity, d.meta.Sequence)
	default:
		return fmt.Sprintf("%s event %s", d.meta.Entity, d.meta.ID)
	}
}

// checkGaps compares which entities are parked, and which numbers are holes.
func (w *world) checkGaps(results map[string]*fold.Result) Check {
	var d differences
	stopped := w.stopped(results)
	for _, id := range slices.Sorted(maps.Keys(results)) {
		r := results[id]
		if r.Unknown != "" {
			continue
		}
		e := w.stored[id]
		if e == nil {
			e = &entity{}
		}
		if r.Parked != e.parked {
			d.add("%s: parked %v, must be %v", id, e.parked, r.Parked)
		}
		for _, g := range r.GivenUp {
			if wrong := w.tooEarly(g); wrong != "" && !stopped[w.deliveries[g.Event].partition] {
				d.add("%s", wrong)
			}
		}
		if want := joined(r.Holes); !slices.Equal(want, e.holes) {
			d.add("%s: holes %v, must be %v", id, e.holes, want)
		}
	}
	return d.check("parked entities and holes", "as the fold finds gaps")
}

// joined returns spans ascending, neighbours as one.
func joined(spans []fold.Span) []fold.Span {
	slices.SortFunc(spans, func(a, b fold.Span) int { return cmp.Compare(a.From, b.From) })
	var all []fold.Span
	for _, s := range spans {
		if last := len(all) - 1; last >= 0 && all[last].To+1 == s.From {
			all[last].To = s.To
			continue
		}
		all = append(all, s)
	}
	return all
}

// checkAgain asks, where this run delivered nothing new, that it changed nothing.
func (w *world) checkAgain() (Check, bool) {
	first, again := w.news()
	if first > 0 || again == 0 || w.baseline.Delivered-w.baseline.Lost != int64(len(w.deliveries))-int64(w.thisRun()) {
		return Check{}, false
	}
	var d differences
	if n := w.total.Applied - w.baseline.Applied; n != 0 {
		d.add("%d events were applied once more", n)
	}
	if !maps.EqualFunc(w.table, w.tableBefore, bytes.Equal) {
		d.add("the table is not what it was")
	}
	return d.check("fed again, the table is unchanged", "yes"), true
}

// news counts the events of this run that were never delivered before it, and those
// that were.
func (w *world) news() (first, again int) {
	known := make(map[name]bool)
	for i := range w.deliveries {
		if w.deliveries[i].before {
			known[w.deliveries[i].name()] = true
		}
	}
	seen := make(map[name]bool)
	for i := range w.deliveries {
		d := &w.deliveries[i]
		if n := d.name(); !d.before && !d.invalid && !seen[n] {
			seen[n] = true
			if known[n] {
				again++
			} else {
				first++
			}
		}
	}
	return first, again
}

// keyless counts the records of this run that have no key.
func (w *world) keyless() int {
	n := 0
	for i := range w.deliveries {
		if d := &w.deliveries[i]; !d.before && d.key == "" {
			n++
		}
	}
	return n
}

func (w *world) thisRun() int {
	n := 0
	for i := range w.deliveries {
		if !w.deliveries[i].before {
			n++
		}
	}
	return n
}
