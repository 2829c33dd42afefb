package runner

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/streamrun/streamrun/topology/internal/kafka"
	"github.com/streamrun/streamrun/topology/internal/record"
)

// An answer is what a fetch brought.
type answer struct {
	asked   []asked
	sent    int64 // wall time of the request
	fetched []kafka.Fetched
	err     error

	unanswered []record.TopicPartition // left out for another reason than that nothing has changed

	interrupted bool // from here: another one is to be sent
}

// asked is what one position of a request was for.
type asked struct {
	owner   *owned
	opening int // of the owner
	source  int
}

// startFetch fetches for every source that has room, if no fetch is in flight.
func (w *worker) startFetch(ctx context.Context) {
	now := w.cfg.now()
	if w.fetching || now.Before(w.notYet) {
		return
	}
	var positions []kafka.Position
	a := answer{sent: now.UnixMilli()}
	for _, o := range w.tasks {
		if !w.decide.Active(o.Holding) {
			continue
		}
		for i := range o.sources {
			if s := &o.sources[i]; s.bytes < maxBuffered && s.broken == 0 {
				positions = append(positions, kafka.Position{TopicPartition: s.TopicPartition, Offset: s.next})
				a.asked = append(a.asked, asked{o, o.openings, i})
			}
		}
	}
	if len(positions) == 0 {
		return
	}
	if w.nothingGoesOn() {
		w.fetcher.Wait(1, idleWait)
		ctx, w.interrupt = context.WithCancel(ctx)
	} else {
		w.fetcher.Wait(fetchBytes, w.cfg.fetchWait())
	}
	w.fetching = true
	w.flights.Go(func() {
		a.fetched, a.err = w.fetcher.Fetch(ctx, positions)
		a.unanswered = w.fetcher.Unanswered()
		a.interrupted = a.err != nil && ctx.Err() != nil
		w.answers <- a
	})
}

// nothingGoesOn reports whether a fetch may wait long, since whatever comes ends it:
// the last one brought nothing, nothing is to be committed, and no timer needs to know
// how late it is.
func (w *worker) nothingGoesOn() bool {
	if _, soon := w.decide.Wake(); soon || w.brought {
		return false
	}
	for _, o := range w.tasks {
		if _, armed := o.task.Due(); armed && w.decide.Active(o.Holding) {
			return false
		}
	}
	return true
}

// fetched gives what a fetch brought to the tasks. Every answer is a mark for their
// clocks: a partition that is left out has not changed, unless nobody answered for it.
func (w *worker) fetched(a answer) error {
	w.fetching = false
	if w.interrupt != nil {
		w.interrupt()
		w.interrupt = nil
	}
	if a.interrupted {
		return nil
	}
	if a.err != nil {
		now := w.cfg.now()
		again, giveUp := w.refetch.Failed(now, w.cfg.patience())
		if giveUp || errors.Is(a.err, kafka.ErrNotAuthorized) {
			return fmt.Errorf("runner: fetching: %w", a.err)
		}
		w.watch.set.FetchFailed()
		w.log.Warn("fetch failed", "err", a.err)
		w.notYet = again
		return nil
	}
	w.refetch.Succeeded()
	w.brought = slices.ContainsFunc(a.fetched, func(f kafka.Fetched) bool { return len(f.Records) > 0 || f.Err != nil })
	for _, ask := range a.asked {
		var f *kafka.Fetched
		o := ask.owner
		tp := o.plan.Sources[ask.source]
		if len(a.fetched) > 0 && a.fetched[0].Topic == tp && a.fetched[0].Partition == o.Partition {
			f, a.fetched = &a.fetched[0], a.fetched[1:]
			if f.Err == nil { // else it does not say where the log ends
				w.ends[f.TopicPartition] = f.HighWater
			}
		}
		if o.gone || !w.decide.Active(o.Holding) || o.openings != ask.opening {
			continue
		}
		s := &o.sources[ask.source]
		if f != nil && w.passes(o, ask.source, f) {
			continue
		}
		if f != nil && f.Err != nil {
			w.failTask(o, fetchError(s, f))
			continue
		}
		if f != nil {
			s.take(f)
			o.stuck = false
			o.seeFetch(ask.source)
		}
		if end, known := w.ends[s.TopicPartition]; known && (f != nil || !slices.Contains(a.unanswered, s.TopicPartition)) {
			o.clock.Mark(ask.source, a.sent, end)
		}
	}
	return nil
}

// fetchError says what is wrong with a source partition, and what can be done; failTask
// says where from.
func fetchError(s *source, f *kafka.Fetched) error {
	if errors.Is(f.Err, kafka.ErrOffsetOutOfRange) {
		return fmt.Errorf("%s-%d@%d: the records from there on are not in the topic any more (it begins at %d, ends at %d): "+
			"nothing is skipped silently; restore them, or reset the group's offsets and accept that (AcceptOffsets): %w",
			s.Topic, s.Partition, s.next, f.LogStart, f.HighWater, f.Err)
	}
	var batch *kafka.UndecodableError
	if errors.As(f.Err, &batch) {
		return fmt.Errorf("%w; have it repaired, or let its source pass over such batches (undecodable_batch: skip), which counts what it skips", f.Err)
	}
	return fmt.Errorf("%s-%d@%d: %w", s.Topic, s.Partition, s.next, f.Err)
}

// passes reports whether an answer is a batch that cannot be decoded and that the
// source passes over. Where such a batch ends must be known.
func (w *worker) passes(o *owned, source int, f *kafka.Fetched) bool {
	var batch *kafka.UndecodableError
	if !errors.As(f.Err, &batch) || batch.Next == 0 || !o.plan.SkipsBatches(source) {
		return false
	}
	s := &o.sources[source]
	s.broken = batch.Next
	w.log.Error("a batch cannot be decoded and is skipped", "task", w.name(o.Task),
		"topic", s.Topic, "partition", s.Partition, "offset", s.next, "next", batch.Next, "err", batch.Err)
	return true
}
