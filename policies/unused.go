package policies

// unused reports policies that differ from their defaults although the order
// never asks for them: their writer expects something that will not happen.
func (v *validator) unused() {
	usual := Contract{Shape: v.Shape, OrderBy: v.OrderBy}.WithDefaults()
	u := unusedFields{v: v, because: "order_by: " + string(v.OrderBy) + " never asks for it", fix: "leave it out, or order by sequence"}
	if v.OrderBy != BySequence {
		check(u, "start", v.Start, usual.Start)
		check(u, "gap", v.Gap, usual.Gap)
		if !v.Causal {
			check(u, "on_timeout", v.OnTimeout, usual.OnTimeout)
			check(u, "max_wait", v.MaxWait, usual.MaxWait)
		}
		v.unusedAuto("order_by: " + string(v.OrderBy) + " has no missing numbers")
		check(u, "max_holes", v.MaxHoles, usual.MaxHoles)
		check(u, "max_jump", v.MaxJump, usual.MaxJump)
		check(u, "on_version_backward", v.OnVersionBackward, usual.OnVersionBackward)
		v.unusedInClasses(u, usual.Class)
	} else if !v.holdsGaps() {
		g := unusedFields{v: v, because: "gap: " + string(v.Gap) + " holds nothing, so no hole is waited for", fix: "leave it out, or say gap: buffer"}
		if !v.Causal {
			check(g, "on_timeout", v.OnTimeout, usual.OnTimeout)
			check(g, "max_wait", v.MaxWait, usual.MaxWait)
		}
		v.unusedAuto("gap: " + string(v.Gap) + " does not wait for them")
	}
	if v.OnOverflow == OnOverflowSkip && v.OrderBy != ByEventTime && !v.holdsGaps() && !v.Causal {
		v.fault(CodeUnused, "on_overflow", "nothing is held behind a hole here, so there is no hole to skip", "say pause or park")
	}
	if v.OrderBy != ByEventTime {
		t := unusedFields{v: v, because: "only order_by: event_time has a watermark", fix: "leave it out"}
		check(t, "slack", v.Slack, usual.Slack)
		check(t, "max_future", v.MaxFuture, usual.MaxFuture)
	}
	if !v.Causal {
		c := unusedFields{v: v, because: "it bounds chains of causes, and causal is not set", fix: "leave it out, or say causal: true"}
		check(c, "max_depth", v.MaxDepth, usual.MaxDepth)
	}
	if v.Retry.Max < 0 {
		r := unusedFields{v: v, because: "retry.max is negative: nothing is tried again", fix: "leave it out, or say how often in retry.max"}
		check(r, "retry.delay", v.Retry.Delay, usual.Retry.Delay)
	}
}

// unusedInClasses reports policies of classes that only a sequence gives a meaning.
// Early is not among them: it has an error of its own.
func (v *validator) unusedInClasses(u unusedFields, usual Class) {
	v.eachClass(func(name string, cl Class) {
		u, base := u, usual
		if name != "" {
			u.class, base = name, v.Class
		}
		check(u, "conflict", cl.Conflict, base.Conflict)
		if v.OrderBy == ByVersion {
			check(u, "late", cl.Late, base.Late)
		}
	})
}

// unusedAuto reports an estimated wait that is never asked for.
func (v *validator) unusedAuto(because string) {
	if v.AutoWait {
		v.fault(CodeUnused, "max_wait", "auto is how long missing numbers are worth waiting for, and "+because, "leave it out")
	}
}

// holdsGaps reports whether events behind a hole are held until it closes.
func (c *Contract) holdsGaps() bool {
	return c.OrderBy == BySequence && (c.Gap == GapBuffer || c.Gap == GapRebuild)
}

// unusedFields is why some fields are not asked for.
type unusedFields struct {
	v            *validator
	class        string
	because, fix string
}

func check[T comparable](u unusedFields, field string, value, usual T) {
	if value != usual {
		u.v.classFault(CodeUnused, u.class, field, u.because, u.fix)
	}
}
