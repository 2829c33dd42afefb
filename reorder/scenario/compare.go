package scenario

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/streamrun/streamrun/policies"
)

// A difference is the first field in which an outcome is not what was expected.
type difference struct {
	field              string
	expected, happened string
	// The first entry that differs: of an event where id is set, else of an entity.
	entity, id string
}

// decision returns the decision to blame for the difference: the last one about
// its event, or else about its entity; nil when there is none.
func (d *difference) decision(all []Decision) *Decision {
	for i := len(all) - 1; i >= 0; i-- {
		if d.id != "" && all[i].ID == d.id && (d.entity == "" || all[i].Entity == d.entity) {
			return &all[i]
		}
	}
	for i := len(all) - 1; i >= 0; i-- {
		if d.entity != "" && all[i].Entity == d.entity {
			return &all[i]
		}
	}
	return nil
}

// compare returns the first difference between what c expects and what happened.
func compare(c *Case, out *Outcome) (difference, bool) {
	x := &c.Expect
	for _, field := range fields() {
		if x.Only != nil && !slices.Contains(x.Only, field) {
			continue
		}
		var d difference
		var differs bool
		switch field {
		case "applied":
			d, differs = compareApplied(c, out)
		case "holes":
			d, differs = compareHoles(x.Holes, out.Holes)
		case "effects":
			d, differs = compareEffects(c, out)
		case "last":
			d, differs = compareNamed(x.Last, out.Last, func(int64) bool { return false })
		case "state":
			d, differs = compareNamed(x.State, out.State, func(s string) bool { return s == "" })
		case "commit":
			d, differs = compareNamed(x.Commit, out.Commit, func(n int64) bool { return n == 0 })
			d.entity = "" // a partition
		case "diff":
			if x.Diff != nil {
				d, differs = compareWhole(x.Diff, out.Diff)
			}
		case "suppressed":
			if x.Suppressed != nil {
				d, differs = compareEntries(x.Suppressed, out.Suppressed)
				d.entity, d.id = entityOfKey(d.id), ""
			}
		case "parked":
			d, differs = compareEntries(x.Parked, out.Parked)
			d.entity, d.id = d.id, ""
		case "rebuilds":
			d, differs = compareEntries(x.Rebuilds, out.Rebuilds)
			d.entity, d.id = d.id, ""
		default:
			expected, happened := x.list(field, out)
			d, differs = compareEntries(expected, happened)
		}
		if differs {
			d.field = field
			return d, true
		}
	}
	return difference{}, false
}

// list returns both sides of a field that is a multiset of events.
func (x *Expect) list(field string, out *Outcome) ([]string, []Entry) {
	switch field {
	case "held":
		return x.Held, out.Held
	case "dlq":
		return x.DLQ, out.DLQ
	case "dropped":
		return x.Dropped, out.Dropped
	case "paused":
		return x.Paused, out.Paused
	case "retrying":
		return x.Retrying, out.Retrying
	case "fenced":
		return x.Fenced, out.Fenced
	case "compensated":
		return x.Compensated, out.Compensated
	case "resolved":
		return x.Resolved, out.Resolved
	case "unordered":
		return x.Unordered, out.Unordered
	}
	panic("scenario: no list " + field)
}

// compareEntries compares multisets.
func compareEntries(expected []string, happened []Entry) (difference, bool) {
	left := map[string]int{}
	for _, e := range expected {
		left[squeeze(e)]++
	}
	for _, e := range happened {
		if left[e.String()]--; left[e.String()] < 0 {
			d := different(expected, happened)
			d.entity, d.id = e.Entity, e.ID
			return d, true
		}
	}
	for _, e := range expected {
		if left[squeeze(e)] > 0 {
			d := different(expected, happened)
			d.id, _, _ = strings.Cut(squeeze(e), " ")
			return d, true
		}
	}
	return difference{}, false
}

func different(expected []string, happened []Entry) difference {
	return difference{expected: show(sorted(expected)), happened: show(sorted(written(happened)))}
}

// compareApplied compares in order; of a permuted case only the order within each entity.
func compareApplied(c *Case, out *Outcome) (difference, bool) {
	expected, happened := c.Expect.Applied, written(out.Applied)
	entities := make([]string, len(out.Applied)) // of happened
	for i, e := range out.Applied {
		entities[i] = e.Entity
	}
	if c.Permute {
		of := c.entitiesOf()
		owners := make([]string, len(expected))
		taken := map[string]int{}
		for i, id := range expected {
			if all := of[id]; len(all) > 0 {
				// An id of several entities names them in the order of the file.
				owners[i] = all[taken[id]%len(all)]
				taken[id]++
			}
		}
		expected = byEntity(expected, owners)
		happened = byEntity(happened, entities)
		entities = sorted(entities)
	}
	for i := range max(len(expected), len(happened)) {
		if i < len(expected) && i < len(happened) && squeeze(expected[i]) == happened[i] {
			continue
		}
		d := difference{expected: show(expected), happened: show(happened)}
		if i < len(happened) {
			d.entity, d.id = entities[i], happened[i]
		} else {
			d.id = squeeze(expected[i])
		}
		return d, true
	}
	return difference{}, false
}

// entitiesOf returns the entities that have an event of each id, in the order of the file.
func (c *Case) entitiesOf() map[string][]string {
	of := map[string][]string{}
	for _, s := range c.Steps {
		if s.Kind == Deliver && !slices.Contains(of[s.Event.ID], s.Event.Entity) {
			of[s.Event.ID] = append(of[s.Event.ID], s.Event.Entity)
		}
	}
	return of
}

// byEntity sorts ids by their entities and keeps the order within each.
func byEntity(ids, entities []string) []string {
	index := make([]int, len(ids))
	for i := range index {
		index[i] = i
	}
	slices.SortStableFunc(index, func(a, b int) int { return strings.Compare(entities[a], entities[b]) })
	grouped := make([]string, len(ids))
	for to, from := range index {
		grouped[to] = ids[from]
	}
	return grouped
}

func compareHoles(expected map[string][]int64, happened map[string][]Span) (difference, bool) {
	wanted := map[string][]Span{}
	for entity, numbers := range expected {
		for _, n := range numbers {
			wanted[entity] = append(wanted[entity], Span{n, n})
		}
	}
	return compareWhole(holesShown(wanted), holesShown(happened))
}

// holesShown writes the numbers ascending, those without a break between them as one
// span, so that equal sets have equal texts.
func holesShown(holes map[string][]Span) map[string]string {
	shown := map[string]string{}
	for entity, spans := range holes {
		spans = slices.SortedFunc(slices.Values(spans), func(a, b Span) int { return cmp.Compare(a.From, b.From) })
		var joined []Span
		for _, s := range spans {
			if last := len(joined) - 1; last >= 0 && joined[last].To == s.From-1 {
				joined[last].To = s.To
				continue
			}
			joined = append(joined, s)
		}
		if len(joined) > 0 {
			shown[entity] = fmt.Sprint(joined)
		}
	}
	return shown
}

// matchEffects gives each effect key the application, an index of out.Applied, that
// it can be of. An id that was delivered under several numbers was applied under
// some of them, and a number may have been claimed by several ids: as many as can
// be are matched, by augmenting paths.
func matchEffects(c *Case, out *Outcome) map[string]int {
	owner := map[string]int{}
	var claim func(i int, tried map[string]bool) bool
	claim = func(i int, tried map[string]bool) bool {
		for _, k := range c.keysOf(out.Applied[i].Entity, out.Applied[i].ID) {
			if _, sent := out.Effects[k]; !sent || tried[k] {
				continue
			}
			tried[k] = true
			if other, taken := owner[k]; !taken || claim(other, tried) {
				owner[k] = i
				return true
			}
		}
		return false
	}
	for i := range out.Applied {
		claim(i, map[string]bool{})
	}
	return owner
}

// compareEffects compares keys and attempts. Without an expectation every applied
// event must have had one attempt, and nothing else.
func compareEffects(c *Case, out *Outcome) (difference, bool) {
	if c.Expect.Effects != nil {
		d, differs := compareWhole(c.Expect.Effects, out.Effects)
		d.entity = entityOfKey(d.entity)
		return d, differs
	}
	owner := matchEffects(c, out)
	matched := make([]bool, len(out.Applied))
	unclaimed := maps.Clone(out.Effects)
	for k, i := range owner {
		matched[i] = true
		delete(unclaimed, k)
	}
	for _, k := range slices.Sorted(maps.Keys(owner)) {
		if e, attempts := out.Applied[owner[k]], out.Effects[k]; attempts != 1 {
			return difference{expected: k + ": 1", happened: fmt.Sprintf("%s: %d", k, attempts), entity: e.Entity, id: e.ID}, true
		}
	}
	for i, e := range out.Applied {
		if !matched[i] {
			return difference{expected: "one effect for each application of " + e.ID, happened: "an application without one", entity: e.Entity, id: e.ID}, true
		}
	}
	for _, k := range slices.Sorted(maps.Keys(unclaimed)) {
		return difference{
			expected: "no effect but those of applied events",
			happened: fmt.Sprintf("%s: %d", k, unclaimed[k]), entity: entityOfKey(k),
		}, true
	}
	return difference{}, false
}

// keysOf returns the effect keys that the event may have.
func (c *Case) keysOf(entity, id string) []string {
	var keys []string
	for _, s := range c.Steps {
		if s.Kind != Deliver || s.Event.Entity != entity || s.Event.ID != id {
			continue
		}
		k := entity + "/" + id
		if c.Contract.OrderBy == policies.BySequence {
			k = fmt.Sprintf("%s/%d/%d", entity, s.Event.Epoch, s.Event.Sequence)
		}
		if !slices.Contains(keys, k) {
			keys = append(keys, k)
		}
	}
	return keys
}

// entityOfKey returns the entity of an effect key.
func entityOfKey(k string) string {
	entity, _, _ := strings.Cut(k, "/")
	return entity
}

// compareNamed compares only what is expected; a missing value passes for one that absent accepts.
func compareNamed[K int | string, V comparable](expected, happened map[K]V, absent func(V) bool) (difference, bool) {
	for _, k := range slices.Sorted(maps.Keys(expected)) {
		want := expected[k]
		got, known := happened[k]
		if known && got == want || !known && absent(want) {
			continue
		}
		d := difference{expected: fmt.Sprintf("%v: %s", k, quoted(want)), happened: fmt.Sprintf("%v: %s", k, quoted(got)), entity: fmt.Sprint(k)}
		if !known {
			d.happened = fmt.Sprintf("nothing of %v", k)
		}
		return d, true
	}
	return difference{}, false
}

func quoted(v any) string {
	if s, ok := v.(string); ok {
		return fmt.Sprintf("%q", s)
	}
	return fmt.Sprint(v)
}

// compareWhole compares maps with nothing left out.
func compareWhole[V comparable](expected, happened map[string]V) (difference, bool) {
	all := map[string]bool{}
	for k := range expected {
		all[k] = true
	}
	for k := range happened {
		all[k] = true
	}
	for _, k := range slices.Sorted(maps.Keys(all)) {
		want, expects := expected[k]
		got, happens := happened[k]
		if expects != happens || want != got {
			return difference{expected: showMap(expected), happened: showMap(happened), entity: k}, true
		}
	}
	return difference{}, false
}

func showMap[V any](m map[string]V) string {
	parts := make([]string, 0, len(m))
	for _, k := range slices.Sorted(maps.Keys(m)) {
		parts = append(parts, fmt.Sprintf("%s: %v", k, m[k]))
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

func show(entries []string) string { return "[" + strings.Join(entries, ", ") + "]" }

func written(entries []Entry) []string {
	texts := make([]string, len(entries))
	for i, e := range entries {
		texts[i] = e.String()
	}
	return texts
}

func sorted(texts []string) []string { return slices.Sorted(slices.Values(texts)) }

// squeeze writes an entry as Entry.String does.
func squeeze(entry string) string { return strings.Join(strings.Fields(entry), " ") }
