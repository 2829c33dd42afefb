package wire

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/IBM/sarama"

	"github.com/streamrun/streamrun/topology/internal/kafka"
	"github.com/streamrun/streamrun/topology/internal/record"
)

// Fetcher implements kafka.Cluster.
func (c *cluster) Fetcher(opts kafka.FetchOptions) (kafka.Fetcher, error) {
	if opts.MinBytes == 0 {
		opts.MinBytes = 1
	}
	if opts.MaxWait == 0 {
		opts.MaxWait = 100 * time.Millisecond
	}
	if opts.MaxBytes == 0 {
		opts.MaxBytes = 16 << 20
	}
	if opts.PartitionMaxBytes == 0 {
		opts.PartitionMaxBytes = 1 << 20
	}
	f := &fetcher{cluster: c, opts: opts, last: map[record.TopicPartition]mark{}, stale: map[record.TopicPartition]bool{}}
	f.stalls.limit = stallLimit
	f.route = c.router(func(conf *sarama.Config) { conf.Net.ReadTimeout += opts.MaxWait })
	return f, c.keep(f)
}

// fetcher implements kafka.Fetcher.
type fetcher struct {
	cluster *cluster
	opts    kafka.FetchOptions
	route   *router
	calls   int64
	last    map[record.TopicPartition]mark // what the caller knows
	stale   map[record.TopicPartition]bool // whose leader is to be asked for again
	stalls  stalls

	unanswered []record.TopicPartition // of the last call
}

// Unanswered implements kafka.Fetcher.
func (f *fetcher) Unanswered() []record.TopicPartition { return f.unanswered }

// A mark is what the caller knows of a partition since a call.
type mark struct {
	call int64
	next int64
	kafka.Marks
}

// Close implements kafka.Fetcher.
func (f *fetcher) Close() error {
	f.cluster.forget(f)
	return f.route.Close()
}

// Wait implements kafka.Fetcher.
func (f *fetcher) Wait(minBytes int32, maxWait time.Duration) {
	f.opts.MinBytes, f.opts.MaxWait = minBytes, maxWait
}

// An answer is what a request brought for one partition.
type answer struct {
	fetched kafka.Fetched
	have    bool
	stale   bool  // the leader was not the leader
	stuck   error // nothing comes for too long; not so yet if others were asked for too
}

// Fetch implements kafka.Fetcher. It asks every leader once and waits for all of
// them, so that each answer is younger than the call.
func (f *fetcher) Fetch(ctx context.Context, positions []kafka.Position) ([]kafka.Fetched, error) {
	var (
		b       backoff
		answers = make([]answer, len(positions))
		started = time.Now()
	)
	f.calls++
	for {
		byLeader, complete, err := f.plan(ctx, positions, started)
		if err != nil {
			return nil, fmt.Errorf("kafka/wire: fetching: %w", err)
		}
		if len(byLeader) > 1 {
			// One idle leader must not hold back what another has.
			err = f.round(ctx, byLeader, positions, answers, 0)
		}
		moved := slices.ContainsFunc(answers, func(a answer) bool { return a.stale })
		if err == nil && !moved && !f.news(answers) {
			err = f.round(ctx, byLeader, positions, answers, max(f.opts.MaxWait-time.Since(started), 0))
		}
		if err != nil {
			return nil, fmt.Errorf("kafka/wire: fetching: %w", err)
		}
		out := f.collect(positions, answers)
		if len(out) > 0 || complete && (len(f.unanswered) == 0 || time.Since(started) >= f.opts.MaxWait) {
			return out, nil
		}
		for i := range answers {
			answers[i] = answer{}
		}
		if err := f.route.wait(ctx, &b); err != nil {
			return nil, fmt.Errorf("kafka/wire: fetching: %w", err)
		}
	}
}

// plan groups the positions by the address of their leader. Metadata is asked for
// when a leader is not known, or was not the leader when it was last asked, be it
// in an earlier call: the others may have had news then. complete
// says that every partition exists; one that does not for long is an error.
func (f *fetcher) plan(ctx context.Context, positions []kafka.Position, started time.Time) (byLeader map[string][]int, complete bool, err error) {
	for refreshed := false; ; refreshed = true {
		byLeader = map[string][]int{}
		var ask []string
		for i, p := range positions {
			if addr, _, ok := f.route.leader(p.TopicPartition); ok && !f.stale[p.TopicPartition] {
				byLeader[addr] = append(byLeader[addr], i)
			} else {
				ask = append(ask, p.Topic)
			}
		}
		if len(ask) == 0 {
			return byLeader, true, nil
		}
		if refreshed {
			for _, p := range positions {
				switch {
				case f.route.exists(p.TopicPartition):
				case time.Since(started) > unknownGrace:
					return nil, false, f.route.unknown(p.TopicPartition)
				default:
					return byLeader, false, nil
				}
			}
			return byLeader, true, nil
		}
		if err := f.route.refresh(ctx, ask); err != nil {
			return nil, false, err
		}
		clear(f.stale)
	}
}

// round asks every leader at the same time.
func (f *fetcher) round(ctx context.Context, byLeader map[string][]int, positions []kafka.Position, answers []answer, wait time.Duration) error {
	if len(byLeader) == 1 {
		for addr, parts := range byLeader {
			return f.from(ctx, addr, positions, parts, answers, wait)
		}
	}
	var all sync.WaitGroup
	errs := make(chan error, len(byLeader))
	for addr, parts := range byLeader {
		all.Go(func() { errs <- f.from(ctx, addr, positions, parts, answers, wait) })
	}
	all.Wait()
	close(errs)
	var joined []error
	for err := range errs {
		joined = append(joined, err)
	}
	return errors.Join(joined...)
}

// from asks one leader for the positions that parts number. A connection that
// breaks is not an error: the leader may be gone, and the partitions are marked.
func (f *fetcher) from(ctx context.Context, addr string, positions []kafka.Position, parts []int, answers []answer, wait time.Duration) error {
	c, err := f.route.connect(ctx, addr)
	if err == nil {
		var response *sarama.FetchResponse
		if response, err = ask(ctx, c, (*sarama.Broker).Fetch, f.request(positions, parts, wait, f.opts.PartitionMaxBytes)); err == nil {
			for _, i := range parts {
				err := f.take(ctx, addr, positions[i], response, &answers[i])
				if err == nil && answers[i].stuck != nil {
					err = f.isolate(ctx, addr, positions[i], &answers[i])
				}
				if err != nil {
					return err
				}
			}
			return nil
		}
		f.route.drop(c)
		if ctx.Err() == nil && !c.sock.broken.Load() {
			// The answer came whole, but sarama cannot decode something in it.
			return f.singly(ctx, addr, positions, parts, answers)
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if errors.Is(err, errClosed) {
		return err
	}
	for _, i := range parts {
		answers[i] = answer{stale: true}
	}
	return nil
}

// singly asks for each partition alone, so that one batch that cannot be decoded
// costs the others nothing.
func (f *fetcher) singly(ctx context.Context, addr string, positions []kafka.Position, parts []int, answers []answer) error {
	for _, i := range parts {
		if len(parts) == 1 {
			return f.isolate(ctx, addr, positions[i], &answers[i])
		}
		if err := f.from(ctx, addr, positions, []int{i}, answers, 0); err != nil {
			return err
		}
	}
	return nil
}

// isolate asks for the one batch at a position: it is served, or named.
func (f *fetcher) isolate(ctx context.Context, addr string, p kafka.Position, a *answer) error {
	c, err := f.route.connect(ctx, addr)
	if err != nil {
		*a = answer{stale: true}
		return ctx.Err()
	}
	// A broker returns the first batch whole, whatever the limit.
	response, err := ask(ctx, c, (*sarama.Broker).Fetch, f.request([]kafka.Position{p}, []int{0}, 0, 1))
	if err != nil {
		f.route.drop(c)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if c.sock.broken.Load() {
			*a = answer{stale: true}
			return nil
		}
		if l := (*lostError)(nil); errors.As(err, &l) {
			err = l.err // there was an answer: it could not be decoded
		}
		f.undecodable(ctx, addr, p, err, a)
		return nil
	}
	block := response.GetBlock(p.Topic, p.Partition)
	if block != nil && block.Err == sarama.ErrNoError {
		if got, err := read(p.Offset, block, !f.opts.ReadUncommitted); err != nil || got.short {
			if err == nil {
				err = errShort
			}
			f.undecodable(ctx, addr, p, err, a)
			return nil
		}
	}
	err = f.take(ctx, addr, p, response, a)
	if a.stuck != nil {
		a.fetched.Err = a.stuck
	}
	return err
}

// undecodable says that the batch at a position cannot be read.
func (f *fetcher) undecodable(ctx context.Context, addr string, p kafka.Position, err error, a *answer) {
	*a = answer{have: true, fetched: kafka.Fetched{
		TopicPartition: p.TopicPartition, Next: p.Offset,
		Err: &kafka.UndecodableError{TopicPartition: p.TopicPartition, Offset: p.Offset, Next: f.behind(ctx, addr, p), Err: err},
	}}
}

// readable returns the end of what the fetcher may read.
func (f *fetcher) readable(block *sarama.FetchResponseBlock) int64 {
	if f.opts.ReadUncommitted {
		return block.HighWaterMarkOffset
	}
	return block.LastStableOffset
}

// request builds the request for the positions that parts number.
func (f *fetcher) request(positions []kafka.Position, parts []int, wait time.Duration, limit int32) *sarama.FetchRequest {
	q := &sarama.FetchRequest{
		Version: 11, MaxWaitTime: int32(wait.Milliseconds()), MinBytes: f.opts.MinBytes,
		MaxBytes: f.opts.MaxBytes, Isolation: sarama.ReadCommitted, SessionEpoch: -1,
	}
	if f.opts.ReadUncommitted {
		q.Isolation = sarama.ReadUncommitted
	}
	for _, i := range parts {
		p := positions[i]
		_, epoch, _ := f.route.leader(p.TopicPartition)
		q.AddBlock(p.Topic, p.Partition, p.Offset, limit, epoch)
	}
	return q
}

// take takes over what an answer says of one partition.
func (f *fetcher) take(ctx context.Context, addr string, p kafka.Position, response *sarama.FetchResponse, a *answer) error {
	*a = answer{}
	block := response.GetBlock(p.Topic, p.Partition)
	if block == nil {
		return nil
	}
	switch {
	case block.Err == sarama.ErrOffsetOutOfRange:
		*a = answer{have: true, fetched: kafka.Fetched{
			TopicPartition: p.TopicPartition, Next: p.Offset, LogStart: -1, HighWater: -1, LastStable: -1,
			Err: fmt.Errorf("kafka/wire: %s-%d@%d: %w", p.Topic, p.Partition, p.Offset, mapped(block.Err)),
		}}
		// The answer has -1 in place of the ends; without them the error is as true.
		ctx, cancel := context.WithTimeout(ctx, limitTimeout)
		defer cancel()
		if all, err := (&admin{route: f.route}).EndOffsets(ctx, []record.TopicPartition{p.TopicPartition}); err == nil {
			m := all[p.TopicPartition]
			a.fetched.LogStart, a.fetched.HighWater, a.fetched.LastStable = m.LogStart, m.HighWater, m.LastStable
		}
		return nil
	case staleLeader(block.Err):
		a.stale = true
		return nil
	case block.Err != sarama.ErrNoError:
		return fmt.Errorf("%s-%d: %w", p.Topic, p.Partition, mapped(block.Err))
	}
	got, err := read(p.Offset, block, !f.opts.ReadUncommitted)
	if err != nil {
		f.undecodable(ctx, addr, p, err, a)
		return nil
	}
	if got.short {
		return f.isolate(ctx, addr, p, a)
	}
	*a = answer{have: true, fetched: kafka.Fetched{
		TopicPartition: p.TopicPartition, Records: got.records, Next: got.next, Bytes: got.bytes,
		LogStart: block.LogStartOffset, HighWater: block.HighWaterMarkOffset, LastStable: block.LastStableOffset,
	}}
	if end := f.readable(block); got.next < end && got.next == p.Offset {
		a.stuck = f.stalls.stalled(p, end, time.Now())
	}
	return nil
}

// news reports whether an answer has something new.
func (f *fetcher) news(answers []answer) bool {
	for i := range answers {
		if answers[i].have && f.isNews(&answers[i].fetched) {
			return true
		}
	}
	return false
}

// isNews reports whether the caller does not know what an answer says. A partition
// that was not in its last call is new to it.
func (f *fetcher) isNews(got *kafka.Fetched) bool {
	return got.Err != nil || len(got.Records) > 0 || f.last[got.TopicPartition] != markOf(got, f.calls-1)
}

func markOf(got *kafka.Fetched, call int64) mark {
	return mark{call: call, next: got.Next, Marks: kafka.Marks{LogStart: got.LogStart, HighWater: got.HighWater, LastStable: got.LastStable}}
}

// collect returns what is new, and notes which partitions have no answer.
func (f *fetcher) collect(positions []kafka.Position, answers []answer) (out []kafka.Fetched) {
	f.unanswered = nil
	for i := range answers {
		a := &answers[i]
		if a.stale {
			f.stale[positions[i].TopicPartition] = true
		}
		if !a.have {
			f.unanswered = append(f.unanswered, positions[i].TopicPartition)
			continue
		}
		if f.isNews(&a.fetched) {
			out = append(out, a.fetched)
		}
		f.last[a.fetched.TopicPartition] = markOf(&a.fetched, f.calls)
	}
	return out
}
