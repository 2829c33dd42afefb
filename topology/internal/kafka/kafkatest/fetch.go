package kafkatest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/streamrun/streamrun/topology/internal/kafka"
	"github.com/streamrun/streamrun/topology/internal/record"
)

// fetchCases are about positions, waiting and budgets of a reader.
func fetchCases() []kase {
	return []kase{
		{name: "fetch/NextPassesControlRecords", rule: "Next is the position after everything read, control records included", run: nextPassesControl},
		{name: "fetch/NextPassesAborted", rule: "Next passes aborted records and their marker, with no records in between", run: nextPassesAborted},
		{name: "fetch/StartsInsideBatch", rule: "a position inside a batch gets what follows it, nothing before", run: startsInsideBatch},
		{name: "fetch/OffsetOutOfRange", rule: "a position outside the log is ErrOffsetOutOfRange of its partition, with the ends of the log: no silent reset, the others are served", run: offsetOutOfRange},
		{name: "fetch/UnknownTopic", rule: "fetching a topic or partition that does not exist is ErrUnknownTopic", run: fetchUnknownTopic},
		{name: "fetch/ManyPartitions", rule: "an answer has at most one Fetched for each position, in their order", run: manyPartitions},
		{name: "fetch/Budget", rule: "an answer keeps to the bytes asked for, and holds at least one record", run: fetchBudget},
		{name: "fetch/WokenByData", rule: "a waiting Fetch answers when there is something, not when MaxWait is over", run: wokenByData},
		{name: "fetch/EmptyAnswer", rule: "with nothing new an answer is without records, and comes when MaxWait is over", run: emptyAnswer},
		{name: "fetch/Cancelled", rule: "a waiting Fetch returns at once when its context ends, with the context's error", run: fetchCancelled},
		{name: "fetch/RecordsStayValid", rule: "records stay valid as long as they are referenced", run: recordsStayValid},
		{name: "fetch/ClusterClose", rule: "closing the cluster ends a waiting Fetch with an error", run: clusterClose},
	}
}

func nextPassesControl(x *bench) {
	tp := x.partition()
	p := x.producer("writer")
	x.commit(p, out(tp, "0"))
	x.commit(p, out(tp, "2"))
	if end := x.settled(tp); end != 4 {
		x.broken("two records and two markers, but the end is %d", end)
	}
	got := x.read(kafka.FetchOptions{}, tp, 0, 4)
	if len(got) != 2 || got[0].Offset != 0 || got[1].Offset != 2 {
		x.broken("records at %v", got)
	}
	if got := x.read(kafka.FetchOptions{}, tp, 3, 4); len(got) != 0 {
		x.broken("at the marker: %q", values(got))
	}
	if got := x.read(kafka.FetchOptions{ReadUncommitted: true}, tp, 0, 4); len(got) != 2 {
		x.broken("an uncommitted reader gets %d records, want 2: control records are nobody's", len(got))
	}
}

func nextPassesAborted(x *bench) {
	tp := x.partition()
	p := x.producer("writer")
	for range 3 {
		x.abort(p, out(tp, "gone"), out(tp, "gone"))
	}
	end := x.settled(tp)
	if end != 9 {
		x.broken("six aborted records and three markers, but the end is %d", end)
	}
	if got := x.read(kafka.FetchOptions{}, tp, 0, end); len(got) != 0 {
		x.broken("read %q", values(got))
	}
}

func startsInsideBatch(x *bench) {
	tp := x.partition()
	var outputs []record.Output
	for i := range 10 {
		outputs = append(outputs, out(tp, fmt.Sprint(i)))
	}
	x.commit(x.producer("writer"), outputs...)
	end := x.settled(tp)
	for from := range int64(10) {
		got := x.read(kafka.FetchOptions{}, tp, from, end)
		if len(got) != int(10-from) || got[0].Offset != from || string(got[0].Value) != fmt.Sprint(from) {
			x.broken("from %d: %d records, %q", from, len(got), values(got))
		}
	}
}

func offsetOutOfRange(x *bench) {
	bad, good := x.partition(), x.partition()
	x.commit(x.producer("writer"), out(bad, "bad"), out(good, "good"))
	end := x.settled(bad)
	x.settled(good)
	f := x.fetcher(kafka.FetchOptions{})
	var refused, served bool
	x.eventually(func() bool {
		answer, err := f.Fetch(x.ctx, []kafka.Position{{TopicPartition: bad, Offset: end + 100}, {TopicPartition: good}})
		if err != nil {
			x.broken("the whole answer failed: %v", err)
		}
		for _, got := range answer {
			switch got.TopicPartition {
			case bad:
				if got.LogStart != 0 || got.HighWater != end || got.LastStable != end {
					x.broken("the log is 0 to %d, the answer says %+v", end, got)
				}
				if !errors.Is(got.Err, kafka.ErrOffsetOutOfRange) || got.Next != end+100 || len(got.Records) != 0 {
					x.broken("offset %d of a log that ends at %d: %+v", end+100, end, got)
				}
				refused = true
			case good:
				served = served || len(got.Records) == 1
			}
		}
		return refused && served
	}, "no answer for both partitions")
	// The end itself is not out of range.
	answer, err := f.Fetch(x.ctx, []kafka.Position{{TopicPartition: bad, Offset: end}})
	x.must("Fetch at the end", err)
	for _, got := range answer {
		if got.Err != nil || got.Next != end {
			x.broken("at the end: %+v", got)
		}
	}
}

func fetchUnknownTopic(x *bench) {
	tp := x.partition()
	for _, unknown := range []record.TopicPartition{{Topic: "no-such-topic"}, {Topic: tp.Topic, Partition: 7}} {
		_, err := x.fetcher(kafka.FetchOptions{}).Fetch(x.ctx, []kafka.Position{{TopicPartition: unknown}})
		if !errors.Is(err, kafka.ErrUnknownTopic) {
			x.broken("%v: %v", unknown, err)
		}
	}
}

func manyPartitions(x *bench) {
	const partitions = 6
	one, two := x.topic(partitions), x.topic(partitions)
	var (
		outputs   []record.Output
		positions []kafka.Position
		at        = map[record.TopicPartition]int{}
	)
	for part := int32(partitions - 1); part >= 0; part-- {
		for _, topic := range []string{two, one} {
			tp := record.TopicPartition{Topic: topic, Partition: part}
			outputs = append(outputs, out(tp, fmt.Sprint(tp)))
			at[tp] = len(positions)
			positions = append(positions, kafka.Position{TopicPartition: tp})
		}
	}
	x.commit(x.producer("writer"), outputs...)
	f := x.fetcher(kafka.FetchOptions{})
	missing := len(positions)
	x.eventually(func() bool {
		answer, err := f.Fetch(x.ctx, positions)
		x.must("Fetch", err)
		last := -1
		for _, got := range answer {
			i, known := at[got.TopicPartition]
			if !known || i <= last {
				x.broken("answer not in the order of the positions, or twice: %v behind position %d", got.TopicPartition, last)
			}
			last = i
			if len(got.Records) > 0 {
				if string(got.Records[0].Value) != fmt.Sprint(got.TopicPartition) {
					x.broken("%v has the record %q", got.TopicPartition, got.Records[0].Value)
				}
				missing--
			}
			positions[i].Offset = got.Next
		}
		return missing == 0
	}, "records of all partitions")
}

func fetchBudget(x *bench) {
	tp := x.partition()
	p := x.producer("writer")
	const n, size = 40, 8 << 10
	for i := range n {
		x.commit(p, out(tp, strings.Repeat(string(rune('a'+i%26)), size)))
	}
	end := x.settled(tp)
	f := x.fetcher(kafka.FetchOptions{PartitionMaxBytes: 3 * size})
	records, answers, bytes := 0, 0, 0
	for at := int64(0); at < end; {
		answer, err := f.Fetch(x.ctx, []kafka.Position{{TopicPartition: tp, Offset: at}})
		x.must("Fetch", err)
		for _, got := range answer {
			sum := 0
			for _, r := range got.Records {
				sum += len(r.Key) + len(r.Value)
			}
			if sum != got.Bytes {
				x.broken("Bytes is %d, the keys and values have %d", got.Bytes, sum)
			}
			if sum > 4*size {
				x.broken("%d bytes in an answer that was to have %d", sum, 3*size)
			}
			at = got.Next
			records += len(got.Records)
			bytes += sum
			answers++
		}
	}
	if records != n || bytes != n*size {
		x.broken("%d records, %d bytes in %d answers, want %d", records, bytes, answers, n)
	}
	// One record that is larger than the budget is served all the same.
	if got := x.read(kafka.FetchOptions{PartitionMaxBytes: 16}, tp, 0, 1); len(got) != 1 {
		x.broken("a record larger than the budget: %d records", len(got))
	}
}

func wokenByData(x *bench) {
	tp := x.partition()
	p := x.producer("writer")
	x.begin(p, out(tp, "woken"))
	f := x.fetcher(kafka.FetchOptions{MaxWait: caseDeadline})
	type result struct {
		answer []kafka.Fetched
		err    error
	}
	done := make(chan result, 1)
	go func() {
		answer, err := f.Fetch(x.ctx, []kafka.Position{{TopicPartition: tp}})
		done <- result{answer, err}
	}()
	x.must("End", p.End(x.ctx, true))
	select {
	case r := <-done:
		if r.err != nil || len(r.answer) != 1 || len(r.answer[0].Records) != 1 {
			x.broken("answered %+v, %v", r.answer, r.err)
		}
	case <-time.After(caseDeadline / 2):
		x.broken("a committed record did not wake it within %v", caseDeadline/2)
	}
}

func emptyAnswer(x *bench) {
	tp := x.partition()
	const wait = 300 * time.Millisecond
	f := x.fetcher(kafka.FetchOptions{MaxWait: wait})
	start := time.Now()
	for range 2 {
		answer, err := f.Fetch(x.ctx, []kafka.Position{{TopicPartition: tp}})
		x.must("Fetch", err)
		for _, got := range answer {
			if len(got.Records) != 0 || got.Next != 0 || got.Err != nil || got.HighWater != 0 {
				x.broken("an empty partition answered %+v", got)
			}
		}
	}
	// Less than twice the wait, because a first answer with unknown marks may come early.
	if took := time.Since(start); took < wait*8/10 || took > prompt {
		x.broken("two empty answers, MaxWait %v each, took %v", wait, took)
	}
}

func fetchCancelled(x *bench) {
	tp := x.partition()
	f := x.fetcher(kafka.FetchOptions{MaxWait: caseDeadline})
	x.within(200*time.Millisecond, "Fetch", func(ctx context.Context) {
		for {
			// Answers before the end of the context tell marks at most.
			answer, err := f.Fetch(ctx, []kafka.Position{{TopicPartition: tp}})
			if err == nil && len(answer) > 0 && len(answer[0].Records) == 0 && ctx.Err() == nil {
				continue
			}
			if !errors.Is(err, context.DeadlineExceeded) {
				x.broken("answered %+v, %v", answer, err)
			}
			return
		}
	})
	// The fetcher is good for another call.
	x.commit(x.producer("writer"), out(tp, "after"))
	x.settled(tp)
	answer, err := f.Fetch(x.ctx, []kafka.Position{{TopicPartition: tp}})
	if err != nil || len(answer) != 1 || len(answer[0].Records) != 1 {
		x.broken("the Fetch after the cancelled one answered %+v, %v", answer, err)
	}
}

func recordsStayValid(x *bench) {
	tp := x.partition()
	p := x.producer("writer")
	var want []string
	for i := range 50 {
		v := strings.Repeat(fmt.Sprintf("%02d", i), 50)
		x.commit(p, out(tp, v))
		want = append(want, v)
	}
	end := x.settled(tp)
	got := x.read(kafka.FetchOptions{PartitionMaxBytes: 400}, tp, 0, end)
	x.read(kafka.FetchOptions{}, tp, 0, end)
	if !slices.Equal(values(got), want) {
		x.broken("records of earlier answers changed: %q", values(got))
	}
}

func clusterClose(x *bench) {
	tp := x.partition()
	f := x.fetcher(kafka.FetchOptions{MaxWait: caseDeadline})
	done := make(chan error, 1)
	started := make(chan struct{})
	go func() {
		close(started)
		for {
			if _, err := f.Fetch(x.ctx, []kafka.Position{{TopicPartition: tp}}); err != nil {
				done <- err
				return
			}
		}
	}()
	<-started
	x.must("closing the cluster", x.cluster.Close())
	select {
	case err := <-done:
		if x.ctx.Err() != nil {
			x.broken("it ended with its context: %v", err)
		}
	case <-time.After(prompt):
		x.broken("still waiting %v after Close", prompt)
	}
	if x.cluster.Close() != nil {
		x.broken("a second Close is not nil")
	}
}
