package embedded

import "testing"

// Whatever comes in, the tap reads what it can of it and does not fail.
func FuzzParse(f *testing.F) {
	f.Add([]byte{0, 26, 0, 2, 0, 0, 0, 1, 0, 1, 'c', 0, 1, 'w', 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 1})
	f.Add([]byte{0, 0, 0, 8, 0, 0, 0, 1, 0xff, 0xff, 0, 1, 'w'})
	f.Add([]byte{0, 28, 0, 3, 0, 0, 0, 1, 0xff, 0xff, 0, 2, 'w'})
	f.Fuzz(func(t *testing.T, frame []byte) {
		r := parse(frame)
		if r == nil {
			return
		}
		r.transactionalID = "w"
		r.code(append(make([]byte, 8), frame...))
	})
}
