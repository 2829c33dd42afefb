package policies

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Code names one way in which a contract can contradict itself. It is an error,
// so that errors.Is(err, CodeDeadlock) asks for it.
type Code string

// Error returns the code.
func (c Code) Error() string { return string(c) }

// Codes of ContractError.
const (
	CodeSentence       Code = "sentence"        // half of the sentence is missing, or is no single line
	CodeUnknownValue   Code = "unknown_value"   // a policy that does not exist
	CodeBadBound       Code = "bad_bound"       // a count that nothing fits into
	CodeBadWait        Code = "bad_wait"        // a negative duration, or one that the millisecond clock cannot measure
	CodeBadStart       Code = "bad_start"       // a first number that no event may have
	CodeNamelessClass  Code = "nameless_class"  // a class that no event can name
	CodeUnused         Code = "unused"          // a policy that this order never asks for
	CodeShape          Code = "shape"           // the order throws away what the shape needs
	CodeLatestWins     Code = "latest_wins"     // latest-wins feeds an effect that is not idempotent
	CodeDeadlock       Code = "deadlock"        // what is waited for lies behind what waits
	CodeUnreplayable   Code = "unreplayable"    // a rebuild without a source to rebuild from
	CodeForgotten      Code = "forgotten"       // the source forgets what the policy reads again
	CodeCausalOrder    Code = "causal_order"    // causes are waited for in sequence orders only
	CodeCausalKey      Code = "causal_key"      // cause and effect may be in different tasks
	CodeCausalRebuild  Code = "causal_rebuild"  // a rebuild brings no cause of another entity
	CodeVolatile       Code = "volatile"        // exactly once forgets no held event
	CodeVolatileWait   Code = "volatile_wait"   // held-back offsets stand still for too long
	CodeNoCompensation Code = "no_compensation" // no function compensates
	CodeNothingWaits   Code = "nothing_waits"   // every class is applied early
	CodeNoRetries      Code = "no_retries"      // a policy of retries that never retries
	CodeNarrowJump     Code = "narrow_jump"     // every gap is refused as a jump
	CodeNarrowDLQ      Code = "narrow_dlq"      // a parked entity has more events than letters
	CodeEffects        Code = "effects"         // effects of events that are never applied
)

// A ContractError is one contradiction of a contract.
type ContractError struct {
	Code    Code
	Class   string // the class that says it; empty for the contract's own
	Field   string // as a topology file writes it: "max_held", "retry.delay", "late"
	Other   string // the field that Field contradicts, where there is one and Field may be a default
	Problem string
	Fix     string
}

// Error says where, what and what to do about it.
func (e *ContractError) Error() string {
	where := e.Field
	if e.Class != "" {
		where = "classes." + e.Class + "." + e.Field
	}
	return "policies: contract: " + where + ": " + e.Problem + "; " + e.Fix
}

// Unwrap returns the Code.
func (e *ContractError) Unwrap() error { return e.Code }

// Validate returns every contradiction of the contract at once, joined, each a
// *ContractError, in an order that depends on nothing but the contract; nil for a
// sound one. A contract and the same WithDefaults have the same errors.
func (c Contract) Validate(facts Facts) error {
	v := validator{facts: facts}
	v.sentence("events_for", c.EventsFor)
	v.sentence("because", c.Because)
	v.values(&c)
	v.bounds(&c)
	v.Contract = c.WithDefaults()
	v.unused()
	v.contradictions()
	errs := make([]error, len(v.errs))
	for i, e := range v.errs {
		errs[i] = e
	}
	return errors.Join(errs...)
}

// A validator collects errors about a contract that has its defaults.
type validator struct {
	Contract
	facts Facts
	errs  []*ContractError
}

func (v *validator) fault(code Code, field, problem, fix string) {
	v.classFault(code, "", field, problem, fix)
}

func (v *validator) classFault(code Code, class, field, problem, fix string) {
	v.errs = append(v.errs, &ContractError{Code: code, Class: class, Field: field, Problem: problem, Fix: fix})
}

// against names the field that the last fault is against.
func (v *validator) against(field string) { v.errs[len(v.errs)-1].Other = field }

func (v *validator) sentence(field, text string) {
	const whole = `the contract is the sentence "events for EVENTS_FOR must be processed in order because BECAUSE"`
	switch {
	case strings.TrimSpace(text) == "":
		v.fault(CodeSentence, field, "it is missing", "say it: "+whole)
	case strings.ContainsAny(text, "\n\r"):
		v.fault(CodeSentence, field, "it has a line break", "write it as one line: "+whole)
	}
}

// values reports policies that do not exist, and takes them out of c so that
// nothing else is reported because of them. c's map is copied.
func (v *validator) values(c *Contract) {
	known(v, "", "shape", &c.Shape, Snapshot, Delta, Command)
	known(v, "", "order_by", &c.OrderBy, BySequence, ByVersion, ByEventTime)
	known(v, "", "reset", &c.Reset, ResetForbid, ResetEpoch)
	known(v, "", "gap", &c.Gap, GapBuffer, GapReject, GapRetry, GapRebuild, GapApply)
	known(v, "", "on_timeout", &c.OnTimeout, OnTimeoutPark, OnTimeoutSkip, OnTimeoutRebuild, OnTimeoutHold)
	known(v, "", "on_overflow", &c.OnOverflow, OnOverflowPause, OnOverflowSkip, OnOverflowPark)
	known(v, "", "buffer", &c.Buffer, BufferDurable, BufferVolatile)
	known(v, "", "on_version_backward", &c.OnVersionBackward, VersionCount, VersionReject)
	v.classValues("", &c.Class)
	classes := make(map[string]Class, len(c.Classes))
	for _, name := range c.classNames() {
		if name == "" {
			v.fault(CodeNamelessClass, "classes", "a class has no name", "name it as its events do, or move its policies to the contract, which holds those of every other class")
			continue
		}
		cl := c.Classes[name]
		v.classValues(name, &cl)
		classes[name] = cl
	}
	c.Classes = classes
}

func (v *validator) classValues(name string, cl *Class) {
	known(v, name, "early", &cl.Early, EarlyWait, EarlyApply)
	known(v, name, "late", &cl.Late, LateReject, LateDrop, LateRebuild, LateCompensate)
	known(v, name, "duplicate", &cl.Duplicate, DuplicateDrop, DuplicateReject)
	known(v, name, "conflict", &cl.Conflict, ConflictReject, ConflictPark)
	known(v, name, "poison", &cl.Poison, PoisonPark, PoisonSkip)
	known(v, name, "effects", &cl.Effects, EffectsInOrder, EffectsAlways, EffectsNever)
}

func known[T ~string](v *validator, class, field string, value *T, all ...T) {
	if *value == "" || slices.Contains(all, *value) {
		return
	}
	names := make([]string, len(all))
	for i, a := range all {
		names[i] = string(a)
	}
	v.classFault(CodeUnknownValue, class, field, fmt.Sprintf("there is no %q", string(*value)),
		"say "+strings.Join(names[:len(names)-1], ", ")+" or "+names[len(names)-1])
	*value = ""
}

// bounds reports counts and durations that cannot be meant, and takes them out of c.
func (v *validator) bounds(c *Contract) {
	if s := c.Start; s.set && !s.firstSeen && (s.at < 0 || s.at > maxSequence) {
		v.fault(CodeBadStart, "start", strconv.FormatInt(s.at, 10)+" is no sequence number", "say first_seen or a number from 0 to "+strconv.FormatInt(maxSequence, 10))
		c.Start = Start{}
	}
	wait(v, "max_wait", &c.MaxWait, DefaultMaxWait)
	wait(v, "max_wait.min", &c.MinWait, DefaultMinWait)
	longest := c.MaxWait
	def(&longest, DefaultMaxWait)
	switch {
	case c.MinWait > 0 && !c.AutoWait:
		v.fault(CodeUnused, "max_wait.min", "only a wait that is estimated has a shortest", "leave it out, or say max_wait: auto")
	case c.MinWait > longest:
		v.fault(CodeBadWait, "max_wait.min", duration(c.MinWait)+" is longer than the longest wait, "+duration(longest), "make it shorter, or max_wait longer")
		c.MinWait = 0
	}
	count(v, "max_held", &c.MaxHeld, DefaultMaxHeld)
	count(v, "id_memory", &c.IDMemory, DefaultIDMemory)
	count(v, "max_holes", &c.MaxHoles, DefaultMaxHoles)
	count(v, "max_dlq", &c.MaxDLQ, DefaultMaxDLQ)
	count(v, "max_jump", &c.MaxJump, DefaultMaxJump)
	wait(v, "retry.delay", &c.Retry.Delay, DefaultDelay)
	wait(v, "slack", &c.Slack, 0)
	wait(v, "max_future", &c.MaxFuture, DefaultMaxFuture)
	count(v, "max_depth", &c.MaxDepth, DefaultMaxDepth)
}

// maxSequence is the greatest sequence number that an event may have.
const maxSequence = math.MaxInt64 - 1

func count[T int | int64](v *validator, field string, value *T, usual T) {
	if *value < 0 {
		v.fault(CodeBadBound, field, fmt.Sprintf("%d is less than nothing", *value), fmt.Sprintf("leave it out for %d", usual))
		*value = 0
	}
}

func wait(v *validator, field string, value *time.Duration, usual time.Duration) {
	switch d := *value; {
	case d < 0:
		v.fault(CodeBadWait, field, d.String()+" is less than nothing", "leave it out for "+duration(usual))
	case d%time.Millisecond != 0:
		v.fault(CodeBadWait, field, d.String()+" is no whole number of milliseconds, and no clock of an order is finer", "round it")
	default:
		return
	}
	*value = 0
}

// classNames returns the names of the classes in order.
func (c *Contract) classNames() []string {
	names := make([]string, 0, len(c.Classes))
	for name := range c.Classes {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// eachClass calls f for the contract's own class, under "", and for every other by name.
func (c *Contract) eachClass(f func(name string, cl Class)) {
	f("", c.Class)
	for _, name := range c.classNames() {
		f(name, c.Classes[name])
	}
}

// duration is d in its shortest exact form: 30s, 5m, 1h30m.
func duration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
