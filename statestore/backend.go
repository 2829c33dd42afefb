package statestore

// A Backend keeps the committed rows of one task. It is used by one goroutine.
type Backend interface {
	// Get returns the row, or nil. It is valid until the next Apply.
	Get(key []byte) ([]byte, error)
	// Apply writes and deletes rows, and with them the changelog positions that they
	// stand for. The last Put of a key wins. It keeps none of the slices.
	Apply(puts []Put, positions []Position) error
	// Scan calls f for every row whose key starts with the prefix, in key order,
	// until f returns an error. Both slices are valid during the call.
	Scan(prefix []byte, f func(key, row []byte) error) error
	// Positions returns the changelog positions of the last Apply.
	Positions() []Position
	// Close releases what the backend holds.
	Close() error
}

// MaxKey and MaxRow are the sizes of the largest key and row that every Backend keeps.
const (
	MaxKey = 60_000
	MaxRow = 1<<20 - 64
)

// A Put writes a row; a nil Row deletes it.
type Put struct {
	Key []byte
	Row []byte
}

// A Position is the offset in a changelog up to which (not including it) the rows
// of a Backend are complete.
type Position struct {
	Topic     string
	Partition int32
	Offset    int64
}
