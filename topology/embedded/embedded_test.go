package embedded

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func start(t *testing.T, opts Options) *Broker {
	t.Helper()
	b, err := Start(opts)
	must(t, err)
	t.Cleanup(b.Close)
	return b
}

// dial returns a client that speaks as one of Kafka 2.8 does.
func dial(t *testing.T, b *Broker, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	c, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(b.Addrs()...), kgo.MaxVersions(kversion.V2_8_0()), kgo.ClientID("tester"), kgo.RetryTimeout(5 * time.Second)}, opts...)...)
	must(t, err)
	t.Cleanup(c.Close)
	return c
}

func create(t *testing.T, c *kgo.Client, topic string) {
	t.Helper()
	q := kmsg.NewPtrCreateTopicsRequest()
	rt := kmsg.NewCreateTopicsRequestTopic()
	rt.Topic, rt.NumPartitions, rt.ReplicationFactor = topic, 1, -1
	q.Topics = append(q.Topics, rt)
	a, err := q.RequestWith(t.Context(), c)
	must(t, err)
	if code := a.Topics[0].ErrorCode; code != 0 {
		t.Fatalf("creating %s: code %d", topic, code)
	}
}

// sendOffset commits an offset in the transaction of a client, on its own, without a
// member.
func sendOffset(t *testing.T, c *kgo.Client, id, group, topic string, offset int64) error {
	t.Helper()
	pid, epoch, err := c.ProducerID(t.Context())
	must(t, err)
	add := kmsg.NewPtrAddOffsetsToTxnRequest()
	add.TransactionalID, add.ProducerID, add.ProducerEpoch, add.Group = id, pid, epoch, group
	if _, err := add.RequestWith(t.Context(), c); err != nil {
		return err
	}
	q := kmsg.NewPtrTxnOffsetCommitRequest()
	q.TransactionalID, q.ProducerID, q.ProducerEpoch, q.Group, q.Generation = id, pid, epoch, group, -1
	qt := kmsg.NewTxnOffsetCommitRequestTopic()
	qt.Topic = topic
	qp := kmsg.NewTxnOffsetCommitRequestTopicPartition()
	qp.Offset = offset
	qt.Partitions = append(qt.Partitions, qp)
	q.Topics = append(q.Topics, qt)
	_, err = q.RequestWith(t.Context(), c)
	return err
}

// committed returns the committed offset of partition 0 of a topic.
func committed(t *testing.T, c *kgo.Client, group, topic string) int64 {
	t.Helper()
	q := kmsg.NewPtrOffsetFetchRequest()
	q.Group = group
	qt := kmsg.NewOffsetFetchRequestTopic()
	qt.Topic, qt.Partitions = topic, []int32{0}
	q.Topics = append(q.Topics, qt)
	a, err := q.RequestWith(t.Context(), c)
	must(t, err)
	if len(a.Topics) == 0 {
		return -1
	}
	return a.Topics[0].Partitions[0].Offset
}

// values reads n records of a topic.
func values(t *testing.T, c *kgo.Client, topic string, n int) (got []string) {
	t.Helper()
	c.AddConsumeTopics(topic)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for len(got) < n {
		f := c.PollFetches(ctx)
		must(t, f.Err())
		f.EachRecord(func(r *kgo.Record) { got = append(got, string(r.Value)) })
	}
	return got
}

// spy is a Tap that writes down what it sees, and does what it is told.
type spy struct {
	mu   sync.Mutex
	seen []Event
	do   func(Event) Verdict
}

func (s *spy) tap(e Event) Verdict {
	s.mu.Lock()
	s.seen = append(s.seen, e)
	do := s.do
	s.mu.Unlock()
	if do != nil {
		return do(e)
	}
	return Pass
}

func (s *spy) set(do func(Event) Verdict) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.do = do
}

// of returns what was seen of transactional requests.
func (s *spy) transactional() (out []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.seen {
		if e.TransactionalID != "" {
			out = append(out, fmt.Sprintf("%s %s %s %s commit=%v code=%d", e.ClientID, e.TransactionalID, e.Request, e.Moment, e.Commit, e.Code))
		}
	}
	return out
}

// Every request of a transaction is seen when it is received and when it is
// answered, by its transactional id.
func TestTapSeesATransaction(t *testing.T) {
	t.Parallel()
	s := &spy{}
	b := start(t, Options{Tap: s.tap})
	create(t, dial(t, b), "t")
	c := dial(t, b, kgo.TransactionalID("writer"))
	must(t, c.BeginTransaction())
	must(t, c.ProduceSync(t.Context(), &kgo.Record{Topic: "t", Value: []byte("v")}).FirstErr())
	must(t, sendOffset(t, c, "writer", "g", "t", 3))
	must(t, c.EndTransaction(t.Context(), kgo.TryCommit))
	var want []string
	for _, r := range []Request{InitProducerID, AddPartitionsToTxn, Produce, AddOffsetsToTxn, TxnOffsetCommit, EndTxn} {
		for _, m := range []Moment{Received, Answered} {
			want = append(want, fmt.Sprintf("tester writer %s %s commit=%v code=0", r, m, r == EndTxn))
		}
	}
	if got := s.transactional(); !slices.Equal(got, want) {
		t.Errorf("seen\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
	// A fenced producer's request is seen with the code of its answer.
	_, _, err := dial(t, b, kgo.TransactionalID("writer")).ProducerID(t.Context())
	must(t, err)
	must(t, c.BeginTransaction())
	c.ProduceSync(t.Context(), &kgo.Record{Topic: "t", Value: []byte("v")})
	got := s.transactional()
	if want := "tester writer AddPartitionsToTxn answered commit=false code=90"; !slices.Contains(got, want) {
		t.Errorf("not seen: %s; seen %s", want, got)
	}
}

// A broker does not see what is dropped when received, and has done what is dropped
// when answered.
func TestTapDropsBeforeAndAfterHandling(t *testing.T) {
	t.Parallel()
	for _, moment := range []Moment{Received, Answered} {
		t.Run(moment.String(), func(t *testing.T) {
			t.Parallel()
			s := &spy{}
			b := start(t, Options{Tap: s.tap})
			create(t, dial(t, b), "t")
			c := dial(t, b, kgo.TransactionalID("writer"))
			must(t, c.BeginTransaction())
			must(t, c.ProduceSync(t.Context(), &kgo.Record{Topic: "t", Value: []byte("v")}).FirstErr())
			must(t, sendOffset(t, c, "writer", "g", "t", 3))
			dropped := make(chan struct{})
			once := sync.OnceFunc(func() { close(dropped) })
			s.set(func(e Event) Verdict {
				if e.Request == EndTxn && e.Moment == moment {
					once()
					return Drop
				}
				return Pass
			})
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- c.EndTransaction(ctx, kgo.TryCommit) }()
			<-dropped
			cancel()
			if err := <-ended; err == nil {
				t.Error("a request without an answer is no error")
			}
			// Another producer of this id aborts what is still open.
			if _, _, err := dial(t, b, kgo.TransactionalID("writer")).ProducerID(t.Context()); err != nil {
				t.Fatal(err)
			}
			want := map[Moment]int64{Received: -1, Answered: 3}[moment]
			if got := committed(t, dial(t, b), "g", "t"); got != want {
				t.Errorf("dropped when %s: committed offset %d, want %d", moment, got, want)
			}
		})
	}
}

// A Tap that blocks holds one connection up, and no other.
func TestTapHoldsOneConnection(t *testing.T) {
	t.Parallel()
	s := &spy{}
	b := start(t, Options{Tap: s.tap})
	held, free := make(chan struct{}, 10), make(chan struct{})
	s.set(func(e Event) Verdict {
		if e.Request == InitProducerID && e.Moment == Received {
			held <- struct{}{}
			<-free
		}
		return Pass
	})
	c := dial(t, b, kgo.TransactionalID("writer"))
	got := make(chan error, 1)
	go func() {
		_, _, err := c.ProducerID(t.Context())
		got <- err
	}()
	<-held
	create(t, dial(t, b), "meanwhile")
	select {
	case err := <-got:
		t.Fatalf("answered while held: %v", err)
	default:
	}
	close(free)
	must(t, <-got)
}

func TestFaultAnswersLosesAndCounts(t *testing.T) {
	t.Parallel()
	b := start(t, Options{})
	c := dial(t, b)
	init := func(id string) (int16, error) {
		q := kmsg.NewPtrInitProducerIDRequest()
		q.TransactionalID, q.TransactionTimeoutMillis = &id, 1000
		a, err := c.SeedBrokers()[0].Request(t.Context(), q)
		if err != nil {
			return 0, err
		}
		return a.(*kmsg.InitProducerIDResponse).ErrorCode, nil
	}
	answered := b.Fault(Fault{Request: InitProducerID, TransactionalID: "a", Code: 51, Count: 2})
	counted := b.Fault(Fault{Request: InitProducerID, TransactionalID: "a", Count: -1})
	for i, want := range []int16{51, 51, 0} {
		if code, err := init("a"); code != want || err != nil {
			t.Errorf("answer %d: code %d, %v; want %d", i, code, err, want)
		}
		if code, err := init("b"); code != 0 || err != nil {
			t.Errorf("another id: code %d, %v", code, err)
		}
	}
	lost := b.Fault(Fault{Request: InitProducerID, TransactionalID: "a", Lose: LoseRequest, Count: -1})
	other := b.Fault(Fault{Request: InitProducerID, TransactionalID: "c", Lose: LoseAnswer})
	if code, err := init("a"); err == nil {
		t.Errorf("a lost request is answered %d", code)
	}
	if answered.Hits() != 2 || counted.Hits() != 1 || lost.Hits() == 0 || other.Hits() != 0 {
		t.Errorf("hits %d, %d, %d, %d", answered.Hits(), counted.Hits(), lost.Hits(), other.Hits())
	}
	lost.Remove()
	if code, err := init("a"); code != 0 || err != nil {
		t.Errorf("after Remove: code %d, %v", code, err)
	}
}

// What a broker on disk keeps, over a Close and over a second one.
func TestKeepsItsLogOverARestart(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "new", "directory")
	b, err := Start(Options{DataDir: dir})
	must(t, err)
	c := dial(t, b, kgo.TransactionalID("writer"))
	create(t, c, "t")
	must(t, c.BeginTransaction())
	must(t, c.ProduceSync(t.Context(), &kgo.Record{Topic: "t", Value: []byte("v")}).FirstErr())
	must(t, sendOffset(t, c, "writer", "g", "t", 3))
	must(t, c.EndTransaction(t.Context(), kgo.TryCommit))
	_, epoch, err := c.ProducerID(t.Context())
	must(t, err)
	if other, err := Start(Options{DataDir: dir}); err == nil {
		other.Close()
		t.Error("two brokers on one directory")
	} else if !strings.Contains(err.Error(), "in use") {
		t.Errorf("the second broker on a directory: %v", err)
	}
	c.Close()
	b.Close()
	b.Close()

	b = start(t, Options{DataDir: dir})
	if got := committed(t, dial(t, b), "g", "t"); got != 3 {
		t.Errorf("committed offset %d, want 3", got)
	}
	if got := values(t, dial(t, b, kgo.FetchIsolationLevel(kgo.ReadCommitted())), "t", 1); !slices.Equal(got, []string{"v"}) {
		t.Errorf("the topic has %q", got)
	}
	_, again, err := dial(t, b, kgo.TransactionalID("writer")).ProducerID(t.Context())
	if err != nil || again <= epoch {
		t.Errorf("the epoch was %d and is %d, %v", epoch, again, err)
	}
}

func TestSaysWhatItCannotUse(t *testing.T) {
	t.Parallel()
	b := start(t, Options{})
	_, port, err := net.SplitHostPort(b.Addrs()[0])
	must(t, err)
	number, err := strconv.Atoi(port)
	must(t, err)
	if other, err := Start(Options{Ports: []int{number}}); err == nil {
		other.Close()
		t.Error("two brokers on one port")
	} else if !strings.Contains(err.Error(), port) || !strings.Contains(err.Error(), "choose another port") {
		t.Errorf("a taken port: %v", err)
	}
	file := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(file, nil, 0o600))
	if other, err := Start(Options{DataDir: file}); err == nil {
		other.Close()
		t.Error("a file is taken for a directory")
	} else if !strings.Contains(err.Error(), file) {
		t.Errorf("a file for a directory: %v", err)
	}
	broken := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(broken, "broker"), 0o750))
	must(t, os.WriteFile(filepath.Join(broken, "broker", "meta.json"), []byte("{"), 0o600))
	if other, err := Start(Options{DataDir: broken}); err == nil {
		other.Close()
		t.Error("a directory with rubbish is taken")
	} else if !strings.Contains(err.Error(), broken) {
		t.Errorf("a directory with rubbish: %v", err)
	}
}

// Whatever comes in on the port, the process lives.
func TestOtherProtocolsAreCutOff(t *testing.T) {
	t.Parallel()
	b := start(t, Options{})
	for _, sent := range []string{"GET / HTTP/1.1\r\n\r\n", "\x00\x00\x00\x08\x7f\xff\x00\x00\x00\x00\x00\x00", "\x00\x00\x00\x02\x00\x00", "\x00\x00\x00\x00", "\xff\xff\xff\xff", "\x00\x00\x00\x0c\x00\x12\x00\x7f\x00\x00\x00\x01\xff\xff\x00\x00"} {
		var d net.Dialer
		c, err := d.DialContext(t.Context(), "tcp", b.Addrs()[0])
		must(t, err)
		_, err = c.Write([]byte(sent))
		must(t, err)
		_ = c.(*net.TCPConn).CloseWrite() // it may have been cut off already
		must(t, c.SetReadDeadline(time.Now().Add(10*time.Second)))
		for buf := make([]byte, 64); err == nil; {
			_, err = c.Read(buf)
		}
		if e := net.Error(nil); errors.As(err, &e) && e.Timeout() {
			t.Errorf("%q: the connection stays open", sent)
		}
		_ = c.Close()
	}
	create(t, dial(t, b), "alive")
}
