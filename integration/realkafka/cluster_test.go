//go:build linux

package realkafka

import (
	"crypto/rand"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/IBM/sarama"
)

// A cluster is the real one, seen with sarama alone.
type cluster struct {
	t       *testing.T
	brokers []string
	client  sarama.Client
	admin   sarama.ClusterAdmin
}

// real connects to the cluster, or skips the test when there is none.
func real(t *testing.T) *cluster {
	t.Helper()
	addrs := os.Getenv("KAFKA_BROKERS")
	if addrs == "" {
		t.Skip("no real cluster: KAFKA_BROKERS is not set; see integration/kafka/up")
	}
	c := &cluster{t: t, brokers: strings.Split(addrs, ",")}
	conf := login(t)
	conf.Version = sarama.V2_8_0_0
	conf.Consumer.IsolationLevel = sarama.ReadCommitted
	conf.Producer.Partitioner = sarama.NewManualPartitioner
	conf.Producer.RequiredAcks = sarama.WaitForAll
	conf.Producer.Return.Successes = true
	conf.Producer.Idempotent = true
	conf.Net.MaxOpenRequests = 1
	conf.Producer.Retry.Max = 100
	var err error
	if c.client, err = sarama.NewClient(c.brokers, conf); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.client.Close() })
	if c.admin, err = sarama.NewClusterAdminFromClient(c.client); err != nil {
		t.Fatal(err)
	}
	return c
}

// create creates a topic, and waits until it has leaders. Configs come in pairs.
func (c *cluster) create(topic string, partitions int32, configs ...string) {
	c.t.Helper()
	entries := map[string]*string{}
	for i := 0; i < len(configs); i += 2 {
		entries[configs[i]] = &configs[i+1]
	}
	if err := c.admin.CreateTopic(topic, &sarama.TopicDetail{NumPartitions: partitions, ReplicationFactor: -1, ConfigEntries: entries}, false); err != nil {
		c.t.Fatal(err)
	}
	c.eventually("leaders of "+topic, func() bool {
		for p := range partitions {
			if _, err := c.client.Leader(topic, p); err != nil {
				return false
			}
		}
		return true
	})
}

// ends returns the end of every partition of a topic: the high-water marks, or the
// last stable offsets. An error passes when the cluster has settled.
func (c *cluster) ends(topic string, isolation sarama.IsolationLevel) (_ map[int32]int64, err error) {
	defer func() {
		if err != nil {
			_ = c.client.RefreshMetadata(topic) // leaders move
		}
	}()
	partitions, err := c.client.Partitions(topic)
	if err != nil {
		return nil, err
	}
	ends := map[int32]int64{}
	asks := map[*sarama.Broker]*sarama.OffsetRequest{}
	for _, p := range partitions {
		leader, err := c.client.Leader(topic, p)
		if err != nil {
			return nil, err
		}
		if asks[leader] == nil {
			asks[leader] = &sarama.OffsetRequest{Version: 4, IsolationLevel: isolation}
		}
		asks[leader].AddBlock(topic, p, sarama.OffsetNewest, 1)
	}
	for leader, ask := range asks {
		answer, err := leader.GetAvailableOffsets(ask)
		if err != nil {
			return nil, err
		}
		for p, b := range answer.Blocks[topic] {
			if b.Err != sarama.ErrNoError {
				return nil, b.Err
			}
			ends[p] = b.Offset
		}
	}
	return ends, nil
}

// undecided reports whether a partition of the topic has records of a transaction
// that is not decided. High-water marks are read first: what is committed in between
// is not taken for open.
func (c *cluster) undecided(topic string) bool {
	high, err := c.ends(topic, sarama.ReadUncommitted)
	if err != nil {
		return false // no leader at the moment
	}
	stable, err := c.ends(topic, sarama.ReadCommitted)
	if err != nil {
		return false
	}
	for p := range high {
		if stable[p] < high[p] {
			return true
		}
	}
	return false
}

// read reads the committed records of a topic from the start to its end, in offset
// order per partition. The end is a record of its own, that read produces: what stands
// before it may be markers and aborted records, which a consumer does not tell.
func (c *cluster) read(topic string) (all []*sarama.ConsumerMessage) {
	c.t.Helper()
	end := "end-" + rand.Text()
	producer, err := sarama.NewSyncProducerFromClient(c.client)
	if err != nil {
		c.t.Fatal(err)
	}
	defer producer.Close()
	consumer, err := sarama.NewConsumerFromClient(c.client)
	if err != nil {
		c.t.Fatal(err)
	}
	defer consumer.Close()
	partitions, err := c.client.Partitions(topic)
	if err != nil {
		c.t.Fatal(err)
	}
	for _, p := range partitions {
		if _, _, err := producer.SendMessage(&sarama.ProducerMessage{Topic: topic, Partition: p, Key: sarama.StringEncoder(end)}); err != nil {
			c.t.Fatal(err)
		}
		all = append(all, c.readTo(consumer, topic, p, end)...)
	}
	return all
}

func (c *cluster) readTo(consumer sarama.Consumer, topic string, partition int32, end string) (all []*sarama.ConsumerMessage) {
	c.t.Helper()
	part, err := consumer.ConsumePartition(topic, partition, sarama.OffsetOldest)
	if err != nil {
		c.t.Fatal(err)
	}
	defer part.Close()
	limit := time.After(time.Minute)
	for {
		select {
		case m := <-part.Messages():
			switch key := string(m.Key); {
			case key == end:
				return all
			case !strings.HasPrefix(key, "end-"): // of an earlier read
				all = append(all, m)
			}
		case <-limit:
			c.t.Fatalf("%s-%d: its end has not come in a minute; %d records came", topic, partition, len(all))
		}
	}
}

// eventually waits until a condition holds.
func (c *cluster) eventually(what string, holds func() bool) {
	c.t.Helper()
	if err := c.poll(2*time.Minute, holds); err != nil {
		c.t.Fatalf("%s: %v", what, err)
	}
}

// poll looks at a condition until it holds, or so long.
func (c *cluster) poll(limit time.Duration, holds func() bool) error {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	end := time.NewTimer(limit)
	defer end.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-end.C:
			return fmt.Errorf("still not, after %v", limit)
		case <-c.t.Context().Done():
			return c.t.Context().Err()
		}
	}
	return nil
}
