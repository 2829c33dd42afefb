//go:build unix

package badgerdb

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"syscall"
	"testing"

	"github.com/streamrun/streamrun/statestore"
)

// cpu returns the nanoseconds that the process has spent.
func cpu() int64 {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return u.Utime.Nano() + u.Stime.Nano()
}

// keys draws keys from a fixed number of them.
func keys(kind string, n int) func() []byte {
	random := rand.New(rand.NewPCG(1, 2))
	zipf := rand.NewZipf(random, 1.1, 1, uint64(n-1))
	key := make([]byte, 9)
	key[0] = statestore.KindSlot
	return func() []byte {
		k := random.Uint64N(uint64(n))
		if kind == "zipf" {
			k = zipf.Uint64()
		}
		binary.BigEndian.PutUint64(key[1:], k*0x9e3779b97f4a7c15) // neighbours in rank are none in order
		return key
	}
}

const benchBatch = 1000

// work reads, changes and writes n rows of 100 bytes, in batches.
func work(b *testing.B, back statestore.Backend, next func() []byte, n int) {
	b.Helper()
	puts := make([]statestore.Put, 0, benchBatch)
	arena := make([]byte, 0, benchBatch*200)
	for i := 0; i < n; {
		puts, arena = puts[:0], arena[:0]
		for ; len(puts) < benchBatch && i < n; i++ {
			from := len(arena)
			arena = append(arena, next()...)
			key := arena[from:len(arena):len(arena)]
			row, err := back.Get(key)
			if err != nil {
				b.Fatal(err)
			}
			count := uint64(0)
			if len(row) >= 8 {
				count = binary.BigEndian.Uint64(row)
			}
			from = len(arena)
			arena = arena[:from+100]
			binary.BigEndian.PutUint64(arena[from:], count+1)
			puts = append(puts, statestore.Put{Key: key, Row: arena[from : from+100]})
		}
		if err := back.Apply(puts, []statestore.Position{{Topic: "t", Offset: int64(i)}}); err != nil {
			b.Fatal(err)
		}
	}
}

func measure(b *testing.B, f func(n int)) {
	b.Helper()
	b.ReportAllocs()
	start := cpu()
	b.ResetTimer()
	f(b.N)
	b.StopTimer()
	b.ReportMetric(float64(cpu()-start)/float64(b.N), "cpu-ns/op")
}

// BenchmarkReadModifyWrite is the work of a live task. Everything is on disk before
// the measurement begins, and after it has ended.
func BenchmarkReadModifyWrite(b *testing.B) {
	for _, kind := range []string{"zipf", "uniform"} {
		for _, n := range []int{100_000, 1_000_000} {
			b.Run(fmt.Sprintf("%s/%d/badger", kind, n), func(b *testing.B) {
				db, err := Open(b.TempDir(), Options{})
				if err != nil {
					b.Fatal(err)
				}
				fill(b, db, n)
				db.Live(nil)
				next := keys(kind, n)
				measure(b, func(n int) {
					work(b, db, next, n)
					if err := db.Flush(); err != nil {
						b.Fatal(err)
					}
				})
				if err := db.Close(); err != nil {
					b.Fatal(err)
				}
			})
			b.Run(fmt.Sprintf("%s/%d/memory", kind, n), func(b *testing.B) {
				m := statestore.NewMemory()
				fill(b, m, n)
				next := keys(kind, n)
				measure(b, func(n int) { work(b, m, next, n) })
			})
		}
	}
}

// fill writes a row for every key.
func fill(b *testing.B, back statestore.Backend, n int) {
	b.Helper()
	i := uint64(0)
	key := make([]byte, 9)
	key[0] = statestore.KindSlot
	work(b, back, func() []byte {
		binary.BigEndian.PutUint64(key[1:], i*0x9e3779b97f4a7c15)
		i++
		return key
	}, n)
}

// BenchmarkRestore is a restore into an empty directory until it is on disk, of b.N
// records with a tenth as many keys.
func BenchmarkRestore(b *testing.B) {
	b.Run("badger", func(b *testing.B) {
		db, err := Open(b.TempDir(), Options{})
		if err != nil {
			b.Fatal(err)
		}
		measure(b, func(n int) {
			work(b, db, keys("uniform", max(n/10, 1)), n)
			if err := db.Flush(); err != nil {
				b.Fatal(err)
			}
		})
		if err := db.Close(); err != nil {
			b.Fatal(err)
		}
	})
	b.Run("memory", func(b *testing.B) {
		m := statestore.NewMemory()
		measure(b, func(n int) { work(b, m, keys("uniform", max(n/10, 1)), n) })
	})
}
