package wire

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/IBM/sarama"
)

// data makes a batch with the values first, first+1, ...
func data(first int64, n int, producer int64, transactional bool) *sarama.RecordBatch {
	b := &sarama.RecordBatch{
		Version: 2, FirstOffset: first, LastOffsetDelta: int32(n - 1), ProducerID: producer, IsTransactional: transactional,
		FirstTimestamp: time.UnixMilli(1000), MaxTimestamp: time.UnixMilli(2000),
	}
	for i := range n {
		b.Records = append(b.Records, &sarama.Record{OffsetDelta: int64(i), TimestampDelta: time.Duration(i) * time.Millisecond, Value: fmt.Append(nil, first+int64(i))})
	}
	return b
}

// marker makes the control batch that ends a transaction.
func marker(offset, producer int64, commit byte) *sarama.RecordBatch {
	b := data(offset, 1, producer, true)
	b.Control = true
	b.Records[0].Key = []byte{0, 0, 0, commit}
	return b
}

func blockOf(aborted []*sarama.AbortedTransaction, batches ...*sarama.RecordBatch) *sarama.FetchResponseBlock {
	b := &sarama.FetchResponseBlock{AbortedTransactions: aborted}
	for _, batch := range batches {
		b.RecordsSet = append(b.RecordsSet, &sarama.Records{RecordBatch: batch})
	}
	return b
}

func TestReadTakesWhatTheReaderMaySee(t *testing.T) {
	t.Parallel()
	cut := data(4, 2, -1, false)
	cut.PartialTrailingRecord, cut.Records = true, nil
	for _, c := range []struct {
		name      string
		at        int64
		committed bool
		block     *sarama.FetchResponseBlock
		want      []string
		next      int64
		short     bool
	}{
		{"from inside a batch", 2, true, blockOf(nil, data(0, 4, -1, false)), []string{"2", "3"}, 4, false},
		{"a batch below the position moves nothing back", 7, true, blockOf(nil, data(0, 4, -1, false)), nil, 7, false},
		{"a batch that is cut off behind others", 2, true, blockOf(nil, data(2, 2, -1, false), cut), []string{"2", "3"}, 4, false},
		{"a batch that is cut off at the front", 4, true, blockOf(nil, cut), nil, 4, true},
		{"nothing", 4, true, blockOf(nil), nil, 4, false},
		{
			"one aborted, the other not, and the next of the first", 0, true,
			blockOf([]*sarama.AbortedTransaction{{ProducerID: 1, FirstOffset: 0}},
				data(0, 1, 1, true), data(1, 1, 2, true), data(2, 1, 1, true), marker(3, 1, 0), marker(4, 2, 1), data(5, 1, 1, true), marker(6, 1, 1)),
			[]string{"1", "5"},
			7, false,
		},
		{
			"aborted twice, told in the wrong order", 0, true,
			blockOf([]*sarama.AbortedTransaction{{ProducerID: 1, FirstOffset: 3}, {ProducerID: 1, FirstOffset: 0}},
				data(0, 1, 1, true), marker(1, 1, 0), data(2, 1, 2, true), data(3, 1, 1, true), marker(4, 1, 0), data(5, 1, 1, true)),
			[]string{"2", "5"},
			6, false,
		},
		{
			"a record of an aborting producer outside its transaction", 0, true,
			blockOf([]*sarama.AbortedTransaction{{ProducerID: 1, FirstOffset: 0}}, data(0, 1, 1, true), data(1, 1, 1, false)),
			[]string{"1"},
			2, false,
		},
		{
			"an uncommitted reader sees all but markers", 0, false,
			blockOf([]*sarama.AbortedTransaction{{ProducerID: 1, FirstOffset: 0}}, data(0, 2, 1, true), marker(2, 1, 0)),
			[]string{"0", "1"},
			3, false,
		},
	} {
		got, err := read(c.at, c.block, c.committed)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		var values []string
		bytes := 0
		for _, r := range got.records {
			values = append(values, string(r.Value))
			bytes += len(r.Value)
		}
		if !slices.Equal(values, c.want) || got.next != c.next || got.short != c.short || got.bytes != bytes {
			t.Errorf("%s: read %q (%d bytes), next %d, short %v; want %q, %d, %v", c.name, values, got.bytes, got.next, got.short, c.want, c.next, c.short)
		}
	}
	if _, err := read(0, &sarama.FetchResponseBlock{RecordsSet: []*sarama.Records{{MsgSet: &sarama.MessageSet{}}}}, true); !errors.Is(err, errOldFormat) {
		t.Errorf("the old format: %v", err)
	}
}

func TestReadTellsTimes(t *testing.T) {
	t.Parallel()
	appended := data(0, 2, -1, false)
	appended.LogAppendTime = true
	none := data(0, 1, -1, false)
	none.FirstTimestamp, none.MaxTimestamp = time.Time{}, time.Time{}
	for _, c := range []struct {
		name  string
		batch *sarama.RecordBatch
		want  []int64
	}{
		{"the producer's", data(0, 2, -1, false), []int64{1000, 1001}},
		{"the broker's", appended, []int64{2000, 2000}},
		{"none", none, []int64{-1}},
	} {
		got, err := read(0, blockOf(nil, c.batch), true)
		if err != nil {
			t.Fatal(err)
		}
		var times []int64
		for _, r := range got.records {
			times = append(times, r.Timestamp)
		}
		if !slices.Equal(times, c.want) {
			t.Errorf("%s: %v, want %v", c.name, times, c.want)
		}
	}
}
