package badgerdb

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/streamrun/streamrun/statestore"
)

func TestCondemnedRowsAreNotUsedAgain(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "db")
	put := []statestore.Put{{Key: []byte("s1"), Row: []byte("row")}}
	at := []statestore.Position{{Topic: "t", Offset: 7}}
	db := openTest(t, dir)
	if err := errors.Join(db.Apply(put, at), db.Flush(), db.Condemn(errors.New("the topic ends at 3"))); err != nil {
		t.Fatal(err)
	}
	if err := db.Apply(put, at); !errors.Is(err, ErrClosed) {
		t.Errorf("a condemned DB takes rows: %v", err)
	}
	if err := db.Close(); err != nil {
		t.Errorf("Close of a condemned DB: %v", err)
	}
	db = openTest(t, dir)
	if err := db.Refused(); err == nil || !strings.Contains(err.Error(), "the topic ends at 3") {
		t.Errorf("refused: %v", err)
	}
	if row, err := db.Get([]byte("s1")); row != nil || err != nil || len(db.Positions()) > 0 {
		t.Errorf("it holds %q at %v, %v", row, db.Positions(), err)
	}
	if err := errors.Join(db.Apply(put, at), db.Close()); err != nil {
		t.Fatal(err)
	}
	db = openTest(t, dir) // once is enough
	if row, err := db.Get([]byte("s1")); string(row) != "row" || err != nil || db.Refused() != nil {
		t.Errorf("it holds %q, %v, refused %v", row, err, db.Refused())
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
}

func TestBytesAreThoseOfTheRows(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "db")
	db := openTest(t, dir)
	if n := db.Bytes(); n != 0 {
		t.Errorf("an empty DB takes %d bytes", n)
	}
	const rows, size = 1000, 2000
	check := func(when string) {
		t.Helper()
		if n := db.Bytes(); n < rows*size || n > rows*size*5/4 {
			t.Errorf("%s: %d bytes of %d rows of %d", when, n, rows, size)
		}
	}
	for i := range rows {
		row := make([]byte, size)
		for j := range row {
			row[j] = byte(i * j)
		}
		if err := db.Apply([]statestore.Put{{Key: fmt.Append(nil, i), Row: row}}, nil); err != nil {
			t.Fatal(err)
		}
	}
	check("in memory")
	if err := db.Flush(); err != nil {
		t.Fatal(err)
	}
	check("in the log")
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = openTest(t, dir)
	check("in a table")
	if err := db.Close(); err != nil {
		t.Error(err)
	}
}
