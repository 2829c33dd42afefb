//go:build linux

package main

import (
	"bytes"
	"context"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/google/go-cmp/cmp"
)

// TestMain lets the test's program be the broker's and a client's process as well.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && (os.Args[1] == "broker" || os.Args[1] == "client") {
		os.Exit(run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// at is a time of the tests, in milliseconds.
func at(ms int) time.Time { return time.UnixMilli(1_000_000 + int64(ms)) }

func TestOnlyWhatIsCommittedIsAppended(t *testing.T) {
	t.Parallel()
	a := newAppends(2)
	data := func(producer int64) *sarama.RecordBatch { return &sarama.RecordBatch{ProducerID: producer} }
	marker := func(producer int64, kind byte) *sarama.RecordBatch {
		return &sarama.RecordBatch{ProducerID: producer, Control: true, Records: []*sarama.Record{{Key: []byte{0, 0, 0, kind}}}}
	}
	const abort, commit = 0, 1
	stamped := data(7)
	stamped.LogAppendTime, stamped.MaxTimestamp = true, at(11)
	a.take(0, stamped, at(500)) // the broker's word counts, not the reader's
	a.take(0, data(8), at(12))
	a.take(1, data(7), at(13))
	a.take(0, marker(7, commit), at(14))
	a.take(0, data(7), at(15))
	a.take(0, marker(7, abort), at(16))
	a.take(0, data(7), at(17))
	a.take(0, marker(7, commit), at(18))
	want := [][]appended{{{at(11), 7}, {at(17), 7}}, nil}
	if d := cmp.Diff(want, a.committed, cmp.AllowUnexported(appended{})); d != "" {
		t.Error(d)
	}
	shares, none := a.shares()
	if none != 1 || shares[7] != 1 || len(shares) != 1 {
		t.Errorf("%d partitions have no writer, the others %v; want 1, and one of producer 7", none, shares)
	}
}

func TestTheLongestGapIsOfWhatIsMeasured(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		appends []int
		began   int
		took    time.Duration
	}{
		"between two appends":               {[]int{90, 110, 150, 160, 195, 205}, 110, 40 * time.Millisecond},
		"over the beginning":                {[]int{50, 120, 150, 190, 210}, 50, 70 * time.Millisecond},
		"over the end":                      {[]int{90, 120, 150, 180, 260}, 180, 80 * time.Millisecond},
		"it never ends":                     {[]int{90, 110, 130}, 130, 70 * time.Millisecond},
		"nothing at all":                    {nil, 100, 100 * time.Millisecond},
		"a longer one before and behind it": {[]int{0, 99, 130, 160, 190, 200, 400}, 99, 31 * time.Millisecond},
	} {
		a := newAppends(3)
		for _, ms := range c.appends {
			a.committed[1] = append(a.committed[1], appended{at: at(ms)})
		}
		for ms := 0; ms < 400; ms += 5 {
			a.committed[0] = append(a.committed[0], appended{at: at(ms)})
		}
		if d := cmp.Diff(gap{1, at(c.began), c.took}, a.longest([]int32{0, 1}, at(100), at(200)), cmp.AllowUnexported(gap{})); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}

func TestAPartitionStaysWithOneProducer(t *testing.T) {
	t.Parallel()
	a := newAppends(4)
	a.committed = [][]appended{
		{{at(0), 9}, {at(100), 1}, {at(200), 1}, {at(300), 9}}, // moves before and behind
		{{at(110), 1}, {at(150), 3}, {at(190), 1}},             // goes and comes back
		{{at(110), 2}},
		nil,
	}
	if got := a.stayed(at(100), at(200)); !slices.Equal(got, []int32{0, 2}) {
		t.Errorf("%v stay, want 0 and 2", got)
	}
}

func TestTheTableSaysWhetherARebalanceTookTooLong(t *testing.T) {
	t.Parallel()
	ms := func(n int) gap { return gap{took: time.Duration(n) * time.Millisecond} }
	for _, c := range []struct {
		kind         string
		still, moved int
		missed       bool
		line         string
	}{
		{"embedded", 150, 250, false, "kept    longest gap: 250.0 ms, at most 250.0, 100 more than where nobody moves"},
		{"embedded", 150, 251, true, "MISSED  longest gap: 251.0 ms, at most 250.0, 100 more than where nobody moves"},
		{"real", 150, 200, false, "kept    longest gap on one node: 200.0 ms, at most 200"},
		{"real", 150, 201, true, "MISSED  longest gap on one node: 201.0 ms, at most 200"},
	} {
		var out bytes.Buffer
		table := newTable(&out, &options{})
		table.rebalances(c.kind, 1, []pair{{still: ms(1), moved: ms(900)}, {still: ms(c.still), moved: ms(c.moved)}, {still: ms(800), moved: ms(2)}})
		if table.missed != c.missed || !slices.Contains(strings.Split(out.String(), "\n"), c.line) {
			t.Errorf("missed %v, want %v with %q in\n%s", table.missed, c.missed, c.line, out.String())
		}
	}
}

func TestSomePartitionsStayWhenAnInstanceJoinsAndLeaves(t *testing.T) {
	inSmall(t, "-rebalance -rounds 1 -seconds 1 -rate 500 -keys 100",
		`nobody moves +[1-9]\d*\.\d+ \(`,
		`one joins and leaves +[1-9]\d*\.\d+ \(`,
		`partitions that stay: 8; `,
		`(kept   |MISSED ) longest gap: [1-9]\d*\.\d ms, at most `,
	)
}

// inSmall runs the bench and requires that it prints what the patterns say. The bars are
// the command's, on a machine that has nothing else to do.
func inSmall(t *testing.T, args string, lines ...string) {
	t.Helper()
	t.Setenv("KAFKA_BROKERS", "") // another test's
	var out, log bytes.Buffer
	code := run(t.Context(), strings.Fields(args), nil, &out, &log)
	if code != 0 && code != exitMissed {
		t.Fatalf("exit code %d\n%s", code, log.String())
	}
	for _, line := range lines {
		if !regexp.MustCompile(line).MatchString(out.String()) {
			t.Errorf("no %q in\n%s\n%s", line, out.String(), log.String())
		}
	}
}
