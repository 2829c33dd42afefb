package wire

import (
	"testing"

	"github.com/streamrun/streamrun/topology/internal/record"
)

func TestPoolKeepsSoMuch(t *testing.T) {
	t.Parallel()
	var p pool
	const size = batchBytes
	batches := make([]*batch, 2*poolBytes/size)
	for range 3 {
		for i := range batches {
			batches[i] = p.get()
			if b := batches[i]; b.n != 0 || len(b.raw) != 0 {
				t.Fatalf("a batch of %d records and %d bytes", b.n, len(b.raw))
			}
			if i > 0 && batches[i] == batches[i-1] {
				t.Fatal("a batch is given twice")
			}
			batches[i].n, batches[i].raw = 1, make([]byte, size)
		}
		p.put(batches)
		if p.bytes > poolBytes || p.bytes < poolBytes-2*size || len(p.free) < poolBytes/size/2 {
			t.Fatalf("%d batches of %d bytes are kept", len(p.free), p.bytes)
		}
	}
	kept := len(p.free)
	if p.put([]*batch{{raw: make([]byte, 2*batchBytes+1)}}); len(p.free) != kept {
		t.Error("a batch that has grown large is kept")
	}
}

// What is encoded ahead is bounded, whatever the outputs are; the rest is encoded when it
// is produced.
func TestSoMuchIsEncodedAhead(t *testing.T) {
	t.Parallel()
	const n, size = 10 * turnRecords, 20_000
	outputs, value := make([]record.Output, n), make([]byte, size)
	for i := range outputs {
		outputs[i].Value = value
	}
	e := (&producer{}).Encode(outputs).(*encoding)
	calls := 1
	for ; e.More(); calls++ {
	}
	if most := aheadBytes + turnRecords*(size+100); e.ahead < aheadBytes || e.ahead > most || calls >= 10 {
		t.Errorf("%d bytes in %d calls, want %d to %d", e.ahead, calls, aheadBytes, most)
	}
	for e.turn() {
	}
	records := 0
	for _, b := range e.trays[0].sealed {
		records += b.n
	}
	if records != n {
		t.Errorf("%d records are encoded, want %d", records, n)
	}
}
