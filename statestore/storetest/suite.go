package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/streamrun/streamrun/statestore"
)

// A Place is where a back end keeps its rows. Only Open is needed.
type Place struct {
	// Open opens the place, which is empty at first and closed or crashed later.
	Open func() (statestore.Backend, error)
	// Flush returns when everything that was applied would outlive the process. A
	// back end that has it keeps its rows over a Close.
	Flush func(statestore.Backend) error
	// Crash ends the back end as the death of its process would; it is not used again.
	Crash func(statestore.Backend)
	// Break makes every write to the disk fail from now on, until the next Open.
	Break func(statestore.Backend)
}

// Run runs the suite. newPlace makes an empty place.
func Run(t *testing.T, newPlace func(t *testing.T) Place) {
	for _, c := range []struct {
		name string
		run  func(t *testing.T, p Place)
	}{
		{"Rows", rows},
		{"OwnsItsBytes", ownsItsBytes},
		{"Scan", scan},
		{"Positions", positions},
		{"Twin", twin},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(t, newPlace(t)) })
	}
	probe := newPlace(t)
	if probe.Flush != nil {
		t.Run("Reopen", func(t *testing.T) { reopen(t, newPlace(t)) })
	}
	if probe.Crash != nil {
		t.Run("Crash", func(t *testing.T) { crash(t, newPlace(t)) })
	}
	if probe.Break != nil {
		t.Run("BrokenDisk", func(t *testing.T) { brokenDisk(t, newPlace(t)) })
	}
}

// tester is what both *testing.T and *rapid.T are.
type tester interface {
	Helper()
	Fatalf(format string, args ...any)
}

func must(t tester, rule string, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", rule, err)
	}
}

func open(t tester, p Place) statestore.Backend {
	t.Helper()
	b, err := p.Open()
	must(t, "a place opens", err)
	return b
}

func put(key, row string) statestore.Put {
	return statestore.Put{Key: []byte(key), Row: append([]byte{}, row...)}
}
func remove(key string) statestore.Put { return statestore.Put{Key: []byte(key)} }

func expect(t tester, b statestore.Backend, rule, key, want string, there bool) {
	t.Helper()
	got, err := b.Get([]byte(key))
	must(t, rule, err)
	if (got != nil) != there || string(got) != want {
		t.Fatalf("%s: Get(%q) is %q (nil: %v), want %q (there: %v)", rule, key, got, got == nil, want, there)
	}
}

func rows(t *testing.T, p Place) {
	b := open(t, p)
	defer b.Close()
	expect(t, b, "an unknown key has no row", "s", "", false)
	must(t, "Apply writes", b.Apply([]statestore.Put{put("s1", "a"), put("s2", "b"), put("s", "")}, nil))
	expect(t, b, "an applied row is seen at once", "s1", "a", true)
	expect(t, b, "an applied row is seen at once", "s2", "b", true)
	expect(t, b, "an empty row is not an absent one", "s", "", true)
	must(t, "Apply writes", b.Apply([]statestore.Put{put("s1", "longer than before"), remove("s2"), remove("s3")}, nil))
	expect(t, b, "a later row takes the place of an earlier", "s1", "longer than before", true)
	expect(t, b, "a deleted row is gone", "s2", "", false)
	expect(t, b, "deleting what is not there is no error", "s3", "", false)
	must(t, "Apply writes", b.Apply([]statestore.Put{remove("s1"), put("s1", "x"), put("s2", "y"), remove("s2"), put("s4", "1"), put("s4", "2")}, nil))
	expect(t, b, "of one key the last put of an Apply counts", "s1", "x", true)
	expect(t, b, "of one key the last put of an Apply counts", "s2", "", false)
	expect(t, b, "of one key the last put of an Apply counts", "s4", "2", true)
	large := string(bytes.Repeat([]byte("0123456789abcdef"), 900<<10/16))
	must(t, "a row of 900 KiB can be written", b.Apply([]statestore.Put{put("large", large)}, nil))
	expect(t, b, "a row of 900 KiB can be written", "large", large, true)
	must(t, "an Apply may be empty", b.Apply(nil, nil))
	must(t, "Close has no error", b.Close())
}

func ownsItsBytes(t *testing.T, p Place) {
	b := open(t, p)
	defer b.Close()
	puts := []statestore.Put{put("s1", "row"), put("s2", "row")}
	must(t, "Apply writes", b.Apply(puts, []statestore.Position{{Topic: "t", Offset: 1}}))
	for _, p := range puts {
		copy(p.Key, "zzz")
		copy(p.Row, "zzz")
	}
	expect(t, b, "Apply keeps none of its slices", "s1", "row", true)
	expect(t, b, "Apply keeps none of its slices", "zz", "", false)
	first, err := b.Get([]byte("s1"))
	must(t, "Get reads", err)
	for i := range 1000 {
		_, err := b.Get(fmt.Appendf(nil, "s%d", i))
		must(t, "Get reads", err)
	}
	if string(first) != "row" {
		t.Fatalf("a row is valid until the next Apply: it became %q after more Gets", first)
	}
}

func scan(t *testing.T, p Place) {
	b := open(t, p)
	defer b.Close()
	var puts []statestore.Put
	for _, k := range []string{"s2", "o", "s10", "s", "t", "s\xff", "s\xff\x01", "s1", "r\xff"} {
		puts = append(puts, put(k, "row of "+k))
	}
	must(t, "Apply writes", b.Apply(puts, nil))
	must(t, "Apply writes", b.Apply([]statestore.Put{remove("s10")}, nil))
	seen := func(prefix string) (keys []string) {
		must(t, "Scan has no error of its own", b.Scan([]byte(prefix), func(k, row []byte) error {
			if string(row) != "row of "+string(k) {
				t.Fatalf("Scan gives each key its row: %q has %q", k, row)
			}
			keys = append(keys, string(k))
			return nil
		}))
		return keys
	}
	for prefix, want := range map[string][]string{
		"s": {"s", "s1", "s2", "s\xff", "s\xff\x01"}, "s\xff": {"s\xff", "s\xff\x01"}, "s10": nil, "q": nil,
		"": {"o", "r\xff", "s", "s1", "s2", "s\xff", "s\xff\x01", "t"},
	} {
		if d := cmp.Diff(want, seen(prefix)); d != "" {
			t.Fatalf("Scan visits the keys with the prefix %q in their order: %s", prefix, d)
		}
	}
	stop, n := errors.New("enough"), 0
	err := b.Scan([]byte("s"), func(_, _ []byte) error { n++; return stop })
	if !errors.Is(err, stop) || n != 1 {
		t.Fatalf("Scan ends with the first error of f and returns it: after %d rows with %v", n, err)
	}
	must(t, "f may call Get", b.Scan([]byte("s"), func(k, _ []byte) error {
		_, err := b.Get(k)
		return err
	}))
}

func positions(t *testing.T, p Place) {
	b := open(t, p)
	defer b.Close()
	if got := b.Positions(); len(got) != 0 {
		t.Fatalf("an empty back end has no positions: %v", got)
	}
	one, two, three := statestore.Position{Topic: "t", Offset: 5}, statestore.Position{Topic: "t", Partition: 1, Offset: 7}, statestore.Position{Topic: "u", Offset: 9}
	must(t, "Apply writes", b.Apply(nil, []statestore.Position{one, two}))
	must(t, "Apply writes", b.Apply([]statestore.Put{put("s", "")}, []statestore.Position{three}))
	one.Offset = 6
	must(t, "Apply writes", b.Apply(nil, []statestore.Position{one}))
	if d := cmp.Diff([]statestore.Position{one, two, three}, sorted(b.Positions())); d != "" {
		t.Fatalf("every changelog partition has the position of its last Apply: %s", d)
	}
}
