package badgerdb

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/streamrun/streamrun/statestore"
)

// directoryFormat is the number that Badger keeps in its MANIFEST and compares.
const directoryFormat = 1

// Kinds of entries, the first byte of a Badger key.
const (
	kindCheckpoint = 'c'
	kindMark       = 'm'
	kindRow        = 'r'
)

const sumSize = 4

func sum(key, row []byte) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli) // made once, by the library
	return crc32.Update(crc32.Update(0, table, key), table, row)
}

// sealRow appends the value under which a row is kept.
func sealRow(dst, key, row []byte) []byte {
	dst = append(dst, row...)
	return binary.BigEndian.AppendUint32(dst, sum(key, row))
}

// openRow returns the row in a value, which it aliases.
func openRow(key, value []byte) ([]byte, error) {
	n := len(value) - sumSize
	if n < 0 || binary.BigEndian.Uint32(value[n:]) != sum(key, value[:n]) {
		return nil, fmt.Errorf("badgerdb: reading the row of key %q: %w: its checksum does not fit", key, ErrDamaged)
	}
	return value[:n:n], nil
}

const checkpointFormat = 1

// stand is how far a directory has come.
type stand struct {
	number     uint64 // of the transaction that wrote it
	layout     string
	checkpoint statestore.Checkpoint
}

func (s *stand) append(b []byte) []byte {
	b = append(b, checkpointFormat)
	b = binary.AppendUvarint(b, s.number)
	b = binary.AppendUvarint(b, uint64(len(s.layout)))
	b = append(b, s.layout...)
	return s.checkpoint.Append(b)
}

func decodeStand(b []byte) (s stand, err error) {
	if len(b) > 0 && b[0] != checkpointFormat {
		return s, fmt.Errorf("badgerdb: decoding where a directory stands: unknown format %d", b[0])
	}
	cut := errors.New("badgerdb: decoding where a directory stands: cut short")
	if len(b) == 0 {
		return s, cut
	}
	number, rest, ok := uvarint(b[1:])
	if !ok {
		return s, cut
	}
	n, rest, ok := uvarint(rest)
	if !ok || n > uint64(len(rest)) {
		return s, cut
	}
	s.number, s.layout = number, string(rest[:n])
	s.checkpoint, err = statestore.DecodeCheckpoint(rest[n:])
	return s, err
}

// uvarint reads a number in its shortest form.
func uvarint(b []byte) (v uint64, rest []byte, ok bool) {
	v, n := binary.Uvarint(b)
	if n <= 0 || n > 1 && b[n-1] == 0 {
		return 0, nil, false
	}
	return v, b[n:], true
}

// slots is the number of transactions that leave a mark of their own.
const slots = 1 << 16

// appendMarkKey appends the key of the mark of a transaction.
func appendMarkKey(b []byte, number uint64) []byte {
	return binary.BigEndian.AppendUint16(append(b, kindMark), uint16(number%slots))
}

// checkMarks finds transactions that are missing before the last one. marks holds
// the number that was read from each slot, 0 where there was none.
func checkMarks(marks *[slots]uint64, checkpoint uint64) (last uint64, err error) {
	for _, n := range marks {
		last = max(last, n)
	}
	if checkpoint > last {
		return 0, fmt.Errorf("%w: transaction %d wrote its checkpoint and left no mark", ErrDamaged, checkpoint)
	}
	for n := last; n > 0 && n+slots > last; n-- {
		if marks[n%slots] != n {
			return 0, fmt.Errorf("%w: it holds transaction %d and lacks %d", ErrDamaged, last, n)
		}
	}
	return last, nil
}
