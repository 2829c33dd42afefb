package command

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/streamrun/streamrun/topology/config"
	"github.com/streamrun/streamrun/topology/embedded"
	"github.com/streamrun/streamrun/topology/internal/kafka"
	"github.com/streamrun/streamrun/topology/internal/kafka/wire"
	"github.com/streamrun/streamrun/topology/internal/record"
	"github.com/streamrun/streamrun/topology/runner"
	"github.com/streamrun/streamrun/topology/security"
)

const refusalFile = `version: 1
name: a
contract: {events_for: x, because: y}
inputs: {in: {topic: t-in, key: event.k, sequence: event.s}}
steps:
  - {name: o, from: in, in_order: true}
  - {name: st, from: o, state: {update: '{"seen": event.s, "text": event.text}'}}
outputs: {out: {from: st, kind: table, topic: t-out}}
dlq: {topic: t-dlq}
`

// A stand is a broker, and an app that is to run on it.
type stand struct {
	*testing.T
	addrs []string
	owner security.Security
}

func login(user, password string) security.Security {
	return security.Security{SASL: &security.SASL{Mechanism: security.ScramSHA512, User: user, Password: security.Text(password), Insecure: true}}
}

// newStand starts a broker with an owner, who may do everything, and an app, who may
// do everything that the owner's grants say.
func newStand(t *testing.T, grants ...embedded.Grant) *stand {
	t.Helper()
	b, err := embedded.Start(embedded.Options{MinSessionTimeout: time.Second, Users: []embedded.User{
		{Mechanism: "SCRAM-SHA-512", Name: "owner", Password: "secret-o"},
		{Mechanism: "SCRAM-SHA-512", Name: "app", Password: "secret-a", Restricted: true, Grants: grants},
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return &stand{t, b.Addrs(), login("owner", "secret-o")}
}

func everything() []embedded.Grant {
	return []embedded.Grant{
		{Kind: "topic", Name: "*", Operation: "all"},
		{Kind: "group", Name: "*", Operation: "all"},
		{Kind: "transactional_id", Name: "*", Operation: "all"},
		{Kind: "cluster", Operation: "all"},
	}
}

func without(name, operation string) []embedded.Grant {
	return append(everything(), embedded.Grant{Kind: "topic", Name: name, Operation: operation, Deny: true})
}

// as calls f with the cluster as a user sees it.
func (s *stand) as(sec security.Security, f func(ctx context.Context, c kafka.Cluster) error) {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), 30*time.Second)
	defer cancel()
	c, err := wire.New(wire.Options{Brokers: s.addrs, Security: sec})
	if err == nil {
		err = errors.Join(f(ctx, c), c.Close())
	}
	if err != nil {
		s.Fatal(err)
	}
}

// topic creates a topic.
func (s *stand) topic(t kafka.Topic) {
	s.Helper()
	s.as(s.owner, func(ctx context.Context, c kafka.Cluster) error {
		a, err := c.Admin()
		if err != nil {
			return err
		}
		return a.Create(ctx, t)
	})
}

// event writes one event.
func (s *stand) event(text string) {
	s.Helper()
	s.as(s.owner, func(ctx context.Context, c kafka.Cluster) error {
		p, err := c.Producer(kafka.ProducerOptions{TransactionalID: "feeder"})
		if err == nil {
			_, err = p.Init(ctx)
		}
		if err == nil {
			err = p.Begin()
		}
		if err == nil {
			err = p.Produce(ctx, p.Encode([]record.Output{{
				TopicPartition: record.TopicPartition{Topic: "t-in"}, Timestamp: 1000, Key: []byte("k"),
				Value: []byte(`{"k": "k", "s": 1, "text": "` + text + `"}`),
			}}))
		}
		if err == nil {
			_, err = p.Flush(ctx)
		}
		if err == nil {
			err = p.End(ctx, true)
		}
		return err
	})
}

// run runs the app until it fails, or until ctx ends.
func (s *stand) run(ctx context.Context, sec security.Security) error {
	s.Helper()
	f, err := config.Parse("f.yaml", []byte(refusalFile), func(string) (string, bool) { return "", false })
	if err != nil {
		s.Fatal(err)
	}
	topo, err := f.Topology()
	if err != nil {
		s.Fatal(err)
	}
	r, err := runner.New(topo, runner.Config{Brokers: s.addrs, Security: sec, SessionTimeout: 2 * time.Second, Workers: 1})
	if err != nil {
		return err
	}
	return r.Run(ctx)
}

// runFile runs a file as "streamrun run" does, for 30 s at most.
func (s *stand) runFile(text string) error {
	s.Helper()
	f, err := config.Parse("f.yaml", []byte(text), func(string) (string, bool) { return "", false })
	if err != nil {
		s.Fatal(err)
	}
	topo, err := f.Topology()
	if err != nil {
		s.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(s.Context(), 30*time.Second)
	defer cancel()
	return classify(runApp(ctx, topo, f, runner.Config{Brokers: s.addrs, Security: s.owner}, endpoint{}, slog.New(slog.DiscardHandler)))
}

// refused runs the app, which must say soon and clearly why it cannot.
func (s *stand) refused(sec security.Security, code int, says ...string) {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), 30*time.Second)
	defer cancel()
	began := time.Now()
	err := s.run(ctx, sec)
	if ctx.Err() != nil || err == nil {
		s.Fatalf("it goes on: %v", err)
	}
	var coded exitError
	if !errors.As(classify(err), &coded) || coded.code != code || coded.next == "" {
		s.Errorf("exit code %d, next %q, want %d: %v", coded.code, coded.next, code, err)
	}
	for _, text := range says {
		if !strings.Contains(err.Error(), text) {
			s.Errorf("does not say %q: %v", text, err)
		}
	}
	if strings.Contains(err.Error(), "secret-") {
		s.Errorf("tells a secret: %v", err)
	}
	s.Logf("%v: %v\nnext: %s", time.Since(began).Round(time.Millisecond), err, coded.next)
}

// nothingLost runs the app as the owner until the event has come out.
func (s *stand) nothingLost() {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), 30*time.Second)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- s.run(ctx, s.owner) }()
	out := record.TopicPartition{Topic: "t-out"}
	s.as(s.owner, func(wait context.Context, c kafka.Cluster) error {
		f, err := c.Fetcher(kafka.FetchOptions{})
		if err != nil {
			return err
		}
		for {
			got, err := f.Fetch(wait, []kafka.Position{{TopicPartition: out}})
			if err != nil && !errors.Is(err, kafka.ErrUnknownTopic) {
				return err
			}
			if len(got) == 1 && len(got[0].Records) == 1 {
				return nil
			}
		}
	})
	cancel()
	if err := <-ended; err != nil {
		s.Error(err)
	}
}

// Without a right that it needs the app says which, soon; with it, it goes on where
// it was.
func TestSaysWhichRightIsMissing(t *testing.T) {
	t.Parallel()
	app := login("app", "secret-a")
	all := everything()
	for name, test := range map[string]struct {
		grants []embedded.Grant
		says   []string
	}{
		"to see the input":       {without("t-in", "describe"), []string{"topic t-in", "Read and Describe on topics"}},
		"to read the input":      {without("t-in", "read"), []string{"t-in-0", "Read and Describe on topics"}},
		"to write the output":    {without("t-out", "write"), []string{"t-out-0", "Write and Describe on those"}},
		"to write the changelog": {without("a-st-changelog", "write"), []string{"a-st-changelog-0", "Write and Describe on those"}},
		"to read the changelog":  {without("a-st-changelog", "read"), []string{"a-st-changelog-0", "Read and Describe on topics"}},
		"of the group":           {append(all[:1:1], all[2:]...), []string{"Read on its group"}},
		"of the producer":        {append(all[:2:2], all[3:]...), []string{"Write and Describe on its transactional ids"}},
		"to create topics": {append([]embedded.Grant{
			{Kind: "topic", Name: "*", Operation: "read"}, {Kind: "topic", Name: "*", Operation: "write"},
		}, all[1:3]...), []string{"creating the topic", "Create on"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStand(t, test.grants...)
			s.topic(kafka.Topic{Name: "t-in", Partitions: 1})
			s.event("x")
			if strings.Contains(name, "read the changelog") {
				s.nothingLost() // a changelog without records is not read
			}
			s.refused(app, exitRefused, test.says...)
			s.nothingLost()
		})
	}
}

func TestSaysWhyItCannotRun(t *testing.T) {
	t.Parallel()
	nobody, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := nobody.Close(); err != nil {
		t.Fatal(err)
	}
	for name, run := range map[string]func(s *stand){
		"nobody there": func(s *stand) {
			here := s.addrs
			s.addrs = []string{nobody.Addr().String()}
			s.refused(s.owner, exitUnreachable, s.addrs[0], "refused")
			s.addrs = here
			s.topic(kafka.Topic{Name: "t-in", Partitions: 1})
		},
		"wrong password": func(s *stand) {
			s.refused(login("owner", "secret-x"), exitRefused, s.addrs[0], `"owner"`)
			s.topic(kafka.Topic{Name: "t-in", Partitions: 1})
		},
		"no login": func(s *stand) {
			s.refused(security.Security{}, exitUnreachable, s.addrs[0], "configure SASL")
			s.topic(kafka.Topic{Name: "t-in", Partitions: 1})
		},
		"tls on plaintext": func(s *stand) {
			s.refused(security.Security{TLS: &security.TLS{}}, exitMalformed, s.addrs[0], "does not speak TLS")
			s.topic(kafka.Topic{Name: "t-in", Partitions: 1})
		},
		"missing topic": func(s *stand) {
			s.refused(s.owner, exitRefused, "t-in does not exist", "create it")
			s.topic(kafka.Topic{Name: "t-in", Partitions: 1})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStand(t)
			run(s)
			s.event("x")
			s.nothingLost()
		})
	}
}

func TestRefusesAChangedPartitionCount(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	s.topic(kafka.Topic{Name: "t-in", Partitions: 2})
	s.topic(kafka.Topic{Name: "a-st-changelog", Partitions: 1, Configs: map[string]string{"cleanup.policy": "compact"}})
	s.refused(s.owner, exitRefused, "a-st-changelog has 1 partitions, but t-in has 2")
}

// A transaction timeout that the brokers do not take ends the app at once; the message
// says where it stands and what they take.
func TestRefusesATransactionTimeoutThatIsTooLong(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	s.topic(kafka.Topic{Name: "t-in", Partitions: 1})
	s.event("x")
	err := s.runFile(refusalFile + "kafka:\n  transaction_timeout: 20m\n")
	var coded exitError
	if !errors.As(err, &coded) || coded.code != exitRefused {
		t.Fatalf("ended with: %v", err)
	}
	for _, text := range []string{"f.yaml:11:3: kafka.transaction_timeout", "it is 20m0s", "transaction.max.timeout.ms of the brokers, which is 900000", "code 50"} {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("does not say %q: %v", text, err)
		}
	}
	t.Logf("%v\nnext: %s", err, coded.next)
	s.nothingLost()
}

// An order that says what it was, under a name of which nothing is recorded, is refused
// with the place.
func TestRefusesAnOrderThatWasNothing(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	s.topic(kafka.Topic{Name: "t-in", Partitions: 1})
	s.event("x")
	s.nothingLost()
	text := strings.NewReplacer("{name: o,", "{name: o2, was: nobody,", "from: o,", "from: o2,").Replace(refusalFile)
	err := s.runFile(text)
	var coded exitError
	if !errors.As(err, &coded) || coded.code != exitRefused || !strings.Contains(err.Error(), `f.yaml:6:21: runner: app a: was ["nobody"]: there was no such step`) {
		t.Errorf("ended with: %v", err)
	}
	t.Logf("%v\nnext: %s", err, coded.next)
}

// An output that its topic finds too large ends the app, and the event that it is of
// is not taken as done.
func TestRefusesAnOversizedRecord(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	s.topic(kafka.Topic{Name: "t-in", Partitions: 1})
	s.topic(kafka.Topic{Name: "t-out", Partitions: 1, Configs: map[string]string{"cleanup.policy": "compact", "max.message.bytes": "1000"}})
	s.event(strings.Repeat("x", 5000))
	s.refused(s.owner, exitRefused, `table "st.table", key "k": `, "t-out-0", "a record of 50", "raise max.message.bytes of the topic, which is 1000")
	in := record.TopicPartition{Topic: "t-in"}
	s.as(s.owner, func(ctx context.Context, c kafka.Cluster) error {
		a, err := c.Admin()
		if err != nil {
			return err
		}
		got, err := a.Committed(ctx, "a", []record.TopicPartition{in}, true)
		if err == nil && got[in].Offset > 0 {
			s.Errorf("committed %+v", got[in])
		}
		return err
	})
}

func TestRefusesAnUndecodableBatch(t *testing.T) {
	t.Parallel()
	err := classify(&kafka.UndecodableError{TopicPartition: record.TopicPartition{Topic: "t"}, Offset: 7, Err: errors.New("broken")})
	var coded exitError
	if !errors.As(err, &coded) || coded.code != exitRefused || !strings.Contains(coded.next, "--accept-offsets") || !strings.Contains(err.Error(), "t-0@7") {
		t.Errorf("%+v", err)
	}
}

// What another process has, and records that are gone, are for somebody to decide: each
// says how.
func TestWhatIsTakenOrGoneIsRefused(t *testing.T) {
	t.Parallel()
	for what, err := range map[string]error{
		"--instance":       fmt.Errorf("x: %w", runner.ErrInUse),
		"--accept-offsets": fmt.Errorf("x: %w", kafka.ErrOffsetOutOfRange),
	} {
		var coded exitError
		if !errors.As(classify(err), &coded) || coded.code != exitRefused || !strings.Contains(coded.next, what) {
			t.Errorf("%v: exit code %d, next %q", err, coded.code, coded.next)
		}
	}
}

// An answer that cannot be written is no wrong command line.
func TestAnAnswerThatCannotBeWrittenIsAFailure(t *testing.T) {
	t.Parallel()
	const file = "../../examples/permits/streamrun.yaml"
	for _, args := range []string{"version", "check -c " + file, "describe -c " + file, "topics plan -c " + file, "generate permits"} {
		stdout, err := os.Create(filepath.Join(t.TempDir(), "stdout"))
		if err != nil {
			t.Fatal(err)
		}
		if err := stdout.Close(); err != nil {
			t.Fatal(err)
		}
		var stderr strings.Builder
		code := execute(t.Context(), nil, strings.Fields(args), stdout, &stderr)
		if code != exitFailure || !strings.Contains(stderr.String(), "next: see that the file or directory") {
			t.Errorf("%s: exit code %d, said %q", args, code, stderr.String())
		}
	}
}
