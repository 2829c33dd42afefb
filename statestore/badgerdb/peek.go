package badgerdb

import (
	"os"
	"path/filepath"
	"time"

	"github.com/streamrun/streamrun/statestore"
)

// standName is the file beside Badger's that has the last stand, for Peek.
const standName = "stand"

// Peek says up to where the rows of a directory stand for the changelogs, as it was told
// at the last flush, without opening it: whoever opens it may find that it is otherwise.
// Nothing means that there are no rows, or none that Open would use.
func Peek(dir string, o Origin, now time.Time) []statestore.Position {
	rows := filepath.Join(dir, rowsName)
	if _, err := os.Stat(filepath.Join(rows, condemnedName)); err == nil {
		return nil
	}
	b, err := os.ReadFile(filepath.Join(rows, standName))
	if err != nil {
		return nil
	}
	s, err := decodeStand(b)
	if err != nil || o.Check(s.checkpoint, s.layout, now) != nil {
		return nil
	}
	var at []statestore.Position
	for _, p := range s.checkpoint.Changelogs {
		at = append(at, p.Position)
	}
	return at
}

// note keeps a copy of the stand for Peek. It may fail: then Peek tells an older one, or
// nothing.
func (db *DB) note(s *stand) {
	file := filepath.Join(db.dir, rowsName, standName)
	if os.WriteFile(file+".new", s.append(nil), 0o600) == nil {
		_ = os.Rename(file+".new", file)
	}
}
