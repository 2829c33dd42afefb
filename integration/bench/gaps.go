//go:build linux

package main

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/IBM/sarama"
)

// An appended is a batch of a partition: when it was appended, and who wrote it.
type appended struct {
	at       time.Time
	producer int64
}

// appends are the batches of a topic whose transaction is committed, partition by
// partition, in the order of their offsets.
type appends struct {
	committed [][]appended
	open      []map[int64][]appended // of each partition, by producer
}

func newAppends(partitions int32) *appends {
	a := &appends{committed: make([][]appended, partitions), open: make([]map[int64][]appended, partitions)}
	for p := range a.open {
		a.open[p] = map[int64][]appended{}
	}
	return a
}

// take takes the next batch of a partition, which was seen at a time.
func (a *appends) take(p int32, rb *sarama.RecordBatch, seen time.Time) {
	open := a.open[p]
	if !rb.Control {
		at := seen
		if rb.LogAppendTime {
			at = rb.MaxTimestamp
		}
		open[rb.ProducerID] = append(open[rb.ProducerID], appended{at, rb.ProducerID})
		return
	}
	// The key of a marker is its version and its kind; of kinds 1 is a commit.
	if key := rb.Records[0].Key; len(key) >= 4 && binary.BigEndian.Uint16(key[2:]) == 1 {
		a.committed[p] = append(a.committed[p], open[rb.ProducerID]...)
	}
	delete(open, rb.ProducerID)
}

// shares returns how many partitions each producer was the last to write, and how many
// nobody has written.
func (a *appends) shares() (partitions map[int64]int, none int) {
	partitions = map[int64]int{}
	for _, some := range a.committed {
		if len(some) == 0 {
			none++
			continue
		}
		partitions[some[len(some)-1].producer]++
	}
	return partitions, none
}

// stayed returns the partitions that one producer wrote all the time from one time to
// another.
func (a *appends) stayed(from, to time.Time) (partitions []int32) {
	for p, some := range a.committed {
		writers := map[int64]bool{}
		for _, b := range some {
			if !b.at.Before(from) && !b.at.After(to) {
				writers[b.producer] = true
			}
		}
		if len(writers) == 1 {
			partitions = append(partitions, int32(p))
		}
	}
	return partitions
}

// A gap is the time in which nothing was appended to a partition.
type gap struct {
	partition int32
	began     time.Time
	took      time.Duration
}

// since says what it was, in the time since another.
func (g gap) since(begin time.Time) string {
	return fmt.Sprintf("%v (partition %d, at %.1f s)", g.took.Round(100*time.Microsecond), g.partition, g.began.Sub(begin).Seconds())
}

// longest returns the longest gap of the partitions, among those that a part of lies
// between two times.
func (a *appends) longest(partitions []int32, from, to time.Time) (longest gap) {
	for _, p := range partitions {
		before := from
		some := a.committed[p]
		for i := 0; i <= len(some) && before.Before(to); i++ {
			at := to
			if i < len(some) {
				at = some[i].at
			}
			if !at.After(from) {
				before = at
				continue
			}
			if d := at.Sub(before); d > longest.took {
				longest = gap{p, before, d}
			}
			before = at
		}
	}
	return longest
}
