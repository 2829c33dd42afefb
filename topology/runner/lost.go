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

// hadTopics returns the topics that a plan had when it was recorded, and so when it
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

// A loss is a topic that a plan had and that does not exist.
type loss struct {
	plan  *task.Plan
	topic string
}

// losses returns those of the topics to create that their plans had.
func losses(plans []*task.Plan, recorded []meta.Plan, create []kafka.Topic) (all []loss) {
	for _, p := range plans {
		for _, topic := range hadTopics(p, recorded) {
			if slices.ContainsFunc(create, func(t kafka.Topic) bool { return t.Name == topic }) {
				all = append(all, loss{p, topic})
			}
		}
	}
	return all
}

// lost returns a TopicsError if one of the topics to create was there when the app
// committed, so that an empty one would stand for state that is not there; nil: none.
func lost(ctx context.Context, admin kafka.Admin, plans []*task.Plan, recorded []meta.Plan, create []kafka.Topic, counts map[string]int32) error {
	var errs []error
	for _, l := range losses(plans, recorded, create) {
		var sources []record.TopicPartition
		for _, s := range l.plan.Sources {
			for n := range counts[s] {
				sources = append(sources, record.TopicPartition{Topic: s, Partition: n})
			}
		}
		committed, err := admin.Committed(ctx, l.plan.Names.Group(), sources, false)
		if err != nil {
			return fmt.Errorf("runner: reading the committed offsets: %w", err)
		}
		for _, tp := range sources {
			if m, err := task.ParseMetadata(committed[tp].Metadata); err == nil && m.Commit > 0 {
				// Another instance may have created it, and committed, since it was looked
				// for. It was there before anything was committed that it holds.
				found, err := admin.Describe(ctx, l.topic)
				if err != nil {
					return fmt.Errorf("runner: looking for topic %s: %w", l.topic, err)
				}
				if _, exists := found[l.topic]; exists {
					break
				}
				errs = append(errs, fmt.Errorf("runner: topic %s does not exist any more, and holds what was made of %s-%d up to offset %d: going on would begin with empty state; "+
					"restore the topic, or run the app under another name, which reads everything from the beginning", l.topic, tp.Topic, tp.Partition, committed[tp].Offset))
				break
			}
		}
	}
	if len(errs) == 0 {
		return nil
	}
	return &TopicsError{errs}
}
