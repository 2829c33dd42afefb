package statestore

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Kinds of rows, the first byte of a Backend's key.
const (
	KindSlot  = 's'
	KindOrder = 'o'
)

const rowFormat = 1

// AppendRow appends a slot's row to dst: nothing when every part is absent (nil).
func AppendRow(dst []byte, parts [][]byte) []byte {
	n := len(parts)
	for n > 0 && parts[n-1] == nil {
		n--
	}
	if n == 0 {
		return dst
	}
	dst = append(dst, rowFormat)
	for _, p := range parts[:n] {
		if p == nil {
			dst = append(dst, 0)
			continue
		}
		dst = binary.AppendUvarint(dst, uint64(len(p))+1)
		dst = append(dst, p...)
	}
	return dst
}

// DecodeRow splits a slot's row into parts, which alias it; parts that the row does
// not have become nil. More parts than wanted are an error.
func DecodeRow(row []byte, parts [][]byte) error {
	clear(parts)
	if len(row) == 0 {
		return nil
	}
	if row[0] != rowFormat {
		return fmt.Errorf("statestore: decoding a row: unknown format %d", row[0])
	}
	rest := row[1:]
	present := false // the last part of a row is; AppendRow leaves out what follows it
	for i := 0; len(rest) > 0; i++ {
		n, size := binary.Uvarint(rest)
		if size <= 0 || n > uint64(len(rest)-size)+1 || size > 1 && rest[size-1] == 0 {
			return errors.New("statestore: decoding a row: cut short")
		}
		if i == len(parts) {
			return fmt.Errorf("statestore: decoding a row: more than %d parts", len(parts))
		}
		rest = rest[size:]
		if present = n > 0; present {
			parts[i] = rest[: n-1 : n-1]
			rest = rest[n-1:]
		}
	}
	if !present {
		return errors.New("statestore: decoding a row: no last part")
	}
	return nil
}
