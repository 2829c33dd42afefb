package task

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/streamrun/streamrun/statestore"
	"github.com/streamrun/streamrun/topology/internal/graph"
	"github.com/streamrun/streamrun/topology/internal/record"
)

// Of each changelog the last record of a key counts, and takes nothing from what another
// changelog has of the key, however the logs are cut.
func TestRestoreKeepsTheLastOfEachPart(t *testing.T) {
	t.Parallel()
	for stores := 1; stores <= 3; stores++ {
		for seed := range uint64(50) {
			rnd := rand.New(rand.NewPCG(seed, uint64(stores)))
			p := &Plan{Sub: &graph.Sub{Stores: make([]string, stores)}}
			for i := range stores {
				p.Changelogs = append(p.Changelogs, Changelog{Topic: fmt.Sprint(i), part: 1 + i})
			}
			logs, want := make([][]record.Record, stores), map[string]string{}
			for i := range logs {
				last := map[string]string{}
				for n := range rnd.IntN(4 * foldRows) {
					r := record.Record{Offset: int64(n), Key: fmt.Append(nil, rnd.IntN(foldRows))}
					if delete(last, string(r.Key)); rnd.IntN(4) > 0 {
						r.Value = fmt.Append([]byte{}, n)[:min(rnd.IntN(5), len(fmt.Sprint(n)))]
						last[string(r.Key)] = string(r.Value)
					}
					logs[i] = append(logs[i], r)
				}
				for key, value := range last {
					want[fmt.Sprint(key, " in ", i)] = value
				}
			}
			b := statestore.NewMemory()
			at := make([]int, stores)
			for range 10 {
				i := rnd.IntN(stores)
				to := at[i] + rnd.IntN(len(logs[i])-at[i]+1)
				if err := p.Restore(b, i, 0, logs[i][at[i]:to], int64(to)); err != nil {
					t.Fatal(err)
				}
				at[i] = to
			}
			for i, log := range logs {
				if err := p.Restore(b, i, 0, log[at[i]:], int64(len(log))); err != nil {
					t.Fatal(err)
				}
			}
			got := map[string]string{}
			parts := make([][]byte, 1+stores)
			if err := b.Scan(nil, func(key, row []byte) error {
				if len(row) == 0 {
					t.Errorf("%d stores, seed %d: %s has a row without a part", stores, seed, key)
				}
				for i := range stores {
					if err := statestore.DecodeRow(row, parts); err != nil {
						return err
					}
					if parts[1+i] != nil {
						got[fmt.Sprint(string(key[1:]), " in ", i)] = string(parts[1+i])
					}
				}
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Fatalf("%d stores, seed %d\n%s", stores, seed, d)
			}
		}
	}
}
