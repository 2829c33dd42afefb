package kafkatest

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/streamrun/streamrun/topology/internal/kafka"
	"github.com/streamrun/streamrun/topology/internal/record"
)

// plainCases are about producers without transactions.
func plainCases() []kase {
	cases := []kase{
		{name: "plain/AtOnce", rule: "what a plain producer has acknowledged is read by everybody before its unit ends, and stays when that is aborted", run: plainAtOnce},
		{name: "plain/Phases", rule: "Flush may be called again and again inside a unit, and tells the first offsets of the whole unit", run: plainPhases},
		{name: "plain/Generation", rule: "offsets of another generation are ErrIllegalGeneration, of another member ErrUnknownMember; as the member is, they are there at once", run: plainGeneration},
		{name: "plain/NoOneFenced", rule: "Init of a plain producer gives another producer id, and fences nobody", run: plainFencesNobody},
		{name: "plain/WithAnID", rule: "a plain producer has no transactional id", run: func(x *bench) {
			if p, err := x.cluster.Producer(kafka.ProducerOptions{TransactionalID: "writer", Plain: true}); err == nil {
				p.Close()
				x.broken("it was opened with one")
			}
		}},
	}
	for _, req := range []Request{Produce, OffsetCommit} {
		for _, outcome := range []Outcome{LostNever, LostApplied} {
			applied := outcome == LostApplied
			cases = append(cases, kase{
				name:  fmt.Sprintf("plain/Indefinite/%s/%s", req, map[bool]string{true: "Applied", false: "NeverApplied"}[applied]),
				rule:  fmt.Sprintf("%s of a plain producer %s: ErrIndefinite; after Init it works on", req, outcome),
				needs: []Feature{InjectLost},
				run:   func(x *bench) { plainIndefinite(x, req, outcome) },
			})
		}
	}
	return cases
}

func (x *bench) plain() kafka.Producer {
	x.Helper()
	p := x.open(kafka.ProducerOptions{Plain: true, RequestTimeout: 2 * time.Second})
	_, err := p.Init(x.ctx)
	x.must("Init", err)
	return p
}

func plainAtOnce(x *bench) {
	tp := x.partition()
	p := x.plain()
	x.begin(p, out(tp, "a"), out(tp, "b"))
	if got := values(x.committed(tp)); !slices.Equal(got, []string{"a", "b"}) {
		x.broken("a committed reader has %q", got)
	}
	if m := x.marks(tp); m.HighWater != 2 || m.LastStable != 2 {
		x.broken("the marks are %+v: there is no control record", m)
	}
	x.must("End(abort)", p.End(x.ctx, false))
	x.commit(p, out(tp, "c"))
	if got := values(x.committed(tp)); !slices.Equal(got, []string{"a", "b", "c"}) {
		x.broken("in the end a committed reader has %q", got)
	}
}

func plainPhases(x *bench) {
	topic := x.topic(2)
	one, two := record.TopicPartition{Topic: topic}, record.TopicPartition{Topic: topic, Partition: 1}
	p := x.plain()
	x.commit(p, out(one, "before"))
	if acked := x.begin(p, out(one, "a")); acked[one] != 1 || len(acked) != 1 {
		x.broken("the first phase is at %v", acked)
	}
	x.must("Produce", p.Produce(x.ctx, p.Encode([]record.Output{out(one, "b"), out(two, "c")})))
	acked, err := p.Flush(x.ctx)
	x.must("Flush", err)
	if acked[one] != 1 || acked[two] != 0 || len(acked) != 2 {
		x.broken("both phases are at %v", acked)
	}
	x.must("End", p.End(x.ctx, true))
	if got := values(x.committed(one)); !slices.Equal(got, []string{"before", "a", "b"}) {
		x.broken("a committed reader has %q", got)
	}
}

func plainGeneration(x *bench) {
	c := x.crew(2, 1)
	now := c.join("a", "", nil).hasAll(2)
	p := x.plain()
	offsets := []kafka.CommittedOffset{{TopicPartition: c.all(2)[0], Offset: 5, Metadata: "five"}}
	x.must("Begin", p.Begin())
	for _, try := range []struct {
		member kafka.Member
		want   error
	}{
		{kafka.Member{ID: now.ID, Generation: now.Generation - 1}, kafka.ErrIllegalGeneration},
		{kafka.Member{ID: now.ID, Generation: now.Generation + 1}, kafka.ErrIllegalGeneration},
		{kafka.Member{ID: "somebody else", Generation: now.Generation}, kafka.ErrUnknownMember},
	} {
		if err := p.SendOffsets(x.ctx, c.group, try.member, offsets); !errors.Is(err, try.want) {
			x.broken("%+v, where the member is %+v: %v, want %v", try.member, now, err, try.want)
		}
	}
	if got := x.stable(c.group, offsets[0].TopicPartition); got.Offset != -1 {
		x.broken("a refused offset is there: %+v", got)
	}
	x.must("SendOffsets", p.SendOffsets(x.ctx, c.group, now, offsets))
	if got := x.stable(c.group, offsets[0].TopicPartition); got != offsets[0] {
		x.broken("before the end the offset is %+v", got)
	}
	x.must("End", p.End(x.ctx, true))
}

func plainFencesNobody(x *bench) {
	tp := x.partition()
	older, newer := x.plain(), x.plain()
	x.commit(older, out(tp, "a"))
	first, err := newer.Init(x.ctx)
	x.must("Init", err)
	second, err := newer.Init(x.ctx)
	x.must("Init", err)
	if first.ID == second.ID {
		x.broken("producer %d came twice", first.ID)
	}
	x.commit(newer, out(tp, "b"))
	x.commit(older, out(tp, "c"))
	if got := values(x.committed(tp)); !slices.Equal(got, []string{"a", "b", "c"}) {
		x.broken("a committed reader has %q", got)
	}
}

func plainIndefinite(x *bench, req Request, outcome Outcome) {
	tp, source := x.partition(), x.partition()
	p := x.open(kafka.ProducerOptions{Plain: true, RequestTimeout: time.Second})
	_, err := p.Init(x.ctx)
	x.must("Init", err)
	x.must("the unit before", x.transaction(p, tp, source, "before", 1))
	remove := x.h.Inject(Fault{Request: req, Outcome: outcome, Times: Always})
	if err := x.transaction(p, tp, source, "lost", 2); !errors.Is(err, kafka.ErrIndefinite) {
		x.broken("got: %v", err)
	}
	remove()
	if _, err := p.Init(x.ctx); err != nil {
		x.broken("Init after it: %v", err)
	}
	want, offset := []string{"before"}, int64(1)
	if req == OffsetCommit || outcome == LostApplied {
		want = append(want, "lost")
	}
	if req == OffsetCommit && outcome == LostApplied {
		offset = 2
	}
	if got := values(x.committed(tp)); !slices.Equal(got, want) {
		x.broken("the partition has %q, want %q", got, want)
	}
	if got := x.stable(x.group, source); got.Offset != offset {
		x.broken("the offset is %+v, want %d", got, offset)
	}
	x.must("the unit after", x.transaction(p, tp, source, "after", 3))
	if got := values(x.committed(tp)); !slices.Equal(got, append(want, "after")) {
		x.broken("in the end the partition has %q", got)
	}
}
