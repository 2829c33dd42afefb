package kafka

import (
	"errors"
	"fmt"

	"github.com/streamrun/streamrun/topology/internal/record"
)

// Errors that callers branch on. What a driver returns wraps one of them and the
// broker's own words.
var (
	ErrFenced            = errors.New("kafka: producer is fenced: a newer one with its transactional id exists")
	ErrIndefinite        = errors.New("kafka: no answer: the request may have been applied")
	ErrAborted           = errors.New("kafka: the broker ended the transaction")
	ErrIllegalGeneration = errors.New("kafka: illegal member generation")
	ErrUnknownMember     = errors.New("kafka: unknown member")
	ErrOffsetOutOfRange  = errors.New("kafka: offset out of range")
	ErrTopicExists       = errors.New("kafka: topic exists")
	ErrUnknownTopic      = errors.New("kafka: unknown topic or partition")
	ErrTooLarge          = errors.New("kafka: record too large")
	ErrTimestamp         = errors.New("kafka: timestamp not accepted")
	ErrTxnTimeout        = errors.New("kafka: transaction timeout not accepted")
	ErrNotAuthorized     = errors.New("kafka: not authorized")
	ErrUnreachable       = errors.New("kafka: no broker reached")
	ErrCredentials       = errors.New("kafka: the broker does not accept the credentials")
	ErrTLS               = errors.New("kafka: no TLS connection")
	ErrStuck             = errors.New("kafka: no progress")
)

// RecordError names a record that its topic does not take, because of ErrTooLarge or
// ErrTimestamp.
type RecordError struct {
	record.TopicPartition
	Key []byte
	Err error // says everything but the key
}

func (e *RecordError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *RecordError) Unwrap() error { return e.Err }

// UndecodableError names a batch that cannot be decoded.
type UndecodableError struct {
	record.TopicPartition
	Offset int64 // first offset that could not be read
	Next   int64 // offset behind the batch; 0: not known
	Err    error
}

func (e *UndecodableError) Error() string {
	return fmt.Sprintf("kafka: %s-%d@%d: batch cannot be decoded: %v", e.Topic, e.Partition, e.Offset, e.Err)
}

// Unwrap returns the cause.
func (e *UndecodableError) Unwrap() error { return e.Err }
