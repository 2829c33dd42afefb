package mem

import (
	"testing"
	"time"

	"github.com/streamrun/streamrun/topology/internal/kafka"
	"github.com/streamrun/streamrun/topology/internal/record"
)

// What was not added to the transaction is refused, whoever sends it.
func TestTakesOnlyWhatWasAdded(t *testing.T) {
	b, now := New(Options{}), time.Unix(0, 0)
	b.topics["t"] = []*partition{newPartition(), newPartition()}
	pid, epoch, _ := b.initProducer("p", time.Minute, now)
	id := kafka.ProducerID{ID: pid, Epoch: epoch}
	at := func(n int32) record.TopicPartition { return record.TopicPartition{Topic: "t", Partition: n} }
	produce := func(id kafka.ProducerID, n int32) code {
		return b.produce("p", id, []batch{{TopicPartition: at(n), records: make([]record.Record, 1)}}, map[record.TopicPartition]int64{})
	}
	offsets := func(id kafka.ProducerID) code {
		return b.commitOffsets("p", id.ID, id.Epoch, "g", kafka.Member{Generation: -1}, nil)
	}
	old := kafka.ProducerID{ID: pid, Epoch: epoch - 1}
	other := kafka.ProducerID{ID: pid + 1}
	for _, step := range []struct {
		what string
		got  func() code
		want code
	}{
		{"produce outside a transaction", func() code { return produce(id, 0) }, invalidTxnState},
		{"offsets outside a transaction", func() code { return offsets(id) }, invalidTxnState},
		{"end outside a transaction", func() code { return b.endTxn("p", pid, epoch, true, now) }, invalidTxnState},
		{"add of an unknown partition", func() code { return b.addToTxn("p", pid, epoch, []record.TopicPartition{at(7)}, "", now) }, unknownTopicOrPartition},
		{"add", func() code { return b.addToTxn("p", pid, epoch, []record.TopicPartition{at(0)}, "", now) }, 0},
		{"produce to another partition", func() code { return produce(id, 1) }, invalidTxnState},
		{"offsets of a group not added", func() code { return offsets(id) }, invalidTxnState},
		{"produce of an older epoch", func() code { return produce(old, 0) }, invalidProducerEpoch},
		{"offsets of an older epoch", func() code { return offsets(old) }, invalidProducerEpoch},
		{"add of an older epoch", func() code { return b.addToTxn("p", pid, epoch-1, nil, "g", now) }, producerFenced},
		{"end of an older epoch", func() code { return b.endTxn("p", pid, epoch-1, true, now) }, producerFenced},
		{"produce of another id", func() code { return produce(other, 0) }, invalidProducerIDMapping},
		{"produce", func() code { return produce(id, 0) }, 0},
		{"produce of an older epoch behind it", func() code { return produce(old, 0) }, invalidProducerEpoch},
		{"commit", func() code { return b.endTxn("p", pid, epoch, true, now) }, 0},
		{"commit again, markers on their way", func() code { return b.endTxn("p", pid, epoch, true, now) }, concurrentTransactions},
		{"abort of what is committed", func() code { return b.endTxn("p", pid, epoch, false, now) }, invalidTxnState},
		{"add, markers on their way", func() code { return b.addToTxn("p", pid, epoch, nil, "g", now) }, concurrentTransactions},
		{"markers", func() code { b.advance(now); return 0 }, 0},
		{"commit again", func() code { return b.endTxn("p", pid, epoch, true, now) }, 0},
		{"abort after it", func() code { return b.endTxn("p", pid, epoch, false, now) }, invalidTxnState},
		{"produce behind its marker", func() code { return produce(id, 0) }, invalidTxnState},
	} {
		if got := step.got(); got != step.want {
			t.Fatalf("%s: answered %d, want %d", step.what, got, step.want)
		}
	}
}

// A transactional id that runs out of epochs goes on under another producer id.
func TestEpochsRunOut(t *testing.T) {
	b, now := New(Options{}), time.Unix(0, 0)
	seen := map[kafka.ProducerID]bool{}
	last := kafka.ProducerID{ID: -1}
	for range 1 << 16 {
		pid, epoch, c := b.initProducer("p", time.Minute, now)
		id := kafka.ProducerID{ID: pid, Epoch: epoch}
		if c != 0 || epoch < 0 || seen[id] || pid == last.ID && epoch != last.Epoch+1 {
			t.Fatalf("after %+v: %+v, answered %d", last, id, c)
		}
		seen[id], last = true, id
	}
	if last.ID != 2 {
		t.Errorf("65536 times, last %+v", last)
	}
}
