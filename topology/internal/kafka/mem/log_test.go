package mem

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/streamrun/streamrun/topology/internal/record"
)

// slow is the log as one would explain it: one entry for each offset.
type slow []entry

type entry struct {
	pid     int64
	value   string
	control bool
	state   byte // 'o' open, 'c' committed, 'a' aborted
}

func (s slow) lastStable() int64 {
	for i, e := range s {
		if e.state == 'o' {
			return int64(i)
		}
	}
	return int64(len(s))
}

// all returns the records that a reader from an offset sees in the end.
func (s slow) all(at int64, uncommitted bool) []string {
	limit := int64(len(s))
	if !uncommitted {
		limit = s.lastStable()
	}
	seen := []string{}
	for i := at; i < limit; i++ {
		if e := s[i]; !e.control && (uncommitted || e.state == 'c') {
			seen = append(seen, fmt.Sprintf("%d=%s", i, e.value))
		}
	}
	return seen
}

// The log gives the readers what one entry per offset gives them, whatever the
// budget, and never a record twice or out of order.
func TestLogEqualsOneEntryPerOffset(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, twin := newPartition(), slow{}
		for n := range rapid.IntRange(0, 40).Draw(t, "steps") {
			pid := rapid.Int64Range(1, 3).Draw(t, "pid")
			if rapid.Bool().Draw(t, "append") {
				var batch []record.Record
				for i := range rapid.IntRange(1, 4).Draw(t, "records") {
					v := fmt.Sprintf("%d.%d", n, i)
					batch = append(batch, record.Record{Value: []byte(v)})
					twin = append(twin, entry{pid: pid, value: v, state: 'o'})
				}
				if first := p.appendOpen(pid, 0, batch); first != int64(len(twin)-len(batch)) {
					t.Fatalf("appended at %d, the log had %d entries", first, len(twin)-len(batch))
				}
				continue
			}
			commit := rapid.Bool().Draw(t, "commit")
			p.mark(pid, 0, commit)
			for i := range twin {
				if twin[i].pid == pid && twin[i].state == 'o' {
					twin[i].state = map[bool]byte{true: 'c', false: 'a'}[commit]
				}
			}
			twin = append(twin, entry{control: true, state: 'c'})
		}
		if p.end != int64(len(twin)) || p.lastStable() != twin.lastStable() {
			t.Fatalf("end %d, last stable %d; want %d, %d", p.end, p.lastStable(), len(twin), twin.lastStable())
		}
		uncommitted := rapid.Bool().Draw(t, "uncommitted")
		from := rapid.Int64Range(0, p.end).Draw(t, "from")
		budget := rapid.IntRange(1, 30).Draw(t, "budget")
		want := twin.all(from, uncommitted)
		got := []string{}
		limit := p.end
		if !uncommitted {
			limit = p.lastStable()
		}
		for at := from; ; {
			records, next, bytes := p.read(at, uncommitted, budget)
			sum := 0
			for i, r := range records {
				sum += len(r.Value)
				if i > 0 && sum > budget {
					t.Fatalf("record %d goes over the budget %d", i, budget)
				}
				got = append(got, fmt.Sprintf("%d=%s", r.Offset, r.Value))
			}
			if sum != bytes {
				t.Fatalf("said %d bytes, has %d", bytes, sum)
			}
			if next == at {
				if len(records) > 0 || at < limit {
					t.Fatalf("stuck at %d of %d with %d records", at, limit, len(records))
				}
				break
			}
			if next < at || next > limit {
				t.Fatalf("went from %d to %d, the limit is %d", at, next, limit)
			}
			at = next
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("from %d, uncommitted %v\n got  %v\n want %v", from, uncommitted, got, want)
		}
	})
}

func TestReadAllocatesNothing(t *testing.T) {
	p := newPartition()
	p.appendOpen(1, 0, make([]record.Record, 500))
	p.mark(1, 0, true)
	if n := testing.AllocsPerRun(100, func() { p.read(0, false, 1<<20) }); n != 0 {
		t.Errorf("%v allocations, want 0: a fetch is a part of the log", n)
	}
}
