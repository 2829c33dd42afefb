package wire

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/IBM/sarama"

	"github.com/streamrun/streamrun/topology/internal/kafka"
	"github.com/streamrun/streamrun/topology/internal/record"
)

func TestSaysThatAPartitionIsStuck(t *testing.T) {
	t.Parallel()
	p := kafka.Position{TopicPartition: record.TopicPartition{Topic: "t", Partition: 3}, Offset: 5}
	s := stalls{limit: stallLimit}
	at := time.Unix(1000, 0)
	answer := func(n int, step time.Duration) (err error) {
		for range n {
			at = at.Add(step)
			err = s.stalled(p, 9, at)
		}
		return err
	}
	if err := answer(1000, time.Millisecond); err != nil {
		t.Fatalf("after a second: %v", err)
	}
	p.Offset++ // it goes on
	if err := answer(stallAnswers-1, stallLimit); err != nil {
		t.Fatalf("after few answers: %v", err)
	}
	err := answer(1, time.Millisecond)
	if !errors.Is(err, kafka.ErrStuck) || !strings.Contains(err.Error(), "t-3@6: ") || !strings.Contains(err.Error(), "up to offset 9") {
		t.Fatal(err)
	}
}

// A broker says that there is something and sends nothing: in the end this is an error
// of that partition, and of no other.
func TestFetchSaysThatAPartitionIsStuck(t *testing.T) {
	t.Parallel()
	mock := sarama.NewMockBroker(t, 1)
	defer mock.Close()
	empty := &sarama.FetchResponse{Version: 11}
	for _, n := range []int32{0, 1} {
		empty.AddError("t", n, sarama.ErrNoError)
		b := empty.GetBlock("t", n)
		b.HighWaterMarkOffset, b.LastStableOffset = 10, 10
	}
	mock.SetHandlerByMap(map[string]sarama.MockResponse{
		"ApiVersionsRequest": sarama.NewMockApiVersionsResponse(t).SetApiKeys([]sarama.ApiVersionsResponseKey{{ApiKey: 1, MaxVersion: 11}, {ApiKey: 3, MaxVersion: 5}}),
		"MetadataRequest":    sarama.NewMockMetadataResponse(t).SetBroker(mock.Addr(), 1).SetLeader("t", 0, 1).SetLeader("t", 1, 1),
		"FetchRequest":       sarama.NewMockWrapper(empty),
	})
	c, err := New(Options{Brokers: []string{mock.Addr()}})
	must(t, err)
	defer c.Close()
	f, err := c.Fetcher(kafka.FetchOptions{MaxWait: time.Millisecond})
	must(t, err)
	f.(*fetcher).stalls.limit = 50 * time.Millisecond
	positions := []kafka.Position{
		{TopicPartition: record.TopicPartition{Topic: "t", Partition: 0}, Offset: 10},
		{TopicPartition: record.TopicPartition{Topic: "t", Partition: 1}, Offset: 7},
	}
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
		got, err := f.Fetch(t.Context(), positions)
		must(t, err)
		for _, x := range got {
			if x.Err == nil {
				continue
			}
			if x.Partition != 1 || !errors.Is(x.Err, kafka.ErrStuck) || !strings.Contains(x.Err.Error(), "t-1@7") || x.Next != 7 {
				t.Fatalf("%+v", x)
			}
			return
		}
	}
	t.Fatal("says nothing")
}
