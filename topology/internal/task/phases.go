package task

import "github.com/streamrun/streamrun/topology/internal/record"

// Phases returns the records in the order in which at_least_once has them
// acknowledged, phase by phase, before it commits the offsets: what others read; the
// stores; the order rows, with the journal. A crash in between leaves what was not
// committed to be delivered again: nothing is lost, since what says that an event was
// applied is written after what it did.
//
// The rows of an order stand in one partition, and a crash may leave any first part
// of them: the row of an entity comes first, then what it lets wait or has
// dead-lettered, and at last what it has passed goes. Where the row alone is there, an
// event that waits is delivered again and waits again, and one that was dead-lettered
// is known; a letter alone would keep its event from ever having its turn.
func (b *Batch) Phases() (phases [3][]record.Output) {
	phases[0] = append(append(phases[0], b.Output...), b.DeadLetters...)
	p := b.plan
	if p.order == nil {
		phases[1] = append(phases[1], b.Changelog...)
		phases[2] = append(phases[2], b.Journal...)
		return phases
	}
	var entities, kept, gone []record.Output
	for _, o := range b.Changelog {
		switch _, entity := p.order.EntityOf(o.Key); {
		case o.Topic != p.Changelogs[0].Topic:
			phases[1] = append(phases[1], o)
		case entity:
			entities = append(entities, o)
		case o.Value == nil:
			gone = append(gone, o)
		default:
			kept = append(kept, o)
		}
	}
	phases[2] = append(append(append(append(phases[2], entities...), kept...), gone...), b.Journal...)
	return phases
}
