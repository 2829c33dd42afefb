package kafkatest

import (
	"errors"

	"github.com/streamrun/streamrun/topology/internal/kafka"
	"github.com/streamrun/streamrun/topology/internal/record"
)

// marksCases are about log start, high-water mark and last stable offset.
func marksCases() []kase {
	return []kase{
		{name: "marks/OpenTransaction", rule: "an open transaction holds the last stable offset, not the high-water mark, and hides what is behind it", run: openTransaction},
		{name: "marks/UnknownTopic", rule: "the marks of a topic or partition that does not exist are ErrUnknownTopic", run: marksUnknownTopic},
	}
}

func openTransaction(x *bench) {
	tp := x.partition()
	if got := x.marks(tp); got != (kafka.Marks{}) {
		x.broken("an empty partition has the marks %+v", got)
	}
	open, other := x.producer("open"), x.producer("other")
	x.commit(other, out(tp, "0")) // and its marker at 1
	x.settled(tp)
	x.begin(open, out(tp, "2"))
	x.commit(other, out(tp, "3"))
	x.eventually(func() bool { return x.marks(tp).HighWater == 5 }, "the marker of the other transaction is not in the log")
	if got, want := x.marks(tp), (kafka.Marks{HighWater: 5, LastStable: 2}); got != want {
		x.broken("marks %+v, want %+v", got, want)
	}
	fetch := func(opts kafka.FetchOptions, from, to int64) (n int) {
		f := x.fetcher(opts)
		answer, err := f.Fetch(x.ctx, []kafka.Position{{TopicPartition: tp, Offset: from}})
		x.must("Fetch", err)
		for _, got := range answer {
			n += len(got.Records)
			if got.Next != to || got.HighWater != 5 || got.LastStable != 2 || got.LogStart != 0 || got.Err != nil {
				x.broken("Fetch from %d answered %+v; want next %d, high water 5, last stable 2", from, got, to)
			}
		}
		return n
	}
	if n := fetch(kafka.FetchOptions{}, 2, 2); n != 0 {
		x.broken("a committed reader passed the last stable offset: %d records", n)
	}
	if got := x.read(kafka.FetchOptions{ReadUncommitted: true}, tp, 0, 5); len(got) != 3 {
		x.broken("an uncommitted reader has %d records, want 3", len(got))
	}
	x.must("End", open.End(x.ctx, true))
	if got := values(x.committed(tp)); len(got) != 3 || got[1] != "2" || got[2] != "3" {
		x.broken("after the commit: %q", got)
	}
	if got, want := x.marks(tp), (kafka.Marks{HighWater: 6, LastStable: 6}); got != want {
		x.broken("after the commit: marks %+v, want %+v", got, want)
	}
}

func marksUnknownTopic(x *bench) {
	tp := x.partition()
	for _, unknown := range []record.TopicPartition{{Topic: "no-such-topic"}, {Topic: tp.Topic, Partition: 7}} {
		_, err := x.adm().EndOffsets(x.ctx, []record.TopicPartition{tp, unknown})
		if !errors.Is(err, kafka.ErrUnknownTopic) {
			x.broken("%v: %v", unknown, err)
		}
	}
}
