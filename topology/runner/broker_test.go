package runner

import (
	"context"
	"errors"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/streamrun/streamrun/topology/embedded"
	"github.com/streamrun/streamrun/topology/internal/kafka"
	"github.com/streamrun/streamrun/topology/internal/kafka/wire"
)

func TestMain(m *testing.M) {
	// One goroutine of a library of sarama's runs for ever, once it measures something.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/rcrowley/go-metrics.(*meterArbiter).tick"))
}

// embed returns a bench on an embedded broker, over the wire.
func embed(t *testing.T, partitions int32) (*bench, []string) {
	t.Helper()
	broker, err := embedded.Start(embedded.Options{MinSessionTimeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(broker.Close)
	return benchOn(t, partitions, func() kafka.Cluster {
		c, err := wire.New(wire.Options{Brokers: broker.Addrs()})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}), broker.Addrs()
}

func TestOnABrokerInstancesComeGoAndDie(t *testing.T) {
	x, _ := embed(t, 4)
	conf := func(name string) Config {
		return Config{Instance: name, Workers: 2, SessionTimeout: 3 * time.Second}
	}
	x.feed(2000, 50)
	a := x.start(conf("a"), nil)
	x.drained()
	x.feed(2000, 50)
	b := x.start(conf("b"), nil)
	x.eventually("b has half", b.running(2))
	x.feed(2000, 50)
	b.kill() // its tasks wait for it
	x.feed(500, 50)
	b = x.start(conf("b"), nil)
	x.drained()
	a.stop()
	b.stop()
	x.check()
}

// Another has taken the tasks over, and gives some of them back.
func TestOnABrokerAnInstanceThatWasAwayRestoresWithinASecond(t *testing.T) {
	x, _ := embed(t, 6)
	other := x.start(Config{}, nil)
	x.eventually("the other one runs all tasks", other.running(6))
	p := x.start(Config{}, nil)
	x.eventually("both run half of them", p.running(3))
	const soon = 900 * time.Millisecond // a second, less than the time to see it
	fastest := time.Hour
	for try := 0; try < 5 && fastest > soon; try++ {
		x.feed(300, 30)
		x.drained()
		p.stop()
		x.eventually("the other one has taken over", other.running(6))
		var after time.Duration
		p, after = x.startRestoring(Config{})
		fastest = min(fastest, after)
		x.eventually("both run half of them", p.running(3))
	}
	if fastest > soon {
		t.Errorf("it began to restore %v after its start", fastest)
	}
	p.stop()
	other.stop()
	x.check()
}

// Time is real here, and the machine may be busy: a wait in the protocol is in every
// start, also in the fastest.
func TestOnABrokerARestartedInstanceRestoresWithinASecond(t *testing.T) {
	for _, instance := range []string{"", "a"} {
		t.Run("instance="+instance, func(t *testing.T) {
			x, _ := embed(t, 4)
			conf := Config{Instance: instance, SessionTimeout: 3 * time.Second}
			fastest := x.restart(conf)
			for try := 1; try < 5; try++ {
				fastest = min(fastest, x.restart(conf))
			}
			if fastest > time.Second {
				t.Errorf("it began to restore %v after its start", fastest)
			}
			t.Log(fastest)
			x.check()
		})
	}
}

func TestOnABrokerTheRunnerConnectsByItself(t *testing.T) {
	x, addrs := embed(t, 2)
	dir := t.TempDir()
	for range 2 {
		x.feed(100, 9)
		r, err := New(x.topology, Config{Brokers: addrs, DataDir: dir})
		x.must(err)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- r.Run(ctx) }()
		x.drained()
		cancel()
		x.must(<-done)
		if err := r.Run(t.Context()); err == nil {
			t.Error("Run ran twice")
		}
	}
	x.check()
}

func TestConfigIsChecked(t *testing.T) {
	topo := concat(t)
	if _, err := New(topo, Config{}); err == nil {
		t.Error("no broker is not an error")
	}
	for _, cfg := range []Config{
		{Guarantee: "at_most_once"},
		{Workers: -1},
		{CommitInterval: -2},
		{CommitInterval: time.Minute},
		{Instance: "no spaces"},
	} {
		cfg.Brokers = []string{"localhost:9092"}
		if _, err := New(topo, cfg); err == nil {
			t.Errorf("%+v is not an error", cfg)
		}
	}
	if _, err := New(topo, Config{Brokers: []string{"localhost:9092"}, CommitInterval: AutoInterval}); err != nil {
		t.Error(err)
	}
}

func TestACancelBeforeTheStartDoesNothing(t *testing.T) {
	r, err := New(concat(t), Config{Brokers: []string{"127.0.0.1:1"}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.Run(ctx); err != nil {
		t.Error(err)
	}
}

func TestAClusterThatIsNotThere(t *testing.T) {
	r, err := New(concat(t), Config{Brokers: []string{"127.0.0.1:1"}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	if err := r.Run(ctx); err == nil || errors.Is(err, context.Canceled) {
		t.Errorf("ended with: %v", err)
	} else {
		t.Log(err)
	}
}
