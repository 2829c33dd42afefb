package wire

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/IBM/sarama"

	"github.com/streamrun/streamrun/topology/internal/kafka"
	"github.com/streamrun/streamrun/topology/internal/kafka/kafkatest"
	"github.com/streamrun/streamrun/topology/internal/record"
	"github.com/streamrun/streamrun/topology/security"
)

// These variables name a real cluster, as integration/kafka/up prints them; all but
// the first only where it asks who connects (SEC=1).
const (
	realBrokers   = "KAFKA_BROKERS"
	realCA        = "KAFKA_CA_FILE"
	realUser      = "KAFKA_USERNAME" // may do everything
	realPassword  = "KAFKA_PASSWORD"
	powerlessUser = "KAFKA_POWERLESS_USERNAME" // may do nothing
	powerlessPass = "KAFKA_POWERLESS_PASSWORD"
)

// realCluster connects to the real cluster as a user, or skips the test.
func realCluster(t *testing.T, user string, password security.Secret) kafka.Cluster {
	t.Helper()
	addrs := os.Getenv(realBrokers)
	if addrs == "" {
		t.Skipf("no real cluster: %s is not set; see integration/kafka/up", realBrokers)
	}
	opts := Options{Brokers: strings.Split(addrs, ",")}
	if user != "" {
		opts.Security = security.Security{
			TLS:  &security.TLS{CA: os.Getenv(realCA)},
			SASL: &security.SASL{Mechanism: security.ScramSHA512, User: user, Password: password},
		}
	}
	c, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Errorf("closing: %v", err)
		}
	})
	return c
}

func TestConformsOnARealCluster(t *testing.T) {
	run := rand.Text() // the cluster may have what an earlier run left
	var cases atomic.Int32
	kafkatest.Run(t, func(t *testing.T) kafkatest.Harness {
		c := realCluster(t, os.Getenv(realUser), security.Secret{Env: realPassword})
		const real = "a real broker misbehaves only as it likes; the embedded one is made to"
		return kafkatest.Harness{
			Cluster: c,
			Prefix:  fmt.Sprintf("%s-%d-", run, cases.Add(1)),
			Kick:    (&harness{t: t, cluster: c}).kick,
			Without: map[kafkatest.Feature]string{
				kafkatest.InjectCodes:     real,
				kafkatest.InjectLost:      real,
				kafkatest.InjectLostLater: real,
				kafkatest.HoldMarkers:     real,
			},
		}
	})
}

func TestRealClusterRefusesWhoMayNot(t *testing.T) {
	if os.Getenv(realUser) == "" {
		t.Skipf("no real cluster that asks who connects: %s is not set; see integration/kafka/up", realUser)
	}
	adminOf := func(c kafka.Cluster) kafka.Admin {
		t.Helper()
		a, err := c.Admin()
		must(t, err)
		return a
	}
	wrong := realCluster(t, os.Getenv(realUser), security.Text("wrong"))
	if _, err := wrong.ID(t.Context()); !errors.Is(err, kafka.ErrCredentials) {
		t.Errorf("a wrong password: %v", err)
	}
	if _, err := realCluster(t, "", security.Secret{}).ID(t.Context()); !errors.Is(err, kafka.ErrUnreachable) {
		t.Errorf("a plaintext connection: %v", err)
	}

	mighty := realCluster(t, os.Getenv(realUser), security.Secret{Env: realPassword})
	topic := rand.Text()
	must(t, adminOf(mighty).Create(t.Context(), kafka.Topic{Name: topic, Partitions: 1}))
	tp := record.TopicPartition{Topic: topic}

	powerless := realCluster(t, os.Getenv(powerlessUser), security.Secret{Env: powerlessPass})
	admin := adminOf(powerless)
	p, err := powerless.Producer(kafka.ProducerOptions{TransactionalID: rand.Text()})
	must(t, err)
	f, err := powerless.Fetcher(kafka.FetchOptions{})
	must(t, err)
	g, err := powerless.Group(kafka.GroupOptions{Group: rand.Text(), Topics: []string{topic}, SessionTimeout: 10 * time.Second})
	must(t, err)
	for name, call := range map[string]func(ctx context.Context) error{
		"Create": func(ctx context.Context) error {
			return admin.Create(ctx, kafka.Topic{Name: rand.Text(), Partitions: 1})
		},
		"EndOffsets": func(ctx context.Context) error {
			_, err := admin.EndOffsets(ctx, []record.TopicPartition{tp})
			return err
		},
		"Committed": func(ctx context.Context) error {
			_, err := admin.Committed(ctx, "group", []record.TopicPartition{tp}, true)
			return err
		},
		"Init": func(ctx context.Context) error { _, err := p.Init(ctx); return err },
		"Fetch": func(ctx context.Context) error {
			_, err := f.Fetch(ctx, []kafka.Position{{TopicPartition: tp}})
			return err
		},
		"Run": func(ctx context.Context) error { return g.Run(ctx, nobodyTold{}) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			if err := call(ctx); !errors.Is(err, kafka.ErrNotAuthorized) {
				t.Errorf("a user without rights: %v", err)
			}
		})
	}
}

// A record that no segment of its topic can hold is named, with the limit to raise.
func TestRealClusterNamesARecordLargerThanASegment(t *testing.T) {
	c := realCluster(t, os.Getenv(realUser), security.Secret{Env: realPassword})
	a, err := c.Admin()
	must(t, err)
	topic := rand.Text()
	must(t, a.Create(t.Context(), kafka.Topic{Name: topic, Partitions: 1, Configs: map[string]string{"max.message.bytes": "8000000", "segment.bytes": "1048576"}}))
	tp := record.TopicPartition{Topic: topic}
	p := newProducer(t, c, kafka.ProducerOptions{TransactionalID: topic})
	large := record.Output{TopicPartition: tp, Timestamp: time.Now().UnixMilli(), Key: []byte("large"), Value: make([]byte, 1_100_000)}
	ok := large
	ok.Value = make([]byte, 600_000)
	commit(t, p, ok, ok, ok) // two are too large for a segment, one is not
	must(t, p.Begin())
	err = p.Produce(t.Context(), p.Encode([]record.Output{ok, large}))
	if err == nil {
		_, err = p.Flush(t.Context())
	}
	var rec *kafka.RecordError
	if !errors.Is(err, kafka.ErrTooLarge) || !errors.As(err, &rec) || string(rec.Key) != "large" {
		t.Fatalf("%v", err)
	}
	for _, says := range []string{topic + "-0: a record of 1100005 bytes", "code 18", "raise segment.bytes of the topic, which is 1048576"} {
		if !strings.Contains(err.Error(), says) {
			t.Errorf("does not say %q: %v", says, err)
		}
	}
	must(t, p.End(t.Context(), false))
	commit(t, p, ok)
}

// A topic that grows is noticed by a group whose leader, a static member, was started
// again: the broker does not tell it that it leads.
func TestRealClusterGrowsUnderAMemberThatIsBack(t *testing.T) {
	c := realCluster(t, os.Getenv(realUser), security.Secret{Env: realPassword})
	a, err := c.Admin()
	must(t, err)
	topic := rand.Text()
	must(t, a.Create(t.Context(), kafka.Topic{Name: topic, Partitions: 1}))
	told := make(chan string, 100)
	next := func(want string) {
		t.Helper()
		select {
		case got := <-told:
			if got != want {
				t.Fatalf("told %q, want %q", got, want)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("not told %q", want)
		}
	}
	start := func() (stop func()) {
		g, err := c.Group(kafka.GroupOptions{Group: topic, InstanceID: "static", Topics: []string{topic}, SessionTimeout: 30 * time.Second})
		must(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- g.Run(ctx, handler(told)) }()
		return func() { cancel(); must(t, <-done) }
	}
	stop := start()
	next("assigned 1")
	stop()
	next("revoked 1")
	stop = start()
	next("assigned 1")
	leader, err := a.(*admin).route.controller(t.Context())
	must(t, err)
	grown, err := ask(t.Context(), leader, (*sarama.Broker).CreatePartitions, &sarama.CreatePartitionsRequest{
		TopicPartitions: map[string]*sarama.TopicPartition{topic: {Count: 2}}, Timeout: 10 * time.Second,
	})
	must(t, err)
	if e := grown.TopicPartitionErrors[topic]; e == nil || e.Err != sarama.ErrNoError {
		t.Fatal(e)
	}
	next("assigned 2")
	stop()
}

// nobodyTold is the handler of a member that never joins.
type nobodyTold struct{}

func (nobodyTold) Assigned(kafka.Member, []record.TopicPartition) {}
func (nobodyTold) Revoked([]record.TopicPartition)                {}
func (nobodyTold) Lost([]record.TopicPartition)                   {}
func (nobodyTold) State() map[int32]int64                         { return nil }
func (nobodyTold) Standby([]int32)                                {}
