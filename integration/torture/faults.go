//go:build linux

package main

import (
	"context"
	"fmt"
	"time"
)

// openWait is how long a kill waits for a moment in which a transaction is open.
const openWait = 20 * time.Second

// arrival is how long a request may be on its way to the broker.
const arrival = 10 * time.Millisecond

// atRandom: one kill in so many does not wait for an open transaction.
const atRandom = 8

// freezeOpen freezes an instance while one of its transactions is open; false: none was
// within the wait, and it is frozen at any moment.
func (d *drill) freezeOpen(ctx context.Context, p *process, wait time.Duration) (bool, error) {
	limit := time.Now().Add(wait)
	for {
		if err := p.freeze(); err != nil {
			return false, err
		}
		open, err := d.ongoing(ctx, p)
		if open && err == nil { // what it sent before it stood still arrives first
			if err := pause(ctx, arrival); err != nil {
				return false, err
			}
			open, err = d.ongoing(ctx, p)
		}
		if err != nil || open || time.Now().After(limit) {
			return open, err
		}
		if err := p.thaw(); err != nil {
			return false, err
		}
		d.goOn()
		if err := pause(ctx, time.Duration(1+d.rng.IntN(30))*time.Millisecond); err != nil {
			return false, err
		}
	}
}

// ongoing asks the broker whether the instance has a transaction open.
func (d *drill) ongoing(ctx context.Context, p *process) (bool, error) {
	all, err := d.kafka.transactions(ctx, d.ids(p.name))
	for _, t := range all {
		if t.ongoing {
			return true, err
		}
	}
	return false, err
}

// kill9 kills an instance, mostly inside its open transaction, and starts it again.
func (d *drill) kill9(ctx context.Context, i int) error {
	p, err := d.victim(ctx)
	if err != nil {
		return err
	}
	wait := openWait
	if i%atRandom == atRandom-1 {
		wait = 0
	}
	away := time.Duration(d.rng.IntN(1000)) * time.Millisecond
	frozen := time.Now()
	open, err := d.freezeOpen(ctx, p, wait)
	if err != nil {
		return err
	}
	had, _ := p.state()
	killed := time.Now()
	if err := p.kill(); err != nil {
		return err
	}
	if open { // and it is still, now that nobody can end it
		if open, err = d.ongoing(ctx, p); err != nil {
			return err
		}
	}
	if open {
		d.open++
	}
	d.say("kill %d: %s (pid %d) with %d tasks, transaction open: %v, %d events sent; back after %v", i+1, p.name, p.cmd.Process.Pid, had.Tasks, open, d.feed.sent.Load(), away)
	if err := pause(ctx, away); err != nil {
		return err
	}
	again, err := d.fleet.start(p.name)
	d.lives = append(d.lives, life{i + 1, p, frozen, killed, again})
	return err
}

// stop freezes an instance until the others have taken its tasks, and wakes it: what
// it does first belongs to somebody else.
func (d *drill) stop(ctx context.Context, i int) error {
	p, err := d.victim(ctx)
	if err != nil {
		return err
	}
	wait := openWait
	if i%2 == 1 {
		wait = 0
	}
	open, err := d.freezeOpen(ctx, p, wait)
	if err != nil {
		return err
	}
	all, err := d.kafka.transactions(ctx, d.ids(p.name))
	if err != nil {
		return err
	}
	for _, t := range all {
		d.frozen[t.producer] = true
	}
	had, _ := p.state()
	frozen := time.Now()
	d.say("stop %d: %s (pid %d) with %d tasks, transaction open: %v", i+1, p.name, p.cmd.Process.Pid, had.Tasks, open)
	if err := d.until(ctx, d.session+d.transaction+time.Minute, "the others run all tasks", func() bool { return d.fleet.tasks(p.name) == d.partitions }); err != nil {
		return err
	}
	d.say("stop %d: the others run its tasks after %v", i+1, time.Since(frozen).Round(time.Millisecond))
	p.expect() // an instance that finds its place taken may end
	if err := d.wake(ctx, i, p); err != nil {
		return err
	}
	back := func() bool { return p.ended() || d.fleet.tasks() == d.partitions }
	if err := d.until(ctx, 2*d.session+d.transaction+time.Minute, "the one that woke knows that its tasks are gone", back); err != nil {
		return err
	}
	if !p.ended() {
		d.say("stop %d: %s is back in the group", i+1, p.name)
		return nil
	}
	d.say("stop %d: %s ended when it woke; it is started again. It said last:\n%s", i+1, p.name, p.log)
	_, err = d.fleet.start(p.name)
	return err
}

// actWait is how long an instance that wakes may take to commit what it had in hand.
const actWait = time.Second

// wake wakes an instance. On the embedded broker it does not hear that it is out of the
// group before it has tried to commit what it had in hand.
func (d *drill) wake(ctx context.Context, i int, p *process) error {
	if !d.kafka.embedded {
		return p.thaw()
	}
	first, release := d.cutter.wake(d.ids(p.name))
	defer release()
	if err := p.thaw(); err != nil {
		return err
	}
	waiting, cancel := context.WithTimeout(ctx, actWait)
	defer cancel()
	select {
	case code := <-first:
		d.say("stop %d: %s tried to commit when it woke; the answer was %d", i+1, p.name, code)
		if code != 0 {
			d.refused++
		}
	case <-waiting.Done():
		d.say("stop %d: %s woke and committed nothing", i+1, p.name)
	}
	return ctx.Err()
}

// guest is the instance that comes and goes in a storm.
const guest = "guest"

// storm lets an instance without a name join, or leave.
func (d *drill) storm(ctx context.Context, i int) error {
	if err := pause(ctx, d.every); err != nil {
		return err
	}
	p := d.fleet.alive[guest]
	if p == nil {
		d.say("storm %d: one joins", i+1)
		_, err := d.fleet.guest(guest)
		return err
	}
	had, _ := p.state()
	d.say("storm %d: one leaves with %d tasks", i+1, had.Tasks)
	delete(d.fleet.alive, guest)
	return p.stop(time.Minute)
}

// away is how long a killed node stays away.
const away = 3 * time.Second

// node kills the node that leads a partition, or that coordinates the group, and
// starts it again.
func (d *drill) node(ctx context.Context, i int) error {
	var id int
	var err error
	what := "coordinates the group"
	if d.verb == "leader" {
		partition := int32(d.rng.IntN(d.partitions))
		what = fmt.Sprintf("leads %s-%d", appliedOf(d.app()), partition)
		id, err = d.kafka.leader(ctx, appliedOf(d.app()), partition)
	} else {
		id, err = d.kafka.coordinator(ctx, d.app())
	}
	if err != nil {
		return err
	}
	d.say("node %d: %d, which %s, is killed, %d events sent", i+1, id, what, d.feed.sent.Load())
	if err := d.kafka.nodes.Kill(id); err != nil {
		return err
	}
	if err := pause(ctx, away); err != nil {
		return err
	}
	return d.kafka.nodes.Start(ctx, id)
}
