package badgerdb

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/streamrun/streamrun/statestore"
)

// A stream is a changelog of a test: the batch at offset n is the same whenever it
// is applied. Every batch writes a row of its own, one that all write, and some that
// many write, and deletes the own row of a batch before it. pad is added to the rows.
type stream struct{ pad int }

const keptOwn = 40

func ownKey(n int64) []byte { return fmt.Appendf(nil, "s-own-%06d", n) }

func (s stream) row(n int64) []byte {
	return fmt.Appendf(nil, "%d %s", n, bytes.Repeat([]byte{byte('a' + n%26)}, s.pad))
}

func (s stream) puts(n int64) []statestore.Put {
	puts := []statestore.Put{{Key: ownKey(n), Row: s.row(n)}, {Key: []byte("s-all"), Row: s.row(n)}}
	for i := range 5 {
		puts = append(puts, statestore.Put{Key: fmt.Appendf(nil, "s-often-%d", (n*7+int64(i)*13)%100), Row: s.row(n)})
	}
	if n >= keptOwn {
		puts = append(puts, statestore.Put{Key: ownKey(n - keptOwn)})
	}
	return puts
}

func (s stream) apply(db *DB, n int64) error {
	return db.Apply(s.puts(n), []statestore.Position{{Topic: "t", Offset: n + 1}})
}

// from returns the offset up to which a DB stands for.
func (s stream) from(db *DB) int64 {
	for _, p := range db.Positions() {
		return p.Offset
	}
	return 0
}

// check applies from where the DB stands to end, and compares with what is left of
// the whole stream.
func (s stream) check(t *testing.T, db *DB, end int64) error {
	t.Helper()
	from := s.from(db)
	if from > end {
		return fmt.Errorf("it stands at %d, and the stream ends at %d", from, end)
	}
	for n := from; n < end; n++ {
		if err := s.apply(db, n); err != nil {
			return err
		}
	}
	want, got := make(map[string]string), make(map[string]string)
	for n := range end {
		for _, p := range s.puts(n) {
			if p.Row == nil {
				delete(want, string(p.Key))
			} else {
				want[string(p.Key)] = string(p.Row)
			}
		}
	}
	if err := db.Scan(nil, func(k, row []byte) error { got[string(k)] = string(row); return nil }); err != nil {
		return err
	}
	if d := cmp.Diff(want, got); d != "" {
		return fmt.Errorf("rows after a restore from %d to %d (-want +got): %.2000s", from, end, d)
	}
	return nil
}
