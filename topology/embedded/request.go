package embedded

import (
	"github.com/twmb/franz-go/pkg/kbin"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Request is the kind of a request: Kafka's API key.
type Request int16

// The requests that tests and taps speak of; every other key occurs too.
const (
	Produce            Request = 0
	Fetch              Request = 1
	ListOffsets        Request = 2
	Metadata           Request = 3
	OffsetFetch        Request = 9
	FindCoordinator    Request = 10
	JoinGroup          Request = 11
	Heartbeat          Request = 12
	LeaveGroup         Request = 13
	SyncGroup          Request = 14
	CreateTopics       Request = 19
	InitProducerID     Request = 22
	AddPartitionsToTxn Request = 24
	AddOffsetsToTxn    Request = 25
	EndTxn             Request = 26
	TxnOffsetCommit    Request = 28
)

// String returns the name of the request.
func (r Request) String() string { return kmsg.NameForKey(int16(r)) }

// request is what the tap keeps of a request until it is answered.
type request struct {
	key             Request
	version         int16
	correlation     int32
	clientID        string
	transactionalID string
	groups          []string // named by the request, for faults
	commit          bool
}

// parse reads the header of a request, and the body of those of a transaction. It
// returns nil for what is no request; a body that it cannot read is the broker's to
// refuse.
func parse(frame []byte) *request {
	reader := kbin.Reader{Src: frame}
	r := &request{key: Request(reader.Int16()), version: reader.Int16(), correlation: reader.Int32()}
	if id := reader.NullableString(); id != nil {
		r.clientID = *id
	}
	message := kmsg.RequestForKey(int16(r.key))
	if message == nil || !reader.Ok() {
		return nil
	}
	message.SetVersion(r.version)
	if message.IsFlexible() {
		skipTags(&reader)
	}
	if !reader.Ok() {
		return nil
	}
	if r.key == Produce {
		// The records are not decoded for a name that stands in front of them.
		id := reader.NullableString
		if message.IsFlexible() {
			id = reader.CompactNullableString
		}
		if name := id(); name != nil && r.version >= 3 {
			r.transactionalID = *name
		}
		return r
	}
	switch r.key {
	case InitProducerID, AddPartitionsToTxn, AddOffsetsToTxn, EndTxn, TxnOffsetCommit,
		JoinGroup, SyncGroup, Heartbeat, LeaveGroup, OffsetFetch:
	default:
		return r
	}
	if message.ReadFrom(reader.Src) != nil {
		return r
	}
	switch m := message.(type) {
	case *kmsg.InitProducerIDRequest:
		if m.TransactionalID != nil {
			r.transactionalID = *m.TransactionalID
		}
	case *kmsg.AddPartitionsToTxnRequest:
		r.transactionalID = m.TransactionalID
	case *kmsg.AddOffsetsToTxnRequest:
		r.transactionalID, r.groups = m.TransactionalID, []string{m.Group}
	case *kmsg.EndTxnRequest:
		r.transactionalID, r.commit = m.TransactionalID, m.Commit
	case *kmsg.TxnOffsetCommitRequest:
		r.transactionalID, r.groups = m.TransactionalID, []string{m.Group}
	case *kmsg.JoinGroupRequest:
		r.groups = []string{m.Group}
	case *kmsg.SyncGroupRequest:
		r.groups = []string{m.Group}
	case *kmsg.HeartbeatRequest:
		r.groups = []string{m.Group}
	case *kmsg.LeaveGroupRequest:
		r.groups = []string{m.Group}
	case *kmsg.OffsetFetchRequest:
		r.groups = append(r.groups, m.Group)
		for _, g := range m.Groups {
			r.groups = append(r.groups, g.Group)
		}
	}
	return r
}

// skipTags skips the tagged fields of a header. kmsg's own goes on counting when the
// bytes have ended, for seconds if the count is a large one.
func skipTags(r *kbin.Reader) {
	for n := r.Uvarint(); n > 0 && r.Ok(); n-- {
		_ = r.Uvarint()
		r.Span(int(r.Uvarint()))
	}
}

// code returns the first error code in the answer to a request of a transaction.
func (r *request) code(answer []byte) int16 {
	if r.transactionalID == "" {
		return 0
	}
	message := kmsg.ResponseForKey(int16(r.key))
	message.SetVersion(r.version)
	reader := kbin.Reader{Src: answer[8:]} // behind length and correlation id
	if message.IsFlexible() {
		skipTags(&reader)
	}
	if message.ReadFrom(reader.Src) != nil {
		return 0
	}
	switch m := message.(type) {
	case *kmsg.InitProducerIDResponse:
		return m.ErrorCode
	case *kmsg.AddOffsetsToTxnResponse:
		return m.ErrorCode
	case *kmsg.EndTxnResponse:
		return m.ErrorCode
	case *kmsg.AddPartitionsToTxnResponse:
		for _, t := range m.Topics {
			for _, p := range t.Partitions {
				if p.ErrorCode != 0 {
					return p.ErrorCode
				}
			}
		}
	case *kmsg.TxnOffsetCommitResponse:
		for _, t := range m.Topics {
			for _, p := range t.Partitions {
				if p.ErrorCode != 0 {
					return p.ErrorCode
				}
			}
		}
	case *kmsg.ProduceResponse:
		for _, t := range m.Topics {
			for _, p := range t.Partitions {
				if p.ErrorCode != 0 {
					return p.ErrorCode
				}
			}
		}
	}
	return 0
}
