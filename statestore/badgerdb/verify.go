package badgerdb

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	badger "github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
	"github.com/dgraph-io/badger/v4/table"
)

// verify reads the tables of a directory that nobody has open, and says what is
// wrong with them; what is wrong with the logs is found by their marks. Badger would
// go on without a table whose checksum does not fit, and end the process over a
// length in it.
func verify(dir string) error {
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		return err
	}
	switch b, err := os.ReadFile(filepath.Join(dir, condemnedName)); {
	case err == nil:
		return fmt.Errorf("%w: %s", ErrDamaged, b)
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	manifest := filepath.Join(dir, badger.ManifestFilename)
	if !slices.Contains(files, manifest) {
		for _, f := range files {
			if ext := filepath.Ext(f); ext == ".sst" || ext == ".mem" {
				return fmt.Errorf("%w: %s is there and %s is not", ErrDamaged, filepath.Base(f), badger.ManifestFilename)
			}
		}
		return nil
	}
	f, err := os.Open(manifest)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // it is only read
	m, _, err := badger.ReplayManifestFile(f, directoryFormat, badgerOptions(dir, nil))
	if err != nil {
		if machine(err) {
			return err
		}
		return fmt.Errorf("%w: %s: %w", ErrDamaged, badger.ManifestFilename, err)
	}
	for id := range m.Tables {
		name := table.NewFilename(id, dir)
		if !slices.Contains(files, name) {
			return fmt.Errorf("%w: %s is not there", ErrDamaged, filepath.Base(name))
		}
		b, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		if err := verifyTable(b, id); err != nil {
			return fmt.Errorf("%w: %s: %w", ErrDamaged, filepath.Base(name), err)
		}
	}
	return nil
}

// verifyTable checks the checksums of the index and of every block.
func verifyTable(b []byte, id uint64) (err error) {
	// The file ends with: index, its length, checksum, its length. Badger ends the
	// process when one of them is not inside.
	rest := len(b) - 8
	if rest < 0 {
		return fmt.Errorf("it is %d bytes", len(b))
	}
	n := int(binary.BigEndian.Uint32(b[len(b)-4:]))
	if n > rest {
		return fmt.Errorf("its checksum is %d bytes", n)
	}
	rest -= n
	if n := int(binary.BigEndian.Uint32(b[rest:])); n > rest {
		return fmt.Errorf("its index is %d bytes", n)
	}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%v", p)
		}
	}()
	t, err := table.OpenInMemoryTable(b, id, &table.Options{ChkMode: options.NoVerification, Compression: options.None})
	if err != nil {
		return err
	}
	return t.VerifyChecksum()
}

// condemnedName is the file that says why rows are not to be opened again.
const condemnedName = "condemned"

// condemn keeps rows from being opened again.
func condemn(dir string, why error) error {
	return os.WriteFile(filepath.Join(dir, condemnedName), []byte(why.Error()), 0o600)
}
