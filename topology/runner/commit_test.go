package runner

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/streamrun/streamrun/statestore"
	"github.com/streamrun/streamrun/topology"
	"github.com/streamrun/streamrun/topology/internal/kafka"
	"github.com/streamrun/streamrun/topology/internal/kafka/mem"
	"github.com/streamrun/streamrun/topology/internal/record"
	"github.com/streamrun/streamrun/topology/internal/task"
)

func at(p int32) record.TopicPartition { return record.TopicPartition{Topic: "events", Partition: p} }

func offset(p int32, offset, commit, writer int64, epoch int16) kafka.CommittedOffset {
	m := task.Metadata{Commit: commit, Writer: task.Writer{ProducerID: writer, Epoch: epoch}}
	return kafka.CommittedOffset{TopicPartition: at(p), Offset: offset, Metadata: m.String()}
}

func TestLandedAsksForCommitAndWriter(t *testing.T) {
	sent := []kafka.CommittedOffset{offset(0, 10, 5, 7, 1), offset(1, 20, 8, 7, 1)}
	for _, c := range []struct {
		name string
		got  []kafka.CommittedOffset
		want bool
	}{
		{"both", sent, true},
		{"before", []kafka.CommittedOffset{offset(0, 5, 4, 7, 1), offset(1, 15, 7, 7, 1)}, false},
		{"nothing yet", []kafka.CommittedOffset{{TopicPartition: at(0), Offset: -1}, {TopicPartition: at(1), Offset: -1}}, false},
		{"the number, by another producer", []kafka.CommittedOffset{offset(0, 10, 5, 8, 1), offset(1, 20, 8, 8, 1)}, false},
		{"the number, by a later epoch", []kafka.CommittedOffset{offset(0, 10, 5, 7, 2), offset(1, 20, 8, 7, 2)}, false},
		{"one went on under its next owner", []kafka.CommittedOffset{offset(0, 30, 6, 9, 0), sent[1]}, true},
		{"moved from outside", []kafka.CommittedOffset{{TopicPartition: at(0), Offset: 3}, {TopicPartition: at(1), Offset: 3}}, false},
	} {
		got := map[record.TopicPartition]kafka.CommittedOffset{}
		for _, o := range c.got {
			got[o.TopicPartition] = o
		}
		if landed(sent, got) != c.want {
			t.Errorf("%s: %v, want %v", c.name, !c.want, c.want)
		}
	}
}

func TestPositionsFollowTheLastRecord(t *testing.T) {
	out := func(topic string) record.Output {
		return record.Output{TopicPartition: record.TopicPartition{Topic: topic, Partition: 3}}
	}
	got := positionsOf([]record.Output{out("a"), out("b"), out("a"), out("a")}, map[record.TopicPartition]int64{
		{Topic: "a", Partition: 3}: 100, {Topic: "b", Partition: 3}: 7, {Topic: "c", Partition: 3}: 1,
	})
	want := []statestore.Position{{Topic: "a", Partition: 3, Offset: 103}, {Topic: "b", Partition: 3, Offset: 8}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestARecordThatItsTopicDoesNotTakeStopsTheApp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newBench(t, 1, mem.Options{})
		x.feed(20, 3)
		p := x.start(Config{Instance: "a"}, nil)
		x.drained()
		p.stop()
		before := x.offsets()[at(0)]
		x.feed(20, 3)
		x.broker.Inject(mem.Fault{Request: mem.Produce, Outcome: mem.Answered, Code: 32})
		p = x.start(Config{Instance: "a"}, func(c kafka.Cluster) kafka.Cluster {
			return &script{Cluster: c, answer: func(call string, do func() error) error {
				if err := do(); err != nil {
					return &kafka.RecordError{TopicPartition: record.TopicPartition{Topic: "updates"}, Key: []byte("key-1"), Err: err}
				}
				return nil
			}}
		})
		p.ended()
		if want := `sink "states.sink", key "key-1": `; !errors.Is(p.err, kafka.ErrTimestamp) || !strings.Contains(p.err.Error(), want) {
			t.Errorf("ended with: %v", p.err)
		}
		if c := x.offsets()[at(0)]; c != before {
			t.Errorf("committed %+v", c)
		}
	})
}

func TestTopicsAreCreatedForTimesInTheFuture(t *testing.T) {
	t.Parallel()
	plans := task.Plans(concat(t))
	for _, known := range []bool{false, true} {
		configs := map[string]string{}
		if known {
			configs["message.timestamp.after.max.ms"] = "3600000"
		}
		create, _, err := planTopics(topology.Names{App: app}, plans, found(kafka.Topic{Name: "events", Partitions: 1, Configs: configs}))
		if err != nil || len(create) != 5 {
			t.Fatalf("%v, %v", create, err)
		}
		for _, topic := range create {
			if got, is := topic.Configs["message.timestamp.after.max.ms"]; topic.Name != "app-meta" && (is != known || is && got != "9223372036854775807") {
				t.Errorf("%s, known %v: %q", topic.Name, known, got)
			}
		}
	}
}
