package embedded

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
	"sync"
	"sync/atomic"
)

// A Tap is called for every request at both moments, on the goroutine of its
// connection: calls for different connections run at the same time. It may block,
// which holds up that connection only.
type Tap func(Event) Verdict

// Verdict is what a Tap decides.
type Verdict int

// The verdicts.
const (
	Pass Verdict = iota // go on
	Drop                // close the connection instead
)

// Moment says where a request is.
type Moment int

// The moments.
const (
	Received Moment = iota // the broker has not seen the request yet
	Answered               // the broker handled it; the client has no answer yet
)

func (m Moment) String() string {
	if m == Received {
		return "received"
	}
	return "answered"
}

// An Event is one request at one moment.
type Event struct {
	Moment      Moment
	Connection  int64 // counts from 1 in the order of accepting
	Request     Request
	Version     int16
	Correlation int32
	ClientID    string

	// Set for requests of a transaction: InitProducerID, AddPartitionsToTxn,
	// AddOffsetsToTxn, Produce, TxnOffsetCommit, EndTxn.
	TransactionalID string
	Commit          bool // EndTxn: commit or abort
	// Code is the first error code in the answer to a request of a transaction;
	// 0: none. It is set when Answered.
	Code int16
}

// maxFrame bounds what a connection is believed to announce as a request.
const maxFrame = 128 << 20

// tap wraps the connections of a broker.
type tap struct {
	see    Tap
	tls    *tls.Config // nil: plain
	serial atomic.Int64

	mu     sync.Mutex // guards conns and losses
	conns  map[*conn]struct{}
	losses []*Injected
}

// listen is a net.Listen whose connections are tapped.
func (t *tap) listen(network, address string) (net.Listener, error) {
	ln, err := new(net.ListenConfig).Listen(context.Background(), network, address)
	if err != nil {
		return nil, err
	}
	return &listener{Listener: ln, tap: t}, nil
}

// cut closes every connection, so that none outlives its broker.
func (t *tap) cut() {
	t.mu.Lock()
	conns := t.conns
	t.conns = nil
	t.mu.Unlock()
	for c := range conns {
		_ = c.Conn.Close()
	}
}

// verdict asks the faults, then the owner's Tap.
func (t *tap) verdict(e Event, r *request) Verdict {
	if t.lose(e, r) {
		return Drop
	}
	if t.see != nil {
		return t.see(e)
	}
	return Pass
}

type listener struct {
	net.Listener
	tap *tap
}

// Accept wraps the next connection.
func (l *listener) Accept() (net.Conn, error) {
	raw, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	if l.tap.tls != nil {
		raw = tls.Server(raw, l.tap.tls) // shakes hands when it is read
	}
	c := &conn{Conn: raw, tap: l.tap, number: l.tap.serial.Add(1)}
	l.tap.mu.Lock()
	if l.tap.conns == nil {
		l.tap.conns = make(map[*conn]struct{})
	}
	l.tap.conns[c] = struct{}{}
	l.tap.mu.Unlock()
	return c, nil
}

// conn reads whole requests and writes whole answers. The broker reads from one
// goroutine and writes from another, each answer in one Write.
type conn struct {
	net.Conn
	tap    *tap
	number int64
	unread []byte // of the frame that was let through; used by the reader alone

	mu      sync.Mutex // guards pending
	pending []*request // received and not answered, oldest first
}

// Read gives the broker the next bytes of a request that passed.
func (c *conn) Read(p []byte) (int, error) {
	if len(c.unread) == 0 {
		frame, err := c.frame()
		if err != nil {
			return 0, err
		}
		r := parse(frame[4:])
		if r == nil {
			return 0, io.ErrUnexpectedEOF // another protocol
		}
		c.mu.Lock()
		c.pending = append(c.pending, r)
		c.mu.Unlock()
		if c.tap.verdict(c.event(Received, r, 0), r) == Drop {
			_ = c.Conn.Close()
			return 0, io.EOF
		}
		c.unread = frame
	}
	n := copy(p, c.unread)
	c.unread = c.unread[n:]
	return n, nil
}

// frame reads one request with its length in front.
func (c *conn) frame() ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(c.Conn, head[:]); err != nil {
		return nil, err
	}
	size := binary.BigEndian.Uint32(head[:])
	if size > maxFrame {
		return nil, io.ErrUnexpectedEOF
	}
	frame := make([]byte, 4+size)
	copy(frame, head[:])
	_, err := io.ReadFull(c.Conn, frame[4:])
	return frame, err
}

// Write sends one answer to the client, if it may leave.
func (c *conn) Write(p []byte) (int, error) {
	if r := c.answered(p); r != nil {
		if c.tap.verdict(c.event(Answered, r, r.code(p)), r) == Drop {
			_ = c.Conn.Close()
			return 0, net.ErrClosed
		}
	}
	return c.Conn.Write(p)
}

// answered finds the request that an answer belongs to. Requests that get none
// (produce without acks) are forgotten on the way.
func (c *conn) answered(p []byte) *request {
	if len(p) < 8 {
		return nil
	}
	correlation := int32(binary.BigEndian.Uint32(p[4:]))
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, r := range c.pending {
		if r.correlation == correlation {
			c.pending = append(c.pending[:0], c.pending[i+1:]...)
			return r
		}
	}
	return nil
}

func (c *conn) event(m Moment, r *request, code int16) Event {
	return Event{
		Moment: m, Connection: c.number, Request: r.key, Version: r.version,
		Correlation: r.correlation, ClientID: r.clientID,
		TransactionalID: r.transactionalID, Commit: r.commit, Code: code,
	}
}

// Close closes the connection and forgets it.
func (c *conn) Close() error {
	c.tap.mu.Lock()
	delete(c.tap.conns, c)
	c.tap.mu.Unlock()
	return c.Conn.Close()
}
