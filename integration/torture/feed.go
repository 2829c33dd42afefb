//go:build linux

package main

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// feed delivers the workload at a rate, as far as it is allowed to.
type feed struct {
	sent    atomic.Int64 // acknowledged
	allowed atomic.Int64
	failure chan error // has room for one; nil when everything is sent
}

// slot is how often the feed sends what the rate gives it.
const slot = 10 * time.Millisecond

func startFeed(ctx context.Context, brokers []string, o *options) (*feed, error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.DefaultProduceTopic(inputOf(o.app())), kgo.ProducerLinger(5*time.Millisecond))
	if err != nil {
		return nil, fmt.Errorf("torture: feed: %w", err)
	}
	f := &feed{failure: make(chan error, 1)}
	go func() {
		defer client.Close()
		f.failure <- f.deliver(ctx, client, newWorkload(o.seed, o.events), o.rate)
	}()
	return f, nil
}

func (f *feed) deliver(ctx context.Context, client *kgo.Client, w *workload, rate int) error {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	ticks := time.NewTicker(slot)
	defer ticks.Stop()
	given := int64(0)
	for more := true; more; {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-ticks.C:
		}
		for range max(rate/int(time.Second/slot), 1) {
			if given >= f.allowed.Load() {
				break
			}
			e, ok := w.next()
			if more = ok; !more {
				break
			}
			given++
			client.Produce(ctx, &kgo.Record{Key: []byte(e.entity), Value: e.value}, func(_ *kgo.Record, err error) {
				if err != nil {
					fail(fmt.Errorf("torture: feeding: %w", err))
					return
				}
				f.sent.Add(1)
			})
		}
	}
	if err := client.Flush(ctx); err != nil {
		return fmt.Errorf("torture: feeding: %w", err)
	}
	return context.Cause(ctx)
}
