package wire

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/IBM/sarama"

	"github.com/streamrun/streamrun/topology/security"
)

// idleLimit is how long a connection may rest before it is made anew. Brokers close
// what has rested for ten minutes (connections.max.idle.ms), and a request sent into
// a closed connection looks like one whose answer was lost.
const idleLimit = 3 * time.Minute

// A conn is one connection to a broker: sarama's Broker and the socket beneath it.
type conn struct {
	addr   string
	broker *sarama.Broker
	sock   *socket
	opened int64 // bytes that were written to open it
}

// dial connects to an address: TCP, TLS, and SASL, as the security says.
func dial(ctx context.Context, conf *sarama.Config, sec *security.Security, addr string) (*conn, error) {
	c := &conn{addr: addr, broker: sarama.NewBroker(addr), sock: &socket{timeout: conf.Net.DialTimeout}}
	own := *conf
	own.Net.Proxy.Enable = true
	own.Net.Proxy.Dialer = c.sock
	stop := context.AfterFunc(ctx, c.sock.cut)
	defer stop()
	err := secure(ctx, sec, &own, c.sock)
	if err == nil {
		err = c.broker.Open(&own)
	}
	if err != nil {
		return nil, fmt.Errorf("connecting to %s: %w", addr, err)
	}
	if _, err := c.broker.Connected(); err != nil {
		c.close()
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return nil, fmt.Errorf("connecting to %s: %w", addr, refusal(err, sec, c.sock))
	}
	c.opened = c.sock.written.Load()
	return c, nil
}

// close ends the connection and everything that waits for it.
func (c *conn) close() {
	c.sock.cut()
	_ = c.broker.Close() // it answers that the connection is gone, which is wanted
}

// A lostError is a request that was sent and not answered: it may have been
// applied.
type lostError struct{ err error }

func (e *lostError) Error() string { return "no answer: " + e.err.Error() }
func (e *lostError) Unwrap() error { return e.err }

// lost reports whether err is about a request that may have been applied.
func lost(err error) bool {
	var l *lostError
	return errors.As(err, &l)
}

// ask sends one request and waits for its answer. When ctx ends the connection is
// cut. An error leaves the connection unusable, or says that the request was never
// sent; it is a lostError if the request may have reached the broker.
func ask[Q, A any](ctx context.Context, c *conn, method func(*sarama.Broker, Q) (A, error), q Q) (A, error) {
	stop := context.AfterFunc(ctx, c.sock.cut)
	defer stop()
	before := c.sock.written.Load()
	a, err := method(c.broker, q)
	if err == nil {
		return a, nil
	}
	sent := c.sock.written.Load() != before
	if before == c.opened && errors.Is(err, io.EOF) {
		err = fmt.Errorf("%w (the broker closed the connection at the first request, as one does that wants to know who connects: configure SASL)", err)
	}
	if ctx.Err() != nil {
		err = fmt.Errorf("%w (%w)", ctx.Err(), err)
	}
	err = fmt.Errorf("%s: %w", c.addr, err)
	if sent {
		err = &lostError{err}
	}
	return a, err
}

// A socket is the dialer that sarama is given, and the one connection that it
// dialed, so that it can be closed while sarama waits on it.
type socket struct {
	timeout time.Duration
	tls     *tls.Config                  // nil: plain
	alert   atomic.Bool                  // the other side speaks TLS, and this one does not
	heard   atomic.Bool                  // something was read
	written atomic.Int64                 // bytes that went in
	used    atomic.Int64                 // when it was written to last, milliseconds
	broken  atomic.Bool                  // a read or write has failed
	tap     atomic.Pointer[bytes.Buffer] // gets what is read; nil: nobody wants it

	mu   sync.Mutex // guards what follows
	end  func()     // cancels the dialing
	conn net.Conn
	gone bool
}

// Dial implements sarama's proxy dialer.
func (s *socket) Dial(network, addr string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), s.timeout)
	defer cancel()
	s.mu.Lock()
	s.end = cancel
	gone := s.gone
	s.mu.Unlock()
	if gone {
		return nil, net.ErrClosed
	}
	raw, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	gone = s.gone
	s.conn = raw
	s.mu.Unlock()
	if gone {
		_ = raw.Close()
		return nil, net.ErrClosed
	}
	if s.tls != nil {
		if raw, err = handshake(ctx, raw, s.tls, addr); err != nil {
			return nil, err
		}
	}
	return &watched{Conn: raw, sock: s}, nil
}

// idle reports whether the broker may have closed the connection for want of use.
func (s *socket) idle() bool {
	return time.Since(time.UnixMilli(s.used.Load())) > idleLimit
}

// cut closes the connection, or ends the dialing of it.
func (s *socket) cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gone = true
	if s.end != nil {
		s.end()
	}
	if s.conn != nil {
		_ = s.conn.Close()
	}
}

// watched notes what happens on a connection.
type watched struct {
	net.Conn
	sock *socket
}

// Read implements net.Conn.
func (w *watched) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	if tap := w.sock.tap.Load(); tap != nil {
		tap.Write(p[:n])
	}
	if n > 0 && !w.sock.heard.Swap(true) {
		w.sock.alert.Store(p[0] == recordAlert)
	}
	if err != nil {
		w.sock.broken.Store(true)
	}
	return n, err
}

// Write implements net.Conn.
func (w *watched) Write(p []byte) (int, error) {
	n, err := w.Conn.Write(p)
	w.sock.written.Add(int64(n))
	w.sock.used.Store(time.Now().UnixMilli())
	if err != nil {
		w.sock.broken.Store(true)
	}
	return n, err
}
