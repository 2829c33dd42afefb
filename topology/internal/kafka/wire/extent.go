package wire

import (
	"bytes"
	"context"
	"encoding/binary"

	"github.com/IBM/sarama"

	"github.com/streamrun/streamrun/topology/internal/kafka"
)

// extent is what the head of a batch says of its offsets.
type extent struct{ base, next int64 }

// behind returns the offset behind the batch at a position, which cannot be decoded,
// or 0 if that is not certain. The head of the batch says it, and is believed only
// where the broker agrees: at its last offset there is the same batch, at the offset
// behind it another one, or none.
func (f *fetcher) behind(ctx context.Context, addr string, p kafka.Position) int64 {
	batch, some := f.head(ctx, addr, p)
	if !some || batch.next <= p.Offset {
		return 0
	}
	last := p
	last.Offset = batch.next - 1
	if same, some := f.head(ctx, addr, last); !some || same != batch {
		return 0
	}
	last.Offset = batch.next
	if other, some := f.head(ctx, addr, last); some && other.base < batch.next {
		return 0
	}
	return batch.next
}

// head asks for the batch at a position and reads its head from the bytes of the
// answer, which sarama does not show of what it cannot decode.
func (f *fetcher) head(ctx context.Context, addr string, p kafka.Position) (extent, bool) {
	c, err := f.route.connect(ctx, addr)
	if err != nil {
		return extent{}, false
	}
	var answer bytes.Buffer
	c.sock.tap.Store(&answer)
	_, err = ask(ctx, c, (*sarama.Broker).Fetch, f.request([]kafka.Position{p}, []int{0}, 0, 1))
	c.sock.tap.Store(nil)
	if err != nil {
		f.route.drop(c)
	}
	return headOf(answer.Bytes())
}

// headOf reads the head of the first batch in the answer to a Fetch, version 11, of
// one partition.
func headOf(answer []byte) (extent, bool) {
	r := cursor{b: answer}
	r.skip(4 + 4 + 4 + 2 + 4) // length, correlation, throttle, error, session
	topics := r.int32()
	r.skip(int(r.int16())) // name
	partitions := r.int32()
	r.skip(4) // partition
	code := r.int16()
	r.skip(8 + 8 + 8) // high-water mark, last stable offset, log start
	if aborted := r.int32(); aborted > 0 {
		r.skip(16 * int(aborted))
	}
	r.skip(4 + 4) // preferred replica, size of the records
	base := r.int64()
	r.skip(4 + 4) // length, leader epoch
	magic := r.int8()
	r.skip(4 + 2) // checksum, attributes
	delta := r.int32()
	if r.cut || topics != 1 || partitions != 1 || code != 0 || magic != 2 || delta < 0 {
		return extent{}, false
	}
	return extent{base, base + int64(delta) + 1}, true
}

// cursor reads numbers, big endian; cut says that there were too few bytes.
type cursor struct {
	b   []byte
	cut bool
}

func (c *cursor) take(n int) []byte {
	if n < 0 || n > len(c.b) {
		c.cut, c.b = true, nil
		return make([]byte, 8)
	}
	b := c.b[:n]
	c.b = c.b[n:]
	return b
}

func (c *cursor) skip(n int)   { c.take(n) }
func (c *cursor) int8() int8   { return int8(c.take(1)[0]) }
func (c *cursor) int16() int16 { return int16(binary.BigEndian.Uint16(c.take(2))) }
func (c *cursor) int32() int32 { return int32(binary.BigEndian.Uint32(c.take(4))) }
func (c *cursor) int64() int64 { return int64(binary.BigEndian.Uint64(c.take(8))) }
