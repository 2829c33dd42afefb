package wire

import (
	"fmt"
	"sync"
	"time"

	"github.com/streamrun/streamrun/topology/internal/kafka"
	"github.com/streamrun/streamrun/topology/internal/record"
)

// A partition is stuck when there was something to read at its position for so long,
// in so many answers, and nothing came. Less happens to a healthy one: an answer has
// no room for it, or its leader has just changed.
const (
	stallLimit   = 30 * time.Second
	stallAnswers = 10
)

// stalls remembers the positions at which nothing came although there is something.
// sarama says nothing of it, and a reader would wait there for ever.
type stalls struct {
	limit time.Duration

	mu sync.Mutex // guards at: leaders answer at the same time
	at map[record.TopicPartition]stall
}

type stall struct {
	offset  int64
	since   time.Time
	answers int
}

// stalled notes an answer that did not go on from a position although something is
// readable up to end, and returns an error when that lasts.
func (s *stalls) stalled(p kafka.Position, end int64, now time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.at == nil {
		s.at = map[record.TopicPartition]stall{}
	}
	x := s.at[p.TopicPartition]
	if x.answers == 0 || x.offset != p.Offset {
		x = stall{offset: p.Offset, since: now}
	}
	x.answers++
	s.at[p.TopicPartition] = x
	if lasted := now.Sub(x.since); lasted < s.limit || x.answers < stallAnswers {
		return nil
	}
	return fmt.Errorf("kafka/wire: %s-%d@%d: %w for %v: the broker says that there is something up to offset %d, and sends nothing; "+
		"look at that partition with another reader, and at the broker's log", p.Topic, p.Partition, p.Offset, kafka.ErrStuck, now.Sub(x.since).Round(time.Second), end)
}
