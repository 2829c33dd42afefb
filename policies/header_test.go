package policies_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/streamrun/streamrun/policies"
)

// foreign is a header type of another package.
type foreign struct {
	Key   []byte
	Value []byte
}

func codec(t testing.TB, names policies.HeaderNames, scope string) *policies.HeaderCodec {
	t.Helper()
	c, err := policies.NewHeaderCodec(names, scope)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// headers makes headers of "name=value" texts; "name" alone has no value.
func headers(texts ...string) []foreign {
	var hs []foreign
	for _, text := range texts {
		name, value, has := strings.Cut(text, "=")
		h := foreign{Key: []byte(name)}
		if has {
			h.Value = []byte(value)
		}
		hs = append(hs, h)
	}
	return hs
}

func lines(hs []foreign) string {
	var b strings.Builder
	for _, h := range hs {
		fmt.Fprintf(&b, "%s=%s\n", h.Key, h.Value)
	}
	return b.String()
}

func fullMetadata() policies.Metadata {
	return policies.Metadata{
		Entity: "order/7", HasSequence: true, Sequence: 42, Version: 9, Epoch: 3,
		EventTime: 1_700_000_000_123, ProducedAt: 1_700_000_000_500,
		ID: "pay-7", Causation: "cart-1", Correlation: "checkout-5", Class: "paid",
	}
}

func TestOrderHeadersNeverChange(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	for _, m := range []policies.Metadata{
		fullMetadata(),
		{Entity: "e", HasSequence: true},
		{Entity: "e", HasSequence: true, Sequence: 1<<63 - 1, EventTime: -1},
		{},
	} {
		hs, err := policies.AppendHeaders(codec(t, policies.HeaderNames{}, ""), []foreign(nil), &m)
		if err != nil {
			t.Fatal(err)
		}
		b.WriteString(lines(hs) + "\n")
	}
	m := fullMetadata()
	named := policies.HeaderNames{
		ID: "id", Sequence: "seq", Version: "version", Epoch: "epoch", Scope: "scope", EventTime: "at", ProducedAt: "sent",
		Entity: "entity", Subject: "subject", Class: "class", Correlation: "correlation", Causation: "cause",
	}
	hs, err := policies.AppendHeaders(codec(t, named, "orders"), headers("kept=yes"), &m)
	if err != nil {
		t.Fatal(err)
	}
	b.WriteString(lines(hs))
	golden(t, "headers.golden", b.String())
}

func TestReadHeaders(t *testing.T) {
	t.Parallel()
	const structured = "content-type=application/cloudevents+json; charset=UTF-8"
	for _, c := range []struct {
		name    string
		headers []foreign
		value   string
		scope   string
		want    policies.Metadata
	}{
		{name: "nothing", want: policies.Metadata{Entity: "key"}},
		{
			name: "binary",
			headers: headers("ce_specversion=1.0", "ce_id=pay-7", "ce_sequence=0000000000000000042", "ce_ordversion=9", "ce_ordepoch=3",
				"ce_time=2023-11-14T22:13:20.123Z", "ce_recordedtime=2023-11-14T22:13:20.5Z", "ce_partitionkey=order/7", "ce_subject=other",
				"ce_type=paid", "ce_correlationid=checkout-5", "ce_causationid=cart-1", "ce_ordscope=anything"),
			want: fullMetadata(),
		},
		{name: "subject", headers: headers("ce_subject=order/7", "ce_partitionkey="), want: policies.Metadata{Entity: "order/7"}},
		{
			name: "any digits", headers: headers("ce_sequence=9223372036854775807", "ce_ordepoch=000000000000000000000000000000000007"),
			want: policies.Metadata{Entity: "key", HasSequence: true, Sequence: 1<<63 - 1, Epoch: 7},
		},
		{name: "the last counts", headers: headers("ce_sequence=1", "ce_sequence=2", "ce_sequence"), want: policies.Metadata{Entity: "key", HasSequence: true, Sequence: 2}},
		{name: "offset of the time", headers: headers("ce_time=1970-01-01T01:00:00.0019+01:00"), want: policies.Metadata{Entity: "key", EventTime: 1}},
		{name: "other names are not read", headers: headers("sequence=x", "CE_SEQUENCE=x", "content-type=application/json"), want: policies.Metadata{Entity: "key"}},
		{name: "its own scope", scope: "orders", headers: headers("ce_ordscope=orders", "ce_sequence=1"), want: policies.Metadata{Entity: "key", HasSequence: true, Sequence: 1}},
		{
			name:    "structured",
			headers: headers(structured, "ce_sequence=7", "ce_id=from-header"),
			value: `{"specversion":"1.0","type":"paid","source":"/shop","id":"pay-7","sequence":"0042","ordversion":9,"ordepoch":"3",
				"time":"2023-11-14T22:13:20.123Z","recordedtime":"2023-11-14T23:13:20.500+01:00","partitionkey":"order\/7","subject":"x",
				"correlationid":"checkout-5","causationid":"cart-1","data":{"sequence":99}}`,
			want: fullMetadata(),
		},
		{
			name: "structured, absent", headers: headers("content-type=Application/CloudEvents+JSON", "ce_sequence=7"), value: `{"sequence":null}`,
			want: policies.Metadata{Entity: "key", HasSequence: true, Sequence: 7},
		},
	} {
		m := policies.Metadata{Entity: "key"}
		if err := policies.ReadHeaders(codec(t, policies.HeaderNames{}, c.scope), &m, c.headers, []byte(c.value)); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if m != c.want {
			t.Errorf("%s: got %+v, want %+v", c.name, m, c.want)
		}
	}
}

func TestReadHeadersNamesHeaderAndBadValue(t *testing.T) {
	t.Parallel()
	const structured = "content-type=application/cloudevents+json"
	for _, c := range []struct {
		headers []foreign
		value   string
		header  string
		bad     string
	}{
		{headers("ce_sequence="), "", "ce_sequence", ""},
		{headers("ce_sequence=-1"), "", "ce_sequence", "-1"},
		{headers("ce_sequence=+1"), "", "ce_sequence", "+1"},
		{headers("ce_sequence= 1"), "", "ce_sequence", " 1"},
		{headers("ce_sequence=9223372036854775808"), "", "ce_sequence", "9223372036854775808"},
		{headers("ce_sequence=" + strings.Repeat("9", 100)), "", "ce_sequence", strings.Repeat("9", 64)},
		{headers("ce_ordversion=1.5"), "", "ce_ordversion", "1.5"},
		{headers("ce_ordepoch=one"), "", "ce_ordepoch", "one"},
		{headers("ce_time=yesterday"), "", "ce_time", "yesterday"},
		{headers("ce_time=9999-12-31T23:59:59-01:00"), "", "ce_time", "9999-12-31T23:59:59-01:00"},
		{headers("ce_recordedtime=1700000000000"), "", "ce_recordedtime", "1700000000000"},
		{headers("ce_ordscope=payments"), "", "ce_ordscope", "payments"},
		{headers("content-type=application/cloudevents+avro"), "", "content-type", "application/cloudevents+avro"},
		{headers("content-type=application/cloudevents-batch+json"), "", "content-type", "application/cloudevents-batch+json"},
		{headers(structured), `[1]`, "content-type", "[1]"},
		{headers(structured), ``, "content-type", ""},
		{headers(structured), `null`, "content-type", "null"},
		{headers(structured), `{"sequence":1e3}`, "sequence", "1e3"},
		{headers(structured), `{"sequence":true}`, "sequence", "true"},
		{headers(structured), `{"id":7}`, "id", "7"},
		{headers(structured), `{"time":7}`, "time", "7"},
		{headers(structured), `{"time":"7"}`, "time", "7"},
	} {
		var m policies.Metadata
		err := policies.ReadHeaders(codec(t, policies.HeaderNames{}, "orders"), &m, c.headers, []byte(c.value))
		var bad *policies.HeaderError
		if !errors.As(err, &bad) || bad.Header != c.header || bad.Value != c.bad || !strings.Contains(err.Error(), c.header) {
			t.Errorf("%s%s: got %v", lines(c.headers), c.value, err)
		}
	}
}

func TestHeadersThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	for _, m := range []policies.Metadata{
		{HasSequence: true, Sequence: -1},
		{Version: -1},
		{Epoch: -1},
		{EventTime: 253402300800000},
		{ProducedAt: -62167219200001},
	} {
		before := headers("kept=yes")
		hs, err := policies.AppendHeaders(codec(t, policies.HeaderNames{}, ""), before, &m)
		if err == nil || !reflect.DeepEqual(hs, before) {
			t.Errorf("%+v: %v, %s", m, err, lines(hs))
		}
	}
}

func TestTwoHeadersOfOneNameAreRefused(t *testing.T) {
	t.Parallel()
	for _, names := range []policies.HeaderNames{{ID: "x", Class: "x"}, {ID: "ce_time"}, {Entity: "content-type"}} {
		if _, err := policies.NewHeaderCodec(names, ""); err == nil {
			t.Errorf("%+v: no error", names)
		}
	}
}

func TestReadingANumberAllocatesNothing(t *testing.T) {
	c, key := codec(t, policies.HeaderNames{}, "orders"), []byte("order-7")
	number := headers("other=x", "ce_ordscope=orders", "ce_sequence=0000000000000000042", "ce_ordepoch=3", "ce_time=2023-11-14T22:13:20.123Z", "ce_partitionkey=order-7")
	entity := string(key)
	if n := testing.AllocsPerRun(100, func() {
		m := policies.Metadata{Entity: entity}
		if err := policies.ReadHeaders(c, &m, number, nil); err != nil || m.Sequence != 42 {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("numbers: %v allocations", n)
	}
	full := headers("ce_id=pay-7", "ce_sequence=42", "ce_type=paid", "ce_partitionkey=other", "ce_causationid=cart-1")
	if n := testing.AllocsPerRun(100, func() {
		m := policies.Metadata{Entity: entity}
		if err := policies.ReadHeaders(c, &m, full, nil); err != nil || m.Class != "paid" {
			t.Fatal(err)
		}
	}); n != 1 {
		t.Errorf("texts: %v allocations", n)
	}
}

func BenchmarkReadHeaders(b *testing.B) {
	c := codec(b, policies.HeaderNames{}, "")
	hs := headers("ce_specversion=1.0", "ce_id=pay-7", "ce_source=/shop", "ce_type=paid", "ce_sequence=0000000000000000042", "ce_time=2023-11-14T22:13:20.123Z")
	b.ReportAllocs()
	for b.Loop() {
		m := policies.Metadata{Entity: "order-7"}
		if err := policies.ReadHeaders(c, &m, hs, nil); err != nil {
			b.Fatal(err)
		}
	}
}

// cutHeaders makes headers of any bytes: (length, name, length, value) and so on;
// an odd last piece is a header without a value.
func cutHeaders(data []byte) []foreign {
	var pieces [][]byte
	for len(data) > 0 {
		n, size := binary.Uvarint(data)
		if size <= 0 || n > uint64(len(data)-size) {
			n, size = uint64(len(data)), 0
		}
		pieces = append(pieces, data[size:size+int(n)])
		data = data[size+int(n):]
	}
	var hs []foreign
	for i := 0; i < len(pieces); i += 2 {
		h := foreign{Key: pieces[i]}
		if i+1 < len(pieces) {
			h.Value = pieces[i+1]
		}
		hs = append(hs, h)
	}
	return hs
}

func packHeaders(hs []foreign) []byte {
	var b []byte
	for _, h := range hs {
		for _, piece := range [][]byte{h.Key, h.Value} {
			b = append(binary.AppendUvarint(b, uint64(len(piece))), piece...)
		}
	}
	return b
}

func FuzzReadHeaders(f *testing.F) {
	c := codec(f, policies.HeaderNames{}, "")
	m := fullMetadata()
	hs, err := policies.AppendHeaders(c, []foreign(nil), &m)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(packHeaders(hs), []byte(nil))
	f.Add(packHeaders(headers("content-type=application/cloudevents+json")), []byte(`{"id":"a","sequence":"1","ordepoch":2,"time":"2023-11-14T22:13:20Z"}`))
	f.Add(packHeaders(headers("ce_sequence=-1")), []byte(nil))
	f.Fuzz(func(t *testing.T, data, value []byte) {
		var m, again policies.Metadata
		if policies.ReadHeaders(c, &m, cutHeaders(data), value) != nil {
			return
		}
		hs, err := policies.AppendHeaders(c, []foreign(nil), &m)
		if err != nil {
			t.Fatalf("%+v was read and cannot be written: %v", m, err)
		}
		if err := policies.ReadHeaders(c, &again, hs, nil); err != nil || m != again {
			t.Fatalf("%+v, written %s, read %+v, %v", m, lines(hs), again, err)
		}
		twice, err := policies.AppendHeaders(c, []foreign(nil), &again)
		if err != nil || !reflect.DeepEqual(hs, twice) {
			t.Fatalf("written %s, then %s, %v", lines(hs), lines(twice), err)
		}
	})
}
