package runner

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/streamrun/streamrun/topology"
	"github.com/streamrun/streamrun/topology/internal/kafka"
	"github.com/streamrun/streamrun/topology/internal/record"
	"github.com/streamrun/streamrun/topology/internal/task"
	"github.com/streamrun/streamrun/topology/runner/internal/meta"
)

// topicsOf returns every topic that the plans read or write, sorted.
func topicsOf(plans []*task.Plan) []string {
	var all []string
	for _, p := range plans {
		all = append(all, p.Sources...)
		for _, w := range written(p) {
			all = append(all, w.name)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// A kind of topic that the app writes.
type kind uint8

const (
	internal kind = iota // read back by partition: the count must be the task's
	letters              // likewise, but people create it too
	public               // read by others; any count will do
)

// wanted is a topic that a plan writes.
type wanted struct {
	name    string
	kind    kind
	compact bool
	role    Role
}

func written(p *task.Plan) []wanted {
	var all []wanted
	for _, c := range p.Changelogs {
		role := RoleOrder
		if slices.ContainsFunc(p.Sub.Stores, func(s string) bool { return p.Names.Changelog(s) == c.Topic }) {
			role = RoleChangelog
		}
		all = append(all, wanted{c.Topic, internal, true, role})
	}
	all = append(all, wanted{p.Journal, internal, false, RoleJournal})
	if t := p.DeadLetters(); t != "" {
		all = append(all, wanted{t, letters, false, RoleDeadLetters})
	}
	for _, o := range p.Outputs() {
		role := RoleOutput
		if o.Table {
			role = RoleTable
		}
		all = append(all, wanted{o.Topic, public, o.Table, role})
	}
	return all
}

// metaTopic is the topic in which the app records what it is. One partition of it is
// used.
func metaTopic(names topology.Names) *wanted { return &wanted{names.Meta(), internal, true, RoleMeta} }

// cleanup returns the cleanup policy that the topic is created with.
func (w *wanted) cleanup() string {
	if w.compact {
		return compacted
	}
	return deleted
}

// The cleanup policies, and the configs that are looked at.
const (
	compacted = "compact"
	deleted   = "delete"

	cleanupPolicy  = "cleanup.policy"
	retentionTime  = "retention.ms"
	retentionBytes = "retention.bytes"
	recordBytes    = "max.message.bytes"
	timestampAfter = "message.timestamp.after.max.ms"
)

// planTopics says which topics are to be created, and how many partitions every
// topic of the plans will have then; or everything that is wrong with what exists.
func planTopics(names topology.Names, plans []*task.Plan, found map[string]kafka.Topic) (create []kafka.Topic, counts map[string]int32, err error) {
	counts = map[string]int32{}
	for name, t := range found {
		counts[name] = t.Partitions
	}
	var errs []error
	for _, p := range plans {
		n, err := sourcePartitions(p, found)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		for _, w := range written(p) {
			have, exists := counts[w.name]
			switch {
			case !exists:
				create = append(create, kafka.Topic{Name: w.name, Partitions: n, Configs: w.configs(p, found)})
				counts[w.name] = n
			case w.kind == internal && have != n:
				errs = append(errs, fmt.Errorf("runner: topic %s has %d partitions, but %s has %d: the state of a task is in the partition of its number; "+
					"give the source %d partitions again, or rebuild the app under the new count", w.name, have, p.Sources[0], n, have))
			case w.kind == letters && have != n:
				errs = append(errs, fmt.Errorf("runner: dead-letter topic %s has %d partitions, but %s has %d: a letter keeps its partition; "+
					"create a topic with %d partitions and name it in the order", w.name, have, p.Sources[0], n, n))
			}
			if problem := w.cleans(found[w.name].Configs); problem != nil {
				errs = append(errs, problem)
			}
		}
	}
	m := metaTopic(names)
	if _, exists := found[m.name]; !exists {
		create = append(create, kafka.Topic{Name: m.name, Partitions: 1, Configs: map[string]string{cleanupPolicy: m.cleanup()}})
	} else if problem := m.cleans(found[m.name].Configs); problem != nil {
		errs = append(errs, problem)
	}
	if len(errs) > 0 {
		return nil, nil, &TopicsError{errs}
	}
	return create, counts, nil
}

// A TopicsError says everything that is wrong with the topics that exist: one that
// the app reads or that has its state is missing, or one has a number of partitions or a
// cleanup policy under which state would be lost. Nothing was created.
type TopicsError struct{ Problems []error }

// Error returns the problems, one a line, each with what to do.
func (e *TopicsError) Error() string { return errors.Join(e.Problems...).Error() }

// Unwrap returns the problems.
func (e *TopicsError) Unwrap() []error { return e.Problems }

// sourcePartitions returns the number of partitions that all sources of a plan have.
func sourcePartitions(p *task.Plan, found map[string]kafka.Topic) (int32, error) {
	var missing, have []string
	differ := false
	for _, s := range p.Sources {
		t, ok := found[s]
		if !ok {
			missing = append(missing, s)
			continue
		}
		have = append(have, fmt.Sprintf("%s has %d", s, t.Partitions))
		differ = differ || t.Partitions != found[p.Sources[0]].Partitions
	}
	switch {
	case len(missing) == len(p.Sources):
		return 0, fmt.Errorf("runner: source topic %s does not exist; create it with the number of partitions that it will keep", strings.Join(missing, ", "))
	case len(missing) > 0:
		return 0, fmt.Errorf("runner: source topic %s does not exist; create it with as many partitions as the others of sub-topology %s (%s)",
			strings.Join(missing, ", "), p.Sub.Name, strings.Join(have, ", "))
	case differ:
		return 0, fmt.Errorf("runner: the source topics of sub-topology %s have different numbers of partitions (%s): a key would be in several tasks; "+
			"give them the same number", p.Sub.Name, strings.Join(have, ", "))
	}
	return found[p.Sources[0]].Partitions, nil
}

// lookAtTopics returns the topics of the plans that exist, with their configs; those
// without, where only the configs may not be seen.
func lookAtTopics(ctx context.Context, admin kafka.Admin, names topology.Names, plans []*task.Plan) (map[string]kafka.Topic, error) {
	found, err := admin.Describe(ctx, append(topicsOf(plans), names.Meta())...)
	if err != nil {
		return nil, fmt.Errorf("runner: looking at the topics: %w", err)
	}
	configs, err := admin.Configs(ctx, slices.Sorted(maps.Keys(found))...)
	if err != nil {
		return found, fmt.Errorf("runner: looking at the configs of the topics: %w", err)
	}
	for name, t := range found {
		t.Configs = configs[name]
		found[name] = t
	}
	return found, nil
}

// prepareTopics checks and creates the topics of the plans, and returns all that they
// have. recorded is what the meta topic has.
func prepareTopics(ctx context.Context, admin kafka.Admin, names topology.Names, plans []*task.Plan, recorded meta.Generation, log *slog.Logger) (map[string]kafka.Topic, error) {
	began := time.Now()
	for limit := time.NewTimer(appearWait); ; {
		found, err := lookAtTopics(ctx, admin, names, plans)
		if errors.Is(err, kafka.ErrNotAuthorized) && found != nil {
			log.Warn("the configs of the topics are not checked, and the journal is created with the cluster's retention", "err", err)
			err = nil
		}
		if err != nil {
			return nil, err
		}
		create, counts, err := planTopics(names, plans, found)
		misses := err != nil && missesSource(plans, found)
		var others []error
		if err == nil {
			others, err = checkKept(ctx, admin, plans, recorded, create, found, counts)
			misses = len(others) > 0 || errors.As(err, new(*TopicsError))
		}
		if misses && time.Since(began) < sourceWait {
			// The node that answers may not have heard of a topic that was just created, or
			// made again.
			if err := sleep(ctx, 10*appearPoll); err != nil {
				return nil, err
			}
			continue
		}
		if err != nil || len(create) == 0 {
			limit.Stop()
			for _, doubt := range append(others, doubts(plans, found)...) {
				log.Warn("the cluster's topics", "doubt", doubt)
			}
			return found, err
		}
		for _, t := range create {
			// Another instance may create it at the same time; what it made is looked at.
			if err := admin.Create(ctx, t); err != nil && !errors.Is(err, kafka.ErrTopicExists) && !errors.Is(err, kafka.ErrIndefinite) {
				return nil, fmt.Errorf("runner: creating topic %s with %d partitions: %w", t.Name, t.Partitions, err)
			}
		}
		select {
		case <-time.After(appearPoll):
		case <-limit.C:
			return nil, fmt.Errorf("runner: topic %s was created, but is not there %v later", create[0].Name, appearWait)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

const (
	appearWait = 30 * time.Second // a created topic is known everywhere by then
	appearPoll = 10 * time.Millisecond
	sourceWait = 3 * time.Second // a topic that must be there and is not known then does not exist
)

// outgrown says which source topics were given more partitions than the app was
// prepared for, by what the group assigns; nil: none.
func outgrown(assigned []record.TopicPartition, counts map[string]int32) error {
	more := map[string]int32{}
	for _, tp := range assigned {
		if tp.Partition >= counts[tp.Topic] {
			more[tp.Topic] = max(more[tp.Topic], tp.Partition+1)
		}
	}
	var errs []error
	for _, topic := range slices.Sorted(maps.Keys(more)) {
		errs = append(errs, fmt.Errorf("runner: topic %s was given more partitions while the app runs, %d instead of %d: its keys are in others now than their state; "+
			"rebuild the app under the new count", topic, more[topic], counts[topic]))
	}
	if len(errs) == 0 {
		return nil
	}
	return &TopicsError{errs}
}

// missesSource reports whether a source topic was not found.
func missesSource(plans []*task.Plan, found map[string]kafka.Topic) bool {
	return slices.ContainsFunc(plans, func(p *task.Plan) bool {
		return slices.ContainsFunc(p.Sources, func(topic string) bool { _, ok := found[topic]; return !ok })
	})
}
