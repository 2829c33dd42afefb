//go:build linux

package main

import (
	"context"
	"fmt"
	"hash"

	"github.com/IBM/sarama"
	"github.com/lovoo/goka"
	"github.com/lovoo/goka/codec"
	"github.com/lovoo/goka/storage"

	"github.com/streamrun/streamrun/topology"
)

// gokaCount counts the events of each key with goka, in a store of the builder.
func gokaCount(ctx context.Context, j job, m *meter, store storage.Builder) error {
	conf := goka.DefaultConfig()
	conf.Consumer.Offsets.Initial = sarama.OffsetOldest
	goka.ReplaceGlobalConfig(conf)
	topics := goka.NewTopicManagerConfig()
	topics.Table.Replication = 1
	topics.Stream.Replication = 1
	graph := goka.DefineGroup(goka.Group(j.prefix),
		goka.Input(goka.Stream(j.input), new(codec.Bytes), func(ctx goka.Context, _ any) {
			count, _ := ctx.Value().(int64)
			ctx.SetValue(count + 1)
			m.add(1)
		}),
		goka.Persist(new(codec.Int64)),
	)
	p, err := goka.NewProcessor([]string{j.broker}, graph,
		goka.WithStorageBuilder(store),
		goka.WithHasher(func() hash.Hash32 { return &murmur{} }),
		goka.WithTopicManagerBuilder(goka.TopicManagerBuilderWithTopicManagerConfig(topics)),
		goka.WithLogger(silent{}),
	)
	if err != nil {
		return fmt.Errorf("bench: goka: %w", err)
	}
	if err := p.Run(ctx); err != nil && ctx.Err() == nil {
		return fmt.Errorf("bench: goka: %w", err)
	}
	return nil
}

// murmur is the hash that the partitions of the input were chosen by.
type murmur struct{ key []byte }

func (m *murmur) Write(b []byte) (int, error) { m.key = append(m.key, b...); return len(b), nil }
func (m *murmur) Sum(b []byte) []byte         { return b }
func (m *murmur) Sum32() uint32               { return topology.Murmur2(m.key) & 0x7fffffff }
func (m *murmur) Reset()                      { m.key = m.key[:0] }
func (m *murmur) Size() int                   { return 4 }
func (m *murmur) BlockSize() int              { return 4 }

// silent is a logger that says nothing.
type silent struct{}

func (silent) Print(...any)          {}
func (silent) Println(...any)        {}
func (silent) Printf(string, ...any) {}
