package dev

import (
	"testing"

	"github.com/streamrun/streamrun/policies"
)

// forgetful returns the right world with an entity b that is parked behind its number 4,
// remembers one id, and got its numbers 1 and 3 again when it was parked: 1 is
// forgotten and has a letter, 3 is known.
func forgetful(t *testing.T) *world {
	t.Helper()
	w := rightWorld(t)
	w.file = smallFile(t, "id_memory: 1")
	for i, n := range []int64{1, 2, 3, 5, 1, 3} {
		d := w.deliveries[3]
		d.meta.Sequence, d.meta.ID = n, string('a'+rune(n))
		d.value = map[string]any{"k": "b", "n": n}
		d.offset = int64(20 + i)
		w.deliveries = append(w.deliveries, d)
	}
	w.deliveries = append(append(w.deliveries[:3:3], w.deliveries[5]), w.deliveries[6:]...)
	w.sent = int64(len(w.deliveries))
	w.total = policies.Counts{Delivered: 10, Applied: 6, Duplicate: 2, DeadLettered: 2}
	w.stored["b"] = &entity{value: []byte(`{"path":"/1/2/3"}`), last: 3, parked: true}
	w.table["b"] = w.stored["b"].value
	gap := w.letters[0]
	gap.Sequence, gap.Offset = 5, 23
	again := gap
	again.Sequence, again.Offset, again.Reason = 1, 24, policies.ReasonEntityParked
	w.letters = []letter{gap, again}
	return w
}

func TestARepetitionWhoseIDIsForgottenMayHaveALetter(t *testing.T) {
	t.Parallel()
	if got := verified(t, forgetful(t)); got != "" {
		t.Error(got)
	}

	w := forgetful(t) // two came after it: the greatest memory that has forgotten it
	w.file = smallFile(t, "id_memory: 2")
	if got := verified(t, w); got != "" {
		t.Errorf("id_memory 2: %s", got)
	}

	w = forgetful(t) // it came before the entity was parked
	w.letters = w.letters[:1]
	w.total.Duplicate, w.total.DeadLettered = 3, 1
	if got := verified(t, w); got != "" {
		t.Errorf("without the letter: %s", got)
	}

	for name, spoil := range map[string]func(*world){
		"the id is remembered":      func(w *world) { w.file = smallFile(t, "id_memory: 3") },
		"the last one is known":     func(w *world) { w.letters[1].Sequence, w.letters[1].Offset = 3, 25 },
		"it is the first delivery":  func(w *world) { w.letters[1].Offset = 20 },
		"it says another reason":    func(w *world) { w.letters[1].Reason = policies.ReasonLate },
		"its letter is not counted": func(w *world) { w.total.Duplicate, w.total.DeadLettered = 3, 1 },
	} {
		w := forgetful(t)
		spoil(w)
		if got := verified(t, w); got == "" {
			t.Errorf("%s: accepted", name)
		}
	}
}
