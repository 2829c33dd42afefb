package kafkatest

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/streamrun/streamrun/topology/internal/kafka"
	"github.com/streamrun/streamrun/topology/internal/record"
)

// logCases are about what goes into a partition and comes out of it.
func logCases() []kase {
	return []kase{
		{name: "log/BytesExact", rule: "keys, values, headers and timestamps arrive as they were produced, null apart from empty", run: bytesExact},
		{name: "log/EncodedWhenProduceReturns", rule: "the outputs are encoded when Produce returns", run: encodedWhenProduceReturns},
		{name: "log/OrderPerPartition", rule: "outputs keep their order per partition, over Produce calls and transactions", run: orderPerPartition},
		{name: "log/AckedOffsets", rule: "Flush tells, per partition, the offset of the first record acknowledged by this transaction", run: ackedOffsets},
		{name: "log/AbortedFiltered", rule: "a committed reader sees no aborted record, an uncommitted one sees it", run: abortedFiltered},
		{name: "log/Interleaved", rule: "of transactions that interleave in one partition the committed ones are read, in offset order", run: interleaved},
		{name: "log/TooLarge", rule: "a record that is too large is ErrTooLarge, and the transaction can be aborted", needs: []Feature{SizeLimit}, run: tooLarge},
		{name: "log/UnknownTopic", rule: "producing to a topic or partition that does not exist is ErrUnknownTopic", run: produceUnknownTopic},
	}
}

func bytesExact(x *bench) {
	tp := x.partition()
	want := []record.Output{
		{Timestamp: 1_700_000_000_123, Key: []byte("key"), Value: []byte("value")},
		{Timestamp: 1_700_000_000_123, Key: nil, Value: []byte("null key")},
		{Timestamp: 1_600_000_000_000, Key: []byte("tombstone, earlier"), Value: nil},
		{Timestamp: 1, Key: []byte{}, Value: []byte{}},
		{Timestamp: 1_690_000_000_999, Key: []byte{0, 0xff, 0x80}, Value: bytes.Repeat([]byte{0xfe, 0}, 2000)},
		{Timestamp: 1_700_000_000_124, Value: []byte("headers"), Headers: []record.Header{
			{Key: []byte("a"), Value: []byte("1")},
			{Key: []byte("a"), Value: []byte("again")},
			{Key: []byte("null"), Value: nil},
			{Key: []byte("empty"), Value: []byte{}},
		}},
	}
	for i := range want {
		want[i].TopicPartition = tp
	}
	x.commit(x.producer("writer"), want...)
	got := x.committed(tp)
	if len(got) != len(want) {
		x.broken("%d records, want %d", len(got), len(want))
	}
	same := func(a, b []byte) bool { return (a == nil) == (b == nil) && bytes.Equal(a, b) }
	for i, w := range want {
		g := got[i]
		if g.Offset != int64(i) {
			x.broken("record %d has offset %d", i, g.Offset)
		}
		headers := slices.EqualFunc(g.Headers, w.Headers, func(a, b record.Header) bool {
			return same(a.Key, b.Key) && same(a.Value, b.Value)
		})
		if g.Timestamp != w.Timestamp || !same(g.Key, w.Key) || !same(g.Value, w.Value) || !headers {
			x.broken("record %d\n  got  %#v\n  want %#v", i, g, w)
		}
	}
}

func encodedWhenProduceReturns(x *bench) {
	tp := x.partition()
	p := x.producer("writer")
	x.must("Begin", p.Begin())
	key, value, header := []byte("key"), []byte("value"), []byte("header")
	outputs := []record.Output{{TopicPartition: tp, Timestamp: 1, Key: key, Value: value, Headers: []record.Header{{Key: header, Value: header}}}}
	x.must("Produce", p.Produce(x.ctx, p.Encode(outputs)))
	for _, b := range [][]byte{key, value, header} {
		for i := range b {
			b[i] = '#'
		}
	}
	outputs[0] = record.Output{}
	_, err := p.Flush(x.ctx)
	x.must("Flush", err)
	x.must("End", p.End(x.ctx, true))
	got := x.committed(tp)
	if len(got) != 1 || string(got[0].Key) != "key" || string(got[0].Value) != "value" || string(got[0].Headers[0].Value) != "header" {
		x.broken("the caller's later writes are seen: %v", got)
	}
}

func orderPerPartition(x *bench) {
	const partitions, rounds, calls, each = 3, 2, 2, 3000
	topic := x.topic(partitions)
	p := x.producer("writer")
	want := make([][]string, partitions)
	n := 0
	for range rounds {
		x.must("Begin", p.Begin())
		for range calls {
			var parts [partitions][]record.Output // of different lengths
			for range each {
				part := int32(n * 7 % 5 % partitions)
				value := fmt.Sprint(n)
				parts[part] = append(parts[part], out(record.TopicPartition{Topic: topic, Partition: part}, value))
				want[part] = append(want[part], value)
				n++
			}
			x.must("Produce", p.Produce(x.ctx, p.Encode(parts[0], slices.Concat(parts[1], parts[2]), nil)))
		}
		_, err := p.Flush(x.ctx)
		x.must("Flush", err)
		x.must("End", p.End(x.ctx, true))
	}
	for part := range int32(partitions) {
		got := x.committed(record.TopicPartition{Topic: topic, Partition: part})
		if !slices.Equal(values(got), want[part]) {
			x.broken("partition %d\n  got  %v\n  want %v", part, values(got), want[part])
		}
		if !slices.IsSortedFunc(got, func(a, b record.Record) int { return int(a.Offset - b.Offset) }) {
			x.broken("partition %d: offsets do not ascend", part)
		}
	}
}

func ackedOffsets(x *bench) {
	topic := x.topic(3)
	a, b := record.TopicPartition{Topic: topic, Partition: 0}, record.TopicPartition{Topic: topic, Partition: 2}
	p := x.producer("writer")
	acked := x.begin(p, out(a, "a0"), out(b, "b0"), out(a, "a1"))
	if len(acked) != 2 || acked[a] != 0 || acked[b] != 0 {
		x.broken("first transaction: acked %v", acked)
	}
	x.must("End", p.End(x.ctx, true))
	// Two records and a marker, one record and a marker.
	x.must("Begin", p.Begin())
	x.must("Produce", p.Produce(x.ctx, p.Encode([]record.Output{out(a, "a2")})))
	x.must("Produce", p.Produce(x.ctx, p.Encode([]record.Output{out(a, "a3"), out(b, "b1")})))
	acked, err := p.Flush(x.ctx)
	x.must("Flush", err)
	if len(acked) != 2 || acked[a] != 3 || acked[b] != 2 {
		x.broken("second transaction, behind the markers of the first: acked %v, want 3 and 2", acked)
	}
	x.must("Produce", p.Produce(x.ctx, p.Encode([]record.Output{out(a, "a4")})))
	acked, err = p.Flush(x.ctx)
	x.must("Flush", err)
	if acked[a] != 3 {
		x.broken("a second Flush tells %v: not the first record of the transaction", acked)
	}
	x.must("End", p.End(x.ctx, true))
	acked = x.begin(p)
	if len(acked) != 0 {
		x.broken("nothing produced, acked %v", acked)
	}
	x.must("End", p.End(x.ctx, true))
}

func abortedFiltered(x *bench) {
	tp := x.partition()
	p := x.producer("writer")
	x.commit(p, out(tp, "c0"), out(tp, "c1"))
	x.abort(p, out(tp, "a0"), out(tp, "a1"), out(tp, "a2"))
	x.commit(p, out(tp, "c2"))
	x.abort(p, out(tp, "a3"))
	if got, want := values(x.committed(tp)), []string{"c0", "c1", "c2"}; !slices.Equal(got, want) {
		x.broken("committed reader got %v, want %v", got, want)
	}
	got := values(x.read(kafka.FetchOptions{ReadUncommitted: true}, tp, 0, x.settled(tp)))
	if want := []string{"c0", "c1", "a0", "a1", "a2", "c2", "a3"}; !slices.Equal(got, want) {
		x.broken("uncommitted reader got %v, want %v", got, want)
	}
	// A reader that starts inside the aborted transaction knows of it too.
	if got, want := values(x.read(kafka.FetchOptions{}, tp, 4, x.settled(tp))), []string{"c2"}; !slices.Equal(got, want) {
		x.broken("committed reader from inside the aborted transaction got %v, want %v", got, want)
	}
}

func interleaved(x *bench) {
	tp := x.partition()
	a, b, c := x.producer("a"), x.producer("b"), x.producer("c")
	x.begin(a, out(tp, "a0"))
	x.begin(b, out(tp, "b0"))
	x.begin(c, out(tp, "c0"))
	for _, step := range []struct {
		p kafka.Producer
		v string
	}{{a, "a1"}, {b, "b1"}, {c, "c1"}, {a, "a2"}} {
		x.must("Produce", step.p.Produce(x.ctx, step.p.Encode([]record.Output{out(tp, step.v)})))
		_, err := step.p.Flush(x.ctx)
		x.must("Flush", err)
	}
	x.must("End of b", b.End(x.ctx, false))
	x.must("End of c", c.End(x.ctx, true))
	x.must("End of a", a.End(x.ctx, true))
	// The aborted producer's next transaction is not taken for the aborted one.
	x.commit(b, out(tp, "b2"))
	if got, want := values(x.committed(tp)), []string{"a0", "c0", "a1", "c1", "a2", "b2"}; !slices.Equal(got, want) {
		x.broken("got %v, want %v", got, want)
	}
}

func tooLarge(x *bench) {
	tp := x.partition()
	p := x.producer("writer")
	x.must("Begin", p.Begin())
	huge := record.Output{TopicPartition: tp, Timestamp: 1, Value: make([]byte, 8<<20)}
	err := p.Produce(x.ctx, p.Encode([]record.Output{huge}))
	if err == nil {
		_, err = p.Flush(x.ctx)
	}
	if !errors.Is(err, kafka.ErrTooLarge) {
		x.broken("8 MiB: %v", err)
	}
	if err := p.End(x.ctx, false); err != nil {
		x.broken("End(abort) after it: %v", err)
	}
	x.commit(p, out(tp, "small"))
	if got := values(x.committed(tp)); !slices.Equal(got, []string{"small"}) {
		x.broken("after it the partition has %v", got)
	}
}

func produceUnknownTopic(x *bench) {
	tp := x.partition()
	for _, unknown := range []record.TopicPartition{{Topic: "no-such-topic"}, {Topic: tp.Topic, Partition: 7}} {
		p := x.producer(x.name("writer"))
		x.must("Begin", p.Begin())
		err := p.Produce(x.ctx, p.Encode([]record.Output{out(unknown, "lost")}))
		if err == nil {
			_, err = p.Flush(x.ctx)
		}
		if !errors.Is(err, kafka.ErrUnknownTopic) {
			x.broken("%v: %v", unknown, err)
		}
		if err := p.End(x.ctx, false); err != nil {
			x.broken("End(abort) after it: %v", err)
		}
		x.commit(p, out(tp, "found"))
	}
}
