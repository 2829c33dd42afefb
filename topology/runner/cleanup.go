package runner

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/streamrun/streamrun/topology/internal/kafka"
	"github.com/streamrun/streamrun/topology/internal/task"
)

// configs returns what the topic is created with. The journal is kept as long as
// the inputs are: a rebuild folds both. What an input took with a time in the future
// is taken again: brokers from Kafka 3.6 on know a limit for it, an hour where
// nothing is said; an older one would refuse a topic that names it.
func (w *wanted) configs(p *task.Plan, found map[string]kafka.Topic) map[string]string {
	c := map[string]string{cleanupPolicy: w.cleanup()}
	if ms, known := inputRetention(p, found); w.role == RoleJournal && known {
		c[retentionTime], c[retentionBytes] = strconv.FormatInt(ms, 10), "-1"
	}
	if n, known := inputRecord(p, found); known && (w.role == RoleDeadLetters || w.role == RoleOrder) {
		c[recordBytes] = strconv.FormatInt(min(n+aroundRecord, math.MaxInt32), 10)
	}
	if _, known := found[p.Sources[0]].Configs[timestampAfter]; known {
		c[timestampAfter] = strconv.FormatInt(math.MaxInt64, 10)
	}
	return c
}

// aroundRecord is what a letter or a held record has around the one that it keeps: texts of
// an error, ids, numbers.
const aroundRecord = 64 << 10

// inputRecord returns how large, in bytes, a batch of the inputs may be: the largest of
// them; or false where their configs are not known.
func inputRecord(p *task.Plan, found map[string]kafka.Topic) (largest int64, known bool) {
	for _, s := range p.Sources {
		n, err := strconv.ParseInt(found[s].Configs[recordBytes], 10, 64)
		if err != nil {
			return 0, false
		}
		largest = max(largest, n)
	}
	return largest, true
}

// inputRetention returns how long, in milliseconds, the inputs keep their records:
// the longest of them, -1 for ever; or false where their configs are not known.
func inputRetention(p *task.Plan, found map[string]kafka.Topic) (longest int64, known bool) {
	for _, s := range p.Sources {
		ms, ok := retention(found[s].Configs)
		switch {
		case !ok:
			return 0, false
		case ms < 0 || longest < 0:
			longest = -1
		default:
			longest = max(longest, ms)
		}
	}
	return longest, true
}

// retention returns how long a topic keeps its records; -1 for ever.
func retention(configs map[string]string) (ms int64, known bool) {
	if !strings.Contains(configs[cleanupPolicy], deleted) && configs[cleanupPolicy] != "" {
		return -1, true // compacted only: the last record of every key stays
	}
	ms, err := strconv.ParseInt(configs[retentionTime], 10, 64)
	return ms, err == nil
}

// cleans refuses a cleanup policy under which the broker would remove what is read
// again, or refuse what is written. Configs that are not known are no reason.
func (w *wanted) cleans(configs map[string]string) error {
	policy, known := configs[cleanupPolicy]
	if !known || w.kind == public {
		return nil
	}
	why := ""
	switch {
	case w.compact && strings.Contains(policy, deleted):
		why = "state older than its retention would be lost"
	case !w.compact && strings.Contains(policy, compacted):
		why = "of records with one key all but the last would be lost, and those without a key are refused"
	default:
		return nil
	}
	return fmt.Errorf("runner: topic %s (%s) has %s=%s: %s; set it to %s: kafka-configs.sh --alter --entity-type topics --entity-name %s --add-config %s=%s",
		w.name, w.role, cleanupPolicy, policy, why, w.cleanup(), w.name, cleanupPolicy, w.cleanup())
}

// doubts returns what is no reason to stop, and that somebody should know.
func doubts(plans []*task.Plan, found map[string]kafka.Topic) (all []error) {
	for _, p := range plans {
		inputs, known := inputRetention(p, found)
		for _, w := range written(p) {
			configs := found[w.name].Configs
			if w.role == RoleTable && configs[cleanupPolicy] == deleted {
				all = append(all, fmt.Errorf("table %s has %s=%s: a value that does not change is gone after its retention; set it to %s if readers want every key",
					w.name, cleanupPolicy, deleted, compacted))
			}
			journal, ok := retention(configs)
			if w.role == RoleJournal && known && ok && journal >= 0 && (inputs < 0 || journal < inputs) {
				all = append(all, fmt.Errorf("journal %s has %s=%d, but the inputs are kept for %d (-1: for ever): a rebuild from before the journal takes the clock of the records; set it to %d",
					w.name, retentionTime, journal, inputs, inputs))
			}
		}
	}
	return all
}
