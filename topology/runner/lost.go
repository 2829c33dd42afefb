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
		at, err := committedOf(ctx, admin, p, counts)
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

// committedOf returns the first offset of a plan that a commit of the app has set, or nil.
func committedOf(ctx context.Context, admin kafka.Admin, p *task.Plan, counts map[string]int32) (*kafka.CommittedOffset, error) {
	var sources []record.TopicPartition
	for _, s := range p.Sources {
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
