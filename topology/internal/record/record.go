// Package record holds the untyped record: what a topic delivers and what is
// produced to one. It is a leaf, so that the seam to Kafka and the task share
// one type and no record is converted on its way.
package record

// TopicPartition names one partition of one topic.
type TopicPartition struct {
	Topic     string
	Partition int32
}

// A Header is one record header. Key and Value may alias the fetched batch.
type Header struct {
	Key   []byte
	Value []byte
}

// A Record is one record of a partition. Its bytes alias the fetched batch and
// must be copied by whoever keeps them. A nil Key is a null key, a nil Value a
// tombstone.
type Record struct {
	Offset    int64
	Timestamp int64 // milliseconds since the Unix epoch
	Key       []byte
	Value     []byte
	Headers   []Header
}

// Output is a record to be produced. Its bytes belong to the producer until the
// transaction (or the flush) that it is part of has ended.
type Output struct {
	TopicPartition
	Timestamp int64
	Key       []byte
	Value     []byte
	Headers   []Header
}
