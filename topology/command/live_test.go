package command

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/streamrun/streamrun/topology"
	"github.com/streamrun/streamrun/topology/embedded"
	"github.com/streamrun/streamrun/topology/internal/kafka"
	"github.com/streamrun/streamrun/topology/internal/kafka/wire"
	"github.com/streamrun/streamrun/topology/serde"
)

// text is what a verb writes while others read it.
type text struct {
	mu sync.Mutex // guards b
	b  strings.Builder
}

// Write implements io.Writer.
func (s *text) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

// String returns what was written so far.
func (s *text) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func TestTopicsPlanComparesAndRunServesHealth(t *testing.T) {
	t.Parallel()
	broker, err := embedded.Start(embedded.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(broker.Close)
	brokers := strings.Join(broker.Addrs(), ",")
	str := serde.Of(serde.String(), serde.String())
	b := topology.New("ownapp")
	topology.Sink(topology.Source(b, "in", str), "out", str)
	topo, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	plan := func() (code int, out, errs string) {
		var stdout, stderr text
		code = execute(t.Context(), topo, []string{"topics", "plan", "--live", "--brokers", brokers}, &stdout, &stderr)
		return code, stdout.String(), stderr.String()
	}
	code, out, errs := plan()
	if code != exitNo || !strings.Contains(out, "problem: source topic in does not exist; create it") || !strings.Contains(errs, "next: mend") {
		t.Errorf("without the input: %d\n%s%s", code, out, errs)
	}

	cluster, err := wire.New(wire.Options{Brokers: broker.Addrs()})
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	admin, err := cluster.Admin()
	if err != nil {
		t.Fatal(err)
	}
	if err := admin.Create(t.Context(), kafka.Topic{Name: "in", Partitions: 3}); err != nil {
		t.Fatal(err)
	}
	code, out, errs = plan()
	if code != 0 || !strings.Contains(out, "3 partitions, delete") || !strings.Contains(out, "missing") || errs != "" {
		t.Errorf("with the input: %d\n%s%s", code, out, errs)
	}

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var log text
	done := make(chan int, 1)
	go func() {
		done <- execute(ctx, topo, []string{"run", "--brokers", brokers, "--http", "localhost:0"}, &text{}, &log)
	}()
	poll(t, "ready", func() bool {
		_, rest, ok := strings.Cut(log.String(), "http=")
		if !ok || !strings.Contains(rest, "\n") {
			return false
		}
		addr := rest[:strings.IndexByte(rest, '\n')]
		ready, err := get(t.Context(), addr+"/readyz")
		if err != nil || ready != "ok\n" {
			return false
		}
		metrics, err := get(t.Context(), addr+"/metrics")
		return err == nil && strings.Contains(metrics, `streamrun_tasks_assigned{app="ownapp"} 3`)
	})
	stop()
	if code := <-done; code != 0 {
		t.Errorf("run ended with %d:\n%s", code, log.String())
	}

	var stdout text
	if code := execute(t.Context(), topo, []string{"topics", "plan", "--live", "--brokers", brokers, "-o", "json"}, &stdout, &text{}); code != 0 {
		t.Errorf("after a run: %d", code)
	}
	var got topicsPlan
	if err := json.Unmarshal([]byte(stdout.String()), &got); err != nil || got.App != "ownapp" || len(got.ACLs) != 6 || got.Cluster == nil {
		t.Fatalf("%v: %s", err, stdout.String())
	}
	for _, f := range got.Cluster.Topics {
		if !f.Exists || f.Partitions != 3 && f.Name != "ownapp-meta" {
			t.Errorf("after a run: %+v", f)
		}
	}
}

func poll(t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for limit := time.Now().Add(time.Minute); !holds(); <-tick.C {
		if time.Now().After(limit) {
			t.Fatalf("still not after a minute: %s", what)
		}
	}
}
