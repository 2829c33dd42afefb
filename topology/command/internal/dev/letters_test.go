package dev

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/streamrun/streamrun/policies"
	"github.com/streamrun/streamrun/topology/internal/record"
)

func TestLettersAreSortedAndWrittenAsTheyAre(t *testing.T) {
	t.Parallel()
	put := func(offset int64, l policies.Letter, value []byte) record.Record {
		l.Topic, l.Offset, l.Step = "in", offset, "in_order"
		return record.Record{Offset: offset, Key: []byte(l.Entity), Value: value, Headers: policies.AppendLetter([]record.Header{{Key: []byte("own"), Value: []byte("1")}}, &l)}
	}
	partitions := [][]record.Record{
		{
			put(7, policies.Letter{Entity: "b", HasSequence: true, Sequence: 10, Reason: policies.ReasonGapTimeout, Rule: 11}, []byte(`{"a":"<>","n":9007199254740993}`)),
			put(8, policies.Letter{Entity: "b", HasSequence: true, Sequence: 9, Reason: policies.ReasonGapTimeout, Rule: 11}, []byte("not json")),
		},
		{put(3, policies.Letter{Reason: policies.ReasonInvalidMetadata, Rule: policies.NoRule}, []byte{0xff})},
	}
	letters, err := readLetters("dlq", partitions)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := writeLetters(&b, letters); err != nil {
		t.Fatal(err)
	}
	const head = `"step":"in_order","attempts":0,"first_at":"1970-01-01T00:00:00Z","topic":"in","partition":0,`
	want := `{"epoch":0,"reason":"invalid_metadata","rule":"-",` + head + `"offset":3,"key":"","value":"/w=="}
{"entity":"b","epoch":0,"sequence":9,"reason":"gap_timeout","rule":"R11",` + head + `"offset":8,"key":"b","value":"not json"}
{"entity":"b","epoch":0,"sequence":10,"reason":"gap_timeout","rule":"R11",` + head + `"offset":7,"key":"b","value":{"a":"<>","n":9007199254740993}}
`
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Error(diff)
	}
	partitions[1][0].Headers = nil
	if _, err := readLetters("dlq", partitions); err == nil || !strings.Contains(err.Error(), "dlq-1@3") {
		t.Errorf("a record without the headers of a letter: %v", err)
	}
}

func TestTableIsTheLastOfEachKey(t *testing.T) {
	t.Parallel()
	row := func(key string, value []byte) record.Record { return record.Record{Key: []byte(key), Value: value} }
	table := readTable([][]record.Record{
		{row("b", []byte(`{"n":1}`)), row("c", []byte("1")), row("b", []byte(`{"n":2}`))},
		{row(`a"`, []byte("9007199254740993"))},
		{row("c", nil)},
	})
	var b bytes.Buffer
	if err := writeTable(&b, table); err != nil {
		t.Fatal(err)
	}
	if got, want := b.String(), `{"key":"a\"","value":9007199254740993}`+"\n"+`{"key":"b","value":{"n":2}}`+"\n"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
