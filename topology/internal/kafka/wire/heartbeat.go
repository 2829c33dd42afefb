package wire

import (
	"context"
	"time"

	"github.com/IBM/sarama"
)

// A verdict is what heartbeats have found out about a generation.
type verdict int

const (
	verdictNone   verdict = iota
	verdictRejoin         // a rebalance is under way: join again, keep what is owned
	verdictLost           // the member is out: what it owned is not its own any more
	verdictFenced         // another process has taken the static member's place
)

// mostQuiet bounds the time between heartbeats. A member hears of a rebalance by the next
// one, and who comes back to find its tasks with another waits for two: it is to begin to
// restore within a second.
const mostQuiet = 400 * time.Millisecond

// beating is the goroutine that keeps one generation alive.
type beating struct {
	said   chan verdict // the first verdict
	cancel context.CancelFunc
	done   chan verdict // the last verdict, when it has ended
}

// stop ends the goroutine and returns its verdict.
func (b *beating) stop() verdict {
	b.cancel()
	return <-b.done
}

// heartbeat keeps the member alive until stop. It goes on while a rebalance waits
// for the handler to let go, and its context is not the caller's: commits made while
// Run ends need a living member.
func (g *group) heartbeat(m *membership) *beating {
	ctx, cancel := context.WithCancel(context.Background())
	b := &beating{said: make(chan verdict, 1), cancel: cancel, done: make(chan verdict, 1)}
	q := sarama.HeartbeatRequest{Version: 3, GroupId: g.opts.Group, GenerationId: m.Generation, MemberId: m.ID}
	if m.InstanceID != "" {
		id := m.InstanceID
		q.GroupInstanceId = &id
	}
	go func() {
		defer cancel()
		b.done <- g.beat(ctx, q, b.said)
	}()
	return b
}

// beat sends heartbeats until ctx ends or the member is out.
func (g *group) beat(ctx context.Context, q sarama.HeartbeatRequest, said chan<- verdict) verdict {
	last := verdictNone
	say := func(v verdict) {
		last = v
		select {
		case said <- v:
		default:
		}
	}
	k := &coordinator{route: g.beats, kind: sarama.CoordinatorGroup, key: g.opts.Group}
	alive := time.Now()
	tick := time.NewTicker(min(g.opts.SessionTimeout/20, mostQuiet))
	defer tick.Stop()
	for {
		sent := time.Now()
		code, err := g.pulse(ctx, k, q)
		if ctx.Err() != nil {
			return last
		}
		switch {
		case err == nil && code == sarama.ErrNoError:
			alive = time.Now()
			g.confirmed.Store(&sent)
		case err == nil && code == sarama.ErrRebalanceInProgress:
			alive = time.Now()
			g.confirmed.Store(&sent)
			say(verdictRejoin)
		case err == nil && (code == sarama.ErrUnknownMemberId || code == sarama.ErrIllegalGeneration):
			say(verdictLost)
			return last
		case err == nil && code == sarama.ErrFencedInstancedId:
			say(verdictFenced)
			return last
		case time.Since(alive) > g.opts.SessionTimeout:
			// Nobody has heard of this member for so long that it is out.
			say(verdictLost)
			return last
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return last
		case <-g.beats.done:
			say(verdictLost)
			return last
		}
	}
}

// pulse sends one heartbeat.
func (g *group) pulse(ctx context.Context, k *coordinator, q sarama.HeartbeatRequest) (sarama.KError, error) {
	ctx, cancel := context.WithTimeout(ctx, g.opts.SessionTimeout)
	defer cancel()
	c, err := k.find(ctx)
	if err != nil {
		return 0, err
	}
	a, err := ask(ctx, c, (*sarama.Broker).Heartbeat, &q)
	if err != nil {
		g.beats.drop(c)
		k.addr = ""
		return 0, err
	}
	if staleCoordinator(a.Err) {
		k.addr = ""
	}
	return a.Err, nil
}
