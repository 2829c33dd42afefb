package assign

import (
	"cmp"
	"math"
	"slices"
)

// standBy decides which members keep the state of a task warm that goes to another.
func standBy(members []Member, tasks []*task, standbys int) map[string][]int32 {
	if standbys <= 0 {
		return nil
	}
	d := &deal{load: map[string]int{}, of: map[*task][]string{}, amount: map[string]map[int32]int64{}}
	places := 0
	for _, m := range members {
		if m.State != nil {
			d.able = append(d.able, m.ID)
			d.amount[m.ID] = m.State
		}
	}
	for _, t := range tasks {
		places += min(standbys, len(d.candidates(t)))
	}
	d.fill(tasks, standbys, places)
	d.even(tasks)
	out := map[string][]int32{}
	for _, t := range tasks {
		for _, id := range d.of[t] {
			out[id] = append(out[id], t.number)
		}
		// Its next member stands by until it is let go.
		if t.waits() && slices.Contains(d.able, t.member) {
			out[t.member] = append(out[t.member], t.number)
		}
	}
	for _, numbers := range out {
		slices.Sort(numbers)
	}
	return out
}

// A deal gives standbys to members.
type deal struct {
	able   []string // members that can stand by, sorted
	amount map[string]map[int32]int64
	of     map[*task][]string
	load   map[string]int // tasks that each stands by for
}

// candidates returns the members that may stand by for a task and do not yet.
func (d *deal) candidates(t *task) []string {
	return slices.DeleteFunc(slices.Clone(d.able), func(id string) bool {
		return id == t.member || !t.eligible[id] || slices.Contains(d.of[t], id)
	})
}

// state returns how much of a task's state a member has: all of it, if it has the task.
func (d *deal) state(id string, t *task) int64 {
	if slices.Contains(t.holders, id) {
		return math.MaxInt64
	}
	return d.amount[id][t.number]
}

func (d *deal) give(t *task, id string) {
	d.of[t] = append(d.of[t], id)
	d.load[id]++
}

// fill gives the places first to those with state, the most of it first, as long as
// none gets more than an even share; then to whoever has the fewest.
func (d *deal) fill(tasks []*task, standbys, places int) {
	if places == 0 {
		return
	}
	var offers []offer
	for _, t := range tasks {
		for _, id := range d.candidates(t) {
			if n := d.state(id, t); n > 0 {
				offers = append(offers, offer{t, id, n})
			}
		}
	}
	slices.SortStableFunc(offers, func(a, b offer) int { return cmp.Compare(b.amount, a.amount) })
	even, larger := places/len(d.able), places%len(d.able)
	for _, o := range offers {
		full := d.load[o.member] > even || d.load[o.member] == even && larger == 0
		if full || len(d.of[o.task]) >= standbys {
			continue
		}
		if d.load[o.member] == even {
			larger--
		}
		d.give(o.task, o.member)
	}
	for _, t := range tasks {
		for len(d.of[t]) < standbys {
			all := d.candidates(t)
			if len(all) == 0 {
				break
			}
			d.give(t, slices.MinFunc(all, func(a, b string) int { return cmp.Compare(d.load[a], d.load[b]) }))
		}
	}
}

// even moves places from members that stand by for two more tasks than another that
// could take one of them, those with the least state first.
func (d *deal) even(tasks []*task) {
	for d.move(tasks) {
	}
}

func (d *deal) move(tasks []*task) bool {
	var from *task
	var who, to string
	var least int64
	for _, t := range tasks {
		for _, id := range d.of[t] {
			for _, other := range d.candidates(t) {
				if n := d.state(id, t); d.load[id] >= d.load[other]+2 && (from == nil || n < least) {
					from, who, to, least = t, id, other, n
				}
			}
		}
	}
	if from == nil {
		return false
	}
	d.of[from] = slices.DeleteFunc(d.of[from], func(id string) bool { return id == who })
	d.load[who]--
	d.give(from, to)
	return true
}
