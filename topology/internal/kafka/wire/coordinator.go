package wire

import (
	"context"
	"fmt"
	"time"

	"github.com/IBM/sarama"
)

// A coordinator is the broker of one group or one transactional id. One goroutine
// uses it at a time.
type coordinator struct {
	route *router
	kind  sarama.CoordinatorType
	key   string
	addr  string // empty: to be found
}

// find returns a connection to the coordinator. It waits for one until ctx ends,
// but gives up when no broker can be reached at all.
func (k *coordinator) find(ctx context.Context) (*conn, error) {
	var b backoff
	for {
		for k.addr == "" {
			var code sarama.KError
			err := k.route.anywhere(ctx, func(c *conn) error {
				a, err := ask(ctx, c, (*sarama.Broker).FindCoordinator, &sarama.FindCoordinatorRequest{
					Version: 2, CoordinatorKey: k.key, CoordinatorType: k.kind,
				})
				if err != nil {
					return err
				}
				if code = a.Err; code == sarama.ErrNoError && a.Coordinator != nil {
					k.addr = a.Coordinator.Addr()
				}
				return nil
			})
			switch {
			case err != nil:
				return nil, err
			case code != sarama.ErrNoError && !staleCoordinator(code):
				return nil, mapped(code)
			case k.addr == "":
				if err := k.route.wait(ctx, &b); err != nil {
					return nil, err
				}
			}
		}
		c, err := k.route.connect(ctx, k.addr)
		if err == nil {
			return c, nil
		}
		// The coordinator of a moment ago may be gone; the cluster will name another.
		k.addr = ""
		if err := k.route.wait(ctx, &b); err != nil {
			return nil, err
		}
	}
}

// call sends a request to the coordinator until it gets an answer that is not
// transient. Its error is a lostError if the last request may have been applied:
// that one is not sent again.
func (k *coordinator) call(ctx context.Context, doing string, send func(ctx context.Context, c *conn) (sarama.KError, error)) (sarama.KError, error) {
	var b backoff
	for {
		c, err := k.find(ctx)
		if err != nil {
			return 0, fmt.Errorf("%s: finding the coordinator of %s: %w", doing, k.key, err)
		}
		code, err := send(ctx, c)
		switch {
		case err != nil && lost(err):
			k.route.drop(c)
			return 0, fmt.Errorf("%s: %w", doing, err)
		case err != nil:
			k.route.drop(c)
			k.addr = ""
		case staleCoordinator(code):
			k.addr = ""
		case !transient(code):
			return code, nil
		}
		if waited := k.route.wait(ctx, &b); waited != nil {
			if err == nil {
				err = words(code)
			}
			return 0, fmt.Errorf("%s: %w, after: %w", doing, waited, err)
		}
	}
}

// insist is call for a request that does no harm when it comes twice, or late: one that
// was not answered is sent again, for as long as an answer may take.
func (k *coordinator) insist(ctx context.Context, wait time.Duration, doing string, send func(ctx context.Context, c *conn) (sarama.KError, error)) (sarama.KError, error) {
	var b backoff
	for started := time.Now(); ; {
		code, err := k.call(ctx, doing, send)
		if !lost(err) || ctx.Err() != nil || time.Since(started) >= wait {
			return code, err
		}
		k.addr = "" // it may be gone
		if waited := k.route.wait(ctx, &b); waited != nil {
			return 0, fmt.Errorf("%w, after: %w", waited, err)
		}
	}
}
