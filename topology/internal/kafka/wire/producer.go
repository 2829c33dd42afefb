package wire

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/IBM/sarama"

	"github.com/streamrun/streamrun/topology/internal/kafka"
	"github.com/streamrun/streamrun/topology/internal/record"
)

// Producer implements kafka.Cluster.
func (c *cluster) Producer(opts kafka.ProducerOptions) (kafka.Producer, error) {
	if opts.Plain != (opts.TransactionalID == "") {
		return nil, errors.New("kafka/wire: opening a producer: a transactional id, or plain, must be given")
	}
	if opts.TransactionTimeout == 0 {
		opts.TransactionTimeout = 10 * time.Second
	}
	if opts.RequestTimeout == 0 {
		opts.RequestTimeout = 5 * time.Second
	}
	route := c.router(func(conf *sarama.Config) {
		conf.Net.ReadTimeout = opts.RequestTimeout
		conf.Net.WriteTimeout = opts.RequestTimeout
	})
	p := &producer{
		cluster: c, opts: opts, route: route, wake: make(chan struct{}, 1),
		transaction: &coordinator{route: route, kind: sarama.CoordinatorTransaction, key: opts.TransactionalID},
		groups:      map[string]*coordinator{},
		failed:      errors.New("not initialised: Init comes first"),
		end:         true,
	}
	p.forget()
	return p, c.keep(p)
}

// producer implements kafka.Producer. Everything but landed and free belongs to the
// goroutine that calls its methods.
type producer struct {
	cluster     *cluster
	opts        kafka.ProducerOptions
	route       *router
	transaction *coordinator
	groups      map[string]*coordinator // of the groups whose offsets are sent

	id      kafka.ProducerID
	begun   bool            // inside a transaction
	opened  bool            // the broker may know of it
	joined  map[string]bool // groups added to it
	offered map[string]int  // requests with offsets in it that may have been handled, by group
	group   string          // that the last transaction had offsets of
	failed  error           // why the transaction, or the producer, cannot go on
	end     bool            // failed lasts until Init

	boxes  map[record.TopicPartition]*outbox
	order  []*outbox                      // boxes in the order of first use
	stale  map[record.TopicPartition]bool // whose leader is to be asked for again
	flying map[string]int                 // requests that are not answered, by address
	free   pool
	pause  backoff // between tries of what was refused
	resent int64   // batches

	mu     sync.Mutex // guards landed
	landed []*flight
	wake   chan struct{} // has an element when something has landed
}

// forget drops everything that belongs to an epoch.
func (p *producer) forget() {
	p.boxes, p.order = map[record.TopicPartition]*outbox{}, nil
	p.stale, p.flying = map[record.TopicPartition]bool{}, map[string]int{}
	p.begun, p.opened = false, false
	p.joined, p.offered = map[string]bool{}, map[string]int{}
	p.mu.Lock()
	p.landed = nil
	p.mu.Unlock()
}

// Resent implements kafka.Producer.
func (p *producer) Resent() int64 { return p.resent }

// Close implements kafka.Producer. It ends no transaction: the next Init does.
func (p *producer) Close() error {
	p.cluster.forget(p)
	return p.route.Close()
}

// fail notes the first error of a transaction; one that only Init mends replaces
// one that it could have been aborted for.
func (p *producer) fail(err error) {
	if p.failed == nil || !p.end && final(err) {
		p.failed, p.end = err, final(err)
	}
}

// note is fail for an error that is returned.
func (p *producer) note(err error) error {
	p.fail(err)
	return err
}

// usable returns why a call inside a transaction cannot be made.
func (p *producer) usable(doing string) error {
	if p.failed != nil {
		return fmt.Errorf("kafka/wire: %s: %w", doing, p.failed)
	}
	if !p.begun {
		return fmt.Errorf("kafka/wire: %s: no transaction has begun", doing)
	}
	return nil
}

// indefinite says of a request whose answer was lost that it may have been applied.
func indefinite(err error) error {
	if lost(err) {
		return fmt.Errorf("%w: %w", kafka.ErrIndefinite, err)
	}
	return err
}

// Init implements kafka.Producer. It is sent again when it is not answered: an Init that
// was applied twice has only taken two epochs.
func (p *producer) Init(ctx context.Context) (kafka.ProducerID, error) {
	// What the last epoch has on the way is cut off from here; the new epoch cuts it
	// off at the broker.
	p.route.reset()
	p.forget()
	p.failed, p.end = errors.New("not initialised: the last Init failed"), true
	if p.opts.Plain {
		return p.initPlain(ctx)
	}
	var a *sarama.InitProducerIDResponse
	code, err := p.transaction.insist(ctx, p.opts.RequestTimeout, "initialising the producer", func(ctx context.Context, c *conn) (sarama.KError, error) {
		var err error
		a, err = ask(ctx, c, (*sarama.Broker).InitProducerID, &sarama.InitProducerIDRequest{
			Version: 4, TransactionalID: &p.opts.TransactionalID, TransactionTimeout: p.opts.TransactionTimeout,
			ProducerID: -1, ProducerEpoch: -1,
		})
		if err != nil {
			return 0, err
		}
		return a.Err, nil
	})
	switch {
	case err != nil:
		return kafka.ProducerID{}, fmt.Errorf("kafka/wire: %s: %w", p.opts.TransactionalID, indefinite(err))
	case code == sarama.ErrInvalidTransactionTimeout:
		return kafka.ProducerID{}, fmt.Errorf("kafka/wire: initialising %s: %w: it is %v; make it no longer than transaction.max.timeout.ms of the brokers, which is %s",
			p.opts.TransactionalID, mapped(code), p.opts.TransactionTimeout, p.limitOfBroker(p.transaction.addr, "transaction.max.timeout.ms"))
	case code != sarama.ErrNoError:
		return kafka.ProducerID{}, fmt.Errorf("kafka/wire: initialising %s: %w", p.opts.TransactionalID, mappedWrite(code))
	}
	p.id = kafka.ProducerID{ID: a.ProducerID, Epoch: a.ProducerEpoch}
	p.failed, p.end = nil, false
	return p.id, nil
}

// initPlain gets a producer id, which any broker gives.
func (p *producer) initPlain(ctx context.Context) (kafka.ProducerID, error) {
	err := p.route.anywhere(ctx, func(c *conn) error {
		a, err := ask(ctx, c, (*sarama.Broker).InitProducerID, &sarama.InitProducerIDRequest{
			Version: 4, TransactionTimeout: p.opts.TransactionTimeout, ProducerID: -1, ProducerEpoch: -1,
		})
		if err == nil && a.Err != sarama.ErrNoError {
			err = mapped(a.Err)
		}
		if err != nil {
			return err
		}
		p.id = kafka.ProducerID{ID: a.ProducerID, Epoch: a.ProducerEpoch}
		return nil
	})
	if err != nil {
		return kafka.ProducerID{}, fmt.Errorf("kafka/wire: initialising a producer: %w", err)
	}
	p.failed, p.end = nil, false
	return p.id, nil
}

// Begin implements kafka.Producer.
func (p *producer) Begin() error {
	if p.failed != nil {
		return fmt.Errorf("kafka/wire: beginning a transaction: %w", p.failed)
	}
	if p.begun {
		return errors.New("kafka/wire: beginning a transaction: one is open")
	}
	p.begun = true
	return nil
}

// Open implements kafka.Producer.
func (p *producer) Open(ctx context.Context) error {
	if err := p.usable("opening a transaction"); err != nil || p.opts.Plain {
		return err
	}
	var boxes []*outbox
	for _, box := range p.order {
		if box.last && !box.added {
			box.added = true
			boxes = append(boxes, box)
		}
	}
	err := p.enlist(ctx, boxes)
	if err == nil && p.group != "" {
		err = p.join(ctx, p.group)
	}
	if err != nil {
		return p.note(fmt.Errorf("kafka/wire: opening a transaction: %w", err))
	}
	return nil
}

// noteFinal keeps an error only if Init has to mend it: offsets that were refused
// can be sent again, with another generation.
func (p *producer) noteFinal(err error) error {
	if final(err) {
		p.fail(err)
	}
	return err
}

// join adds a group's offsets to the transaction, unless they are in it. It may be sent
// again, as enlist.
func (p *producer) join(ctx context.Context, group string) error {
	if p.joined[group] {
		return nil
	}
	doing := "adding offsets of " + group + " to the transaction"
	p.opened = true
	code, err := p.transaction.insist(ctx, p.opts.RequestTimeout, doing, func(ctx context.Context, c *conn) (sarama.KError, error) {
		a, err := ask(ctx, c, (*sarama.Broker).AddOffsetsToTxn, &sarama.AddOffsetsToTxnRequest{
			Version: 2, TransactionalID: p.opts.TransactionalID,
			ProducerID: p.id.ID, ProducerEpoch: p.id.Epoch, GroupID: group,
		})
		if err != nil {
			return 0, err
		}
		return a.Err, nil
	})
	switch {
	case err != nil:
		return indefinite(err)
	case code != sarama.ErrNoError:
		return fmt.Errorf("%s: %w", doing, mappedWrite(code))
	}
	p.joined[group] = true
	return nil
}

// End implements kafka.Producer.
func (p *producer) End(ctx context.Context, commit bool) error {
	doing := "aborting"
	if commit {
		doing = "committing"
	}
	if p.failed != nil && (commit || p.end) {
		return fmt.Errorf("kafka/wire: %s: %w", doing, p.failed)
	}
	if !p.begun {
		return fmt.Errorf("kafka/wire: %s: no transaction has begun", doing)
	}
	if commit && p.unacknowledged() {
		return errors.New("kafka/wire: committing: outputs are not acknowledged: Flush comes first")
	}
	if !commit {
		if err := p.drain(ctx); err != nil {
			return p.note(fmt.Errorf("kafka/wire: %s: %w", doing, err))
		}
	}
	if p.opened {
		code, err := p.transaction.call(ctx, doing, func(ctx context.Context, c *conn) (sarama.KError, error) {
			a, err := ask(ctx, c, (*sarama.Broker).EndTxn, &sarama.EndTxnRequest{
				Version: 2, TransactionalID: p.opts.TransactionalID,
				ProducerID: p.id.ID, ProducerEpoch: p.id.Epoch, TransactionResult: commit,
			})
			if err != nil {
				return 0, err
			}
			return a.Err, nil
		})
		if err == nil && code != sarama.ErrNoError {
			err = fmt.Errorf("%s: %w", doing, mappedWrite(code))
		}
		if err != nil {
			if errors.Is(err, kafka.ErrAborted) {
				p.ended()
			}
			return p.noteFinal(fmt.Errorf("kafka/wire: %w", indefinite(err)))
		}
	}
	p.ended()
	return nil
}

// ended makes the producer ready for its next transaction.
func (p *producer) ended() {
	p.begun, p.opened, p.failed = false, false, nil
	clear(p.joined)
	clear(p.offered)
	for _, box := range p.order {
		box.added, box.last, box.first = false, box.first >= 0, -1
	}
}

// drain waits until nothing is on the way any more, and drops what the broker did
// not take. A produce that arrives behind the abort would stay open for ever, so one
// whose answer was lost makes the abort indefinite: Init shuts it out.
func (p *producer) drain(ctx context.Context) error {
	for {
		p.land()
		if p.end {
			return p.failed
		}
		flying := 0
		for _, n := range p.flying {
			flying += n
		}
		if flying == 0 {
			break
		}
		select {
		case <-p.wake:
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", kafka.ErrIndefinite, ctx.Err())
		case <-p.route.done:
			return errClosed
		}
	}
	for _, box := range p.order {
		if box.discard() {
			return fmt.Errorf("%s-%d: %w", box.Topic, box.Partition, kafka.ErrIndefinite)
		}
	}
	return nil
}
