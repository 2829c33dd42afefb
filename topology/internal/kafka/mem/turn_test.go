package mem_test

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/streamrun/streamrun/topology/internal/kafka"
	"github.com/streamrun/streamrun/topology/internal/kafka/mem"
	"github.com/streamrun/streamrun/topology/internal/record"
)

// Two producers wait for the same marker; whoever is let in first has the smaller
// epoch.
func TestATurnSaysWhoIsFirst(t *testing.T) {
	for first := range 2 {
		synctest.Test(t, func(t *testing.T) {
			b := mem.New(mem.Options{})
			must := func(err error) {
				t.Helper()
				if err != nil {
					t.Fatal(err)
				}
			}
			open := func(c *mem.Cluster) kafka.Producer {
				p, err := c.Producer(kafka.ProducerOptions{TransactionalID: "x"})
				must(err)
				return p
			}
			c := b.Connect()
			admin, err := c.Admin()
			must(err)
			must(admin.Create(t.Context(), kafka.Topic{Name: "in", Partitions: 1}))
			before := open(c)
			_, err = before.Init(t.Context())
			must(err)
			must(before.Begin())
			release := b.HoldMarkers()
			must(before.Produce(t.Context(), before.Encode([]record.Output{{TopicPartition: record.TopicPartition{Topic: "in"}, Value: []byte("v")}})))
			must(before.End(t.Context(), true))

			var turns, done [2]chan struct{}
			var ids [2]kafka.ProducerID
			for i := range 2 {
				turns[i], done[i] = make(chan struct{}), make(chan struct{})
				c := b.ConnectInTurn(func(_ context.Context, kind string) {
					if kind != "producer" {
						t.Errorf("turn of %q", kind)
					}
					<-turns[i]
				})
				p := open(c)
				go func() {
					defer close(done[i])
					var err error
					if ids[i], err = p.Init(t.Context()); err != nil {
						t.Error(err)
					}
				}()
				turns[i] <- struct{}{} // it finds the marker on its way
			}
			release()
			synctest.Wait()
			turns[first] <- struct{}{}
			<-done[first]
			turns[1-first] <- struct{}{}
			<-done[1-first]
			if ids[first].Epoch >= ids[1-first].Epoch {
				t.Errorf("producer %d was first and has epoch %d, the other %d", first, ids[first].Epoch, ids[1-first].Epoch)
			}
		})
	}
}

func TestAFaultSaysThatItWasMet(t *testing.T) {
	b := mem.New(mem.Options{})
	met := 0
	defer b.Inject(mem.Fault{Request: mem.Metadata, Code: 6, Times: 2, Met: func() { met++ }})()
	if met != 0 {
		t.Fatalf("met %d times before any request", met)
	}
	admin, err := b.Connect().Admin()
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := admin.Describe(t.Context(), "x"); err != nil {
			t.Fatal(err)
		}
	}
	if met != 2 {
		t.Errorf("met %d times, want 2", met)
	}
}
