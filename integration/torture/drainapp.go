//go:build linux

package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/metrics"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/streamrun/streamrun/policies"
	"github.com/streamrun/streamrun/reorder"
	"github.com/streamrun/streamrun/statestore"
	"github.com/streamrun/streamrun/topology"
	"github.com/streamrun/streamrun/topology/runner"
	"github.com/streamrun/streamrun/topology/serde"
)

// late is the entity with the hole.
const late = "late"

const (
	drainKey   = len("other 999")
	drainValue = 16
)

// A drainEvent is an event of the drill.
type drainEvent struct {
	seq int64
	due int64 // when it was to be sent; 0: nobody measures it
}

// drainSerde is its serde.
type drainSerde struct{}

// Append implements serde.Serde.
func (drainSerde) Append(dst []byte, e drainEvent) ([]byte, error) {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(dst, uint64(e.seq)), uint64(e.due)), nil
}

// Decode implements serde.Serde.
func (drainSerde) Decode(b []byte) (drainEvent, error) {
	if len(b) != drainValue {
		return drainEvent{}, fmt.Errorf("an event has %d bytes, not %d", drainValue, len(b))
	}
	return drainEvent{int64(binary.BigEndian.Uint64(b)), int64(binary.BigEndian.Uint64(b[8:]))}, nil
}

// drainSaid is what the app of a drain tells.
type drainSaid struct {
	Running bool          `json:"running"`
	Moves   int64         `json:"moves"` // of its state
	Read    int64         `json:"read"`
	Applied int64         `json:"applied"`
	Late    int64         `json:"late"`  // of applied
	Quiet   bool          `json:"quiet"` // nothing was read or applied for a while
	CPU     time.Duration `json:"cpu"`
	Live    uint64        `json:"live"`  // the most that a collection left
	Total   uint64        `json:"total"` // the most that the process had of the system
}

// memoryBound is what the live heap of an app has at most beside its state, as package
// runner says.
func memoryBound(workers, sources, held, bytes int) uint64 {
	return uint64(held*(640+3*bytes) + workers*400<<20 + sources*4<<20)
}

// runDrainApp is the process that drains. It ends when stdin closes.
func runDrainApp(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("drain-app", flag.ContinueOnError)
	flags.SetOutput(stderr)
	brokers := flags.String("brokers", "", "")
	held := flags.Int("held", 0, "")
	if flags.Parse(args) != nil {
		return exitUsage
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	go func() {
		_, _ = io.Copy(io.Discard, stdin)
		os.Exit(exitFailed)
	}()
	var read, applied, lates, moves atomic.Int64
	var running atomic.Bool
	topo, err := buildDrain(*held, &read, &applied, &lates)
	if err != nil {
		fmt.Fprintln(stderr, err)
		return exitFailed
	}
	r, err := runner.New(topo, runner.Config{
		Brokers: strings.Split(*brokers, ","), Workers: 1, Logger: slog.New(slog.NewTextHandler(stderr, nil)),
		Listener: func(s runner.State) {
			moves.Add(1)
			running.Store(s.Phase == runner.Running && s.Tasks > 0)
		},
	})
	if err != nil {
		fmt.Fprintln(stderr, err)
		return exitFailed
	}
	go func() {
		out := json.NewEncoder(stdout)
		var now said
		for since := time.Now(); pause(ctx, 20*time.Millisecond) == nil; {
			if r, a := read.Load(), applied.Load(); r != now.Drain.Read || a != now.Drain.Applied {
				since, now.Drain.Read, now.Drain.Applied = time.Now(), r, a
			}
			now.Drain.Running, now.Drain.Moves, now.Drain.Late = running.Load(), moves.Load(), lates.Load()
			now.Drain.Quiet = time.Since(since) > 500*time.Millisecond
			now.Drain.measure()
			_ = out.Encode(now) // a drill that does not listen any more is gone; then stdin closes too
		}
	}()
	if err := r.Run(ctx); err != nil {
		fmt.Fprintln(stderr, err)
		return exitFailed
	}
	return 0
}

// buildDrain declares the app: events in order, the last one of each entity, and an output
// for each.
func buildDrain(held int, read, applied, lates *atomic.Int64) (*topology.Topology, error) {
	b := topology.New("drain")
	sd := serde.Of(serde.String(), drainSerde{})
	c := policies.Contract{EventsFor: "an entity", Because: "a hole is waited for", MaxHeld: held, MaxDLQ: held + 1, MaxWait: time.Hour, OnTimeout: policies.OnTimeoutPark}
	inOrder := reorder.BySequence(topology.Source(b, drainIn, sd), "in-order", c, func(e drainEvent) int64 {
		read.Add(1)
		return e.seq
	})
	state := statestore.KeyValue("last", sd)
	out := topology.Update(inOrder, "fold", state, func(_ topology.Context, st *statestore.Store[string, drainEvent], r topology.Record[string, drainEvent], emit func(topology.Record[string, drainEvent])) error {
		last, _, err := st.Get(r.Key)
		if err == nil && r.Value.seq != last.seq+1 {
			err = errors.New("it is not the next one")
		}
		if err != nil {
			return err
		}
		applied.Add(1)
		if r.Key == late {
			lates.Add(1)
		}
		emit(r)
		return st.Put(r.Key, r.Value)
	})
	topology.Sink(out, drainOut, sd)
	return b.Build()
}

// measure tells what the process takes.
func (s *drainSaid) measure() {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) == nil {
		s.CPU = time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	m := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(m)
	s.Live = max(s.Live, m[0].Value.Uint64())
	s.Total = max(s.Total, m[1].Value.Uint64()-m[2].Value.Uint64())
}
