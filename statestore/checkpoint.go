package statestore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
)

const checkpointFormat = 1

// A Checkpoint says which changelogs the rows of a directory stand for, and up to
// where. It is written with the rows, never ahead of them. The zero value stands
// for nothing.
type Checkpoint struct {
	Cluster    string // cluster id
	Generation int    // of a rebuild; 0 and 1 are the first life
	Wall       int64  // when it was written, milliseconds since the Unix epoch
	Changelogs []ChangelogPosition
}

// A ChangelogPosition is the position in one changelog partition. The topic id
// tells a topic from one of the same name that was made again.
type ChangelogPosition struct {
	Position
	TopicID [16]byte
}

// Append appends the bytes of the checkpoint. Changelogs are written in the order
// of topic and partition.
func (c *Checkpoint) Append(b []byte) []byte {
	b = append(b, checkpointFormat)
	b = appendText(b, c.Cluster)
	b = binary.AppendUvarint(b, uint64(c.Generation))
	b = binary.AppendVarint(b, c.Wall)
	sorted := slices.SortedFunc(slices.Values(c.Changelogs), compareChangelogs)
	b = binary.AppendUvarint(b, uint64(len(sorted)))
	for _, p := range sorted {
		b = appendText(b, p.Topic)
		b = append(b, p.TopicID[:]...)
		b = binary.AppendUvarint(b, uint64(p.Partition))
		b = binary.AppendUvarint(b, uint64(p.Offset))
	}
	return b
}

func compareChangelogs(a, b ChangelogPosition) int {
	if c := strings.Compare(a.Topic, b.Topic); c != 0 {
		return c
	}
	return int(a.Partition) - int(b.Partition)
}

// DecodeCheckpoint reads what Append wrote.
func DecodeCheckpoint(b []byte) (Checkpoint, error) {
	var c Checkpoint
	if len(b) > 0 && b[0] != checkpointFormat {
		return c, fmt.Errorf("statestore: decoding a checkpoint: unknown format %d", b[0])
	}
	d := decoder{b: b}
	d.take(1)
	c.Cluster = string(d.take(d.uvarint(1 << 16)))
	c.Generation = int(d.uvarint(1 << 31))
	c.Wall = d.varint()
	for range d.uvarint(1 << 20) {
		var p ChangelogPosition
		p.Topic = string(d.take(d.uvarint(1 << 16)))
		copy(p.TopicID[:], d.take(16))
		p.Partition = int32(d.uvarint(1<<31 - 1))
		p.Offset = int64(d.uvarint(1<<63 - 1))
		if n := len(c.Changelogs); d.bad || n > 0 && compareChangelogs(c.Changelogs[n-1], p) >= 0 {
			d.bad = true
			break
		}
		c.Changelogs = append(c.Changelogs, p)
	}
	if d.bad || len(d.b) > 0 {
		return Checkpoint{}, errors.New("statestore: decoding a checkpoint: cut short, too long or out of order")
	}
	return c, nil
}

func appendText(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

// decoder reads the parts of a format; bad sticks.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) uvarint(limit uint64) uint64 {
	v, n := binary.Uvarint(d.b)
	if d.bad || n <= 0 || n > 1 && d.b[n-1] == 0 || v > limit {
		d.bad = true
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) varint() int64 {
	u := d.uvarint(1<<64 - 1)
	v := int64(u >> 1)
	if u&1 != 0 {
		v = ^v
	}
	return v
}

func (d *decoder) take(n uint64) []byte {
	if d.bad || n > uint64(len(d.b)) {
		d.bad = true
		return nil
	}
	v := d.b[:n]
	d.b = d.b[n:]
	return v
}
