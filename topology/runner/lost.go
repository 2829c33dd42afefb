package runner

import (
	"context"
	"fmt"
	"slices"

	"github.com/streamrun/streamrun/topology/internal/kafka"
	"github.com/streamrun/streamrun/topology/internal/record"
	"github.com/streamrun/streamrun/topology/internal/task"
	"github.com/streamrun/streamrun/topology/runner/internal/meta"
)

// hadTopics returns the topics of state that a plan had when it was recorded, and so when it
// committed: without them the state behind its offsets is gone. Where nothing of the app
// is recorded, the meta topic may be gone too, and it had all of them.
func hadTopics(p *task.Plan, recorded []meta.Plan) (had []string) {
	if len(recorded) == 0 {
		for _, c := range p.Changelogs {
			had = append(had, c.Topic)
		}
		return append(had, p.Journal)
	}
	at := slices.IndexFunc(recorded, func(r meta.Plan) bool { return r.Name == p.Sub.Name })
	if at < 0 {
		return nil
	}
	for _, s := range recorded[at].Steps {
		switch s.Kind {
		case task.OrderStep:
			had = append(had, p.Names.Order(s.Name))
		case task.StoreStep:
			had = append(had, p.Names.Changelog(s.Name))
		}
	}
	return append(had, p.Journal)
}

// checkKept returns a TopicsError if what the app has committed stands for topics that are
// lost or replaced; others are as replaced tells.
func checkKept(ctx context.Context, admin kafka.Admin, plans []*task.Plan, recorded meta.Generation, create []kafka.Topic, found map[string]kafka.Topic, counts map[string]int32) (others []error, err error) {
	if err := lost(ctx, admin, plans, recorded.Plans, create, counts); err != nil {
		return nil, err
	}
	return replaced(ctx, admin, plans, recorded.Topics, found, counts)
}

// lost returns a TopicsError if one of the topics to create was there when the app
// committed, so that an empty one would stand for state that is not there; nil: none.
func lost(ctx context.Context, admin kafka.Admin, plans []*task.Plan, recorded []meta.Plan, create []kafka.Topic, counts map[string]int32) error {
	var errs []error
	for _, p := range plans {
		missing := slices.DeleteFunc(hadTopics(p, recorded), func(name string) bool {
			return !slices.ContainsFunc(create, func(t kafka.Topic) bool { return t.Name == name })
		})
		if len(missing) == 0 {
			continue
		}
		at, err := committedOf(ctx, admin, p, p.Sources, counts)
		if err != nil {
			return err
		}
		if at == nil {
			continue
		}
		// Another instance may have created one, and committed, since it was looked for. It
		// was there before anything was committed that it holds.
		found, err := admin.Describe(ctx, missing...)
		if err != nil {
			return fmt.Errorf("runner: looking for the topics of the app: %w", err)
		}
		for _, topic := range missing {
			if _, exists := found[topic]; !exists {
				errs = append(errs, fmt.Errorf("runner: topic %s does not exist any more, and holds what was made of %s-%d up to offset %d: going on would begin with empty state; "+
					"restore the topic, or run the app under another name, which reads everything from the beginning", topic, at.Topic, at.Partition, at.Offset))
			}
		}
	}
	if len(errs) == 0 {
		return nil
	}
	return &TopicsError{errs}
}

// keptTopics returns the topics whose ids are recorded, sorted: those that committed
// offsets and state are of.
func keptTopics(plans []*task.Plan) []string {
	var all []string
	for _, p := range plans {
		all = append(append(all, p.Sources...), hadTopics(p, nil)...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// replaced looks for topics that are not those which were recorded: somebody deleted them
// and made others of the same names. It returns a TopicsError if the app has committed
// offsets of a source that is gone, or had its state in one that is empty now. others are
// those that have records, which are taken for what was there.
func replaced(ctx context.Context, admin kafka.Admin, plans []*task.Plan, recorded map[string][16]byte, found map[string]kafka.Topic, counts map[string]int32) (others []error, err error) {
	another := func(name string) bool {
		was, is := recorded[name], found[name].ID
		return was != is && was != [16]byte{} && is != [16]byte{}
	}
	var errs []error
	for _, p := range plans {
		for _, name := range p.Sources {
			if !another(name) {
				continue
			}
			at, err := committedOf(ctx, admin, p, []string{name}, counts)
			if err != nil {
				return nil, err
			}
			if at != nil {
				errs = append(errs, fmt.Errorf("runner: topic %s is not the one that the app has read: it was deleted and made again, and going on would skip what it has before offset %d of partition %d; "+
					"set the offsets of group %s to where it is to be read from, and accept them (--accept-offsets), or run the app under another name", name, at.Offset, at.Partition, p.Names.Group()))
			}
		}
		again := slices.DeleteFunc(hadTopics(p, nil), func(name string) bool { return !another(name) })
		if len(again) == 0 {
			continue
		}
		at, err := committedOf(ctx, admin, p, p.Sources, counts)
		if err != nil {
			return nil, err
		}
		if at == nil {
			continue
		}
		for _, name := range again {
			empty, err := isEmpty(ctx, admin, name, counts[name])
			switch {
			case err != nil:
				return nil, err
			case empty:
				errs = append(errs, fmt.Errorf("runner: topic %s was deleted and made again, and is empty; the one before held what was made of %s-%d up to offset %d: going on would begin with empty state; "+
					"restore its records, or run the app under another name, which reads everything from the beginning", name, at.Topic, at.Partition, at.Offset))
			default:
				others = append(others, fmt.Errorf("topic %s was deleted and made again: the records that it has now are taken for those that it had", name))
			}
		}
	}
	if len(errs) > 0 {
		return nil, &TopicsError{errs}
	}
	return others, nil
}

// isEmpty reports whether nothing was ever written to a topic.
func isEmpty(ctx context.Context, admin kafka.Admin, topic string, partitions int32) (bool, error) {
	var all []record.TopicPartition
	for n := range partitions {
		all = append(all, record.TopicPartition{Topic: topic, Partition: n})
	}
	marks, err := admin.EndOffsets(ctx, all)
	if err != nil {
		return false, fmt.Errorf("runner: looking at the ends of %s: %w", topic, err)
	}
	return !slices.ContainsFunc(all, func(tp record.TopicPartition) bool { return marks[tp].HighWater > 0 }), nil
}

// committedOf returns the first offset of these sources of a plan that a commit of the app
// has set, or nil.
func committedOf(ctx context.Context, admin kafka.Admin, p *task.Plan, names []string, counts map[string]int32) (*kafka.CommittedOffset, error) {
	var sources []record.TopicPartition
	for _, s := range names {
		for n := range counts[s] {
			sources = append(sources, record.TopicPartition{Topic: s, Partition: n})
		}
	}
	committed, err := admin.Committed(ctx, p.Names.Group(), sources, false)
	if err != nil {
		return nil, fmt.Errorf("runner: reading the committed offsets: %w", err)
	}
	for _, tp := range sources {
		at := committed[tp]
		if m, err := task.ParseMetadata(at.Metadata); err == nil && m.Commit > 0 {
			return &at, nil
		}
	}
	return nil, nil
}
