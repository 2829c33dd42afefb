package feed

import (
	"bytes"
	"compress/gzip"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

func TestReadsOneEventALine(t *testing.T) {
	t.Parallel()
	const text = "{\"a\":1}\n\n  \t\n{\"b\":2}\r\n\r\nnot json\n{\"last\":true}"
	want := []Event{{1, []byte(`{"a":1}`)}, {4, []byte(`{"b":2}`)}, {6, []byte("not json")}, {7, []byte(`{"last":true}`)}}
	for name, input := range map[string][]byte{
		"plain": []byte(text), "gzip": gzipped(t, text), "mark": []byte("\ufeff" + text), "gzip and mark": gzipped(t, "\ufeff"+text),
	} {
		got, err := Read(name, iotest.OneByteReader(bytes.NewReader(input)), Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestReadsLinesLongerThanItsBuffer(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 200<<10)
	got, err := Read("long", strings.NewReader(long+"\n"+long+"y\n"), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 || string(got[0].Value) != long || string(got[1].Value) != long+"y" {
		t.Errorf("%d events, or their bytes differ", len(got))
	}
}

func TestReadsNothingFromNothing(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "\n", "\r\n\n "} {
		if got, err := Read("empty", strings.NewReader(text), Limits{}); err != nil || len(got) != 0 {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
}

func TestLimitsNameTheLine(t *testing.T) {
	t.Parallel()
	const text = "12345\n123456\n\n12345\n"
	for _, c := range []struct {
		limits Limits
		want   string
	}{
		{Limits{LineBytes: 5}, "feed: reading in.ndjson:2: a line of more than 5 bytes"},
		{Limits{TotalBytes: 15}, "feed: reading in.ndjson:4: more than 15 bytes"},
		{Limits{Events: 2}, "feed: reading in.ndjson:4: more than 2 events"},
	} {
		_, err := Read("in.ndjson", strings.NewReader(text), c.limits)
		if !errors.Is(err, ErrTooLarge) || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%+v: error %v, want %q", c.limits, err, c.want)
		}
	}
	if got, err := Read("in.ndjson", strings.NewReader(text), Limits{LineBytes: 6, TotalBytes: 16, Events: 3}); err != nil || len(got) != 3 {
		t.Errorf("just inside the limits: %d events, error %v", len(got), err)
	}
}

func TestCutGzipIsAnErrorAtItsLine(t *testing.T) {
	t.Parallel()
	whole := gzipped(t, "a\nb\n")
	_, err := Read("in.gz", bytes.NewReader(whole[:len(whole)-6]), Limits{})
	if err == nil || !strings.HasPrefix(err.Error(), "feed: reading in.gz:3: unexpected EOF") {
		t.Errorf("error %v", err)
	}
	if _, err := Read("in.gz", strings.NewReader("\x1f\x8bzzzzzzzzzzzz"), Limits{}); err == nil {
		t.Error("a broken header was read")
	}
}

func TestReadFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "events.ndjson.gz")
	if err := os.WriteFile(path, gzipped(t, "{}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := ReadFile(path, Limits{}); err != nil || len(got) != 1 {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := ReadFile(path+".absent", Limits{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("absent file: %v", err)
	}
}

// The twin splits the text in memory.
func FuzzRead(f *testing.F) {
	for _, text := range []string{"", "\n", "a\nb", "a\r\n\r\nb\r\n", "\r", " \n\x00\n", "\x1f\x8b", "\x1f", "\ufeffa\n\ufeff"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, input []byte) {
		got, err := Read("fuzz", bytes.NewReader(input), Limits{LineBytes: 20, TotalBytes: 60, Events: 9})
		if bytes.HasPrefix(input, []byte{0x1f, 0x8b}) {
			return // compressed: that it does not panic is all that is asked
		}
		var want []Event
		total, tooLarge := 0, false
		for i, line := range bytes.Split(bytes.TrimPrefix(input, []byte("\ufeff")), []byte("\n")) {
			line = bytes.TrimSuffix(line, []byte("\r"))
			tooLarge = tooLarge || len(line) > 20
			if len(bytes.TrimSpace(line)) > 0 {
				total += len(line)
				want = append(want, Event{i + 1, line})
			}
		}
		if tooLarge = tooLarge || total > 60 || len(want) > 9; tooLarge != errors.Is(err, ErrTooLarge) {
			t.Fatalf("error %v, too large: %v", err, tooLarge)
		}
		if diff := cmp.Diff(want, got); !tooLarge && (err != nil || diff != "") {
			t.Fatalf("error %v, events (-twin +got):\n%s", err, diff)
		}
	})
}

// TestReadsRealInput reads the log that STREAMRUN_REAL_INPUT holds, where it is set.
func TestReadsRealInput(t *testing.T) {
	t.Parallel()
	folder := os.Getenv("STREAMRUN_REAL_INPUT")
	if folder == "" {
		t.Log("STREAMRUN_REAL_INPUT is not set: no real input was read")
		return
	}
	events, err := ReadFile(filepath.Join(folder, "permit-receipt.ndjson.gz"), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if len(events) != 8577 || events[8576].Line != 8577 {
		t.Errorf("%d events, want 8577", len(events))
	}
}

func gzipped(t *testing.T, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
