// Package wire drives a Kafka cluster with sarama's protocol layer: its requests
// and its Broker, not its consumer and producer.
//
// New gives a kafka.Cluster. Every role that it opens (Fetcher, Producer, Group,
// Admin) has a router of its own: what it knows of the cluster (leaders, epochs,
// coordinators) and its own connections, since a Broker holds its lock during a
// long poll. Metadata is asked for when something is unknown or an answer says that
// it is stale; nothing runs in the background.
//
// A Fetcher sends one Fetch per leader and call, and hands out slices into the
// decoded batches. A Producer cuts outputs into batches, before their transaction
// if it is asked to, numbers them when they are produced, and keeps up to five requests
// in flight per leader; it is its own transaction manager. A Group drives JoinGroup,
// SyncGroup, Heartbeat and LeaveGroup itself, because sarama.ConsumerGroup ends all of a
// member's claims where the contract keeps what stays, and does not tell a generation in
// which nothing moved.
//
// A connection is TCP, TLS and SASL, as Options.Security says; what it is refused for is
// ErrTLS, ErrCredentials or ErrUnreachable, at once and with the address. A topic,
// group or transactional id that the user has no right to is ErrNotAuthorized, never
// one that does not exist.
//
// # User data of a group
//
// The subscription of a member says how much it has of the state of tasks (for the
// runner, the sum of the changelog offsets that its rows stand for), the assignment which
// tasks it stands by for, and whether it is to let go of something that another waits for
// and then join again. A number is that of a task, its partition; they go up.
//
//	            +---+-----------+---------------------------------+
//	subscription| 1 | uvarint n | n x {number uvarint,            |
//	            |   |           |      amount uvarint, 1 or more} |
//	            +---+-----------+---------------------------------+
//	            +---+-----------+---------------------------------+
//	assignment  | 1 | uvarint n | n x number uvarint, gives 0/1   |
//	            +---+-----------+---------------------------------+
//
// A member whose user data cannot be read has no state and is no standby; an assignment
// whose user data cannot be read gives none.
//
// # Invariants
//
//  1. A position moves only over what was read: to the last offset of a batch plus
//     one, never to the last record plus one (compaction), never past what could not
//     be decoded.
//  2. The batches of a partition are acknowledged in the order of their sequences,
//     and a batch keeps its sequence however often it is sent.
//  3. EndTxn is not sent again when its answer was lost: the producer is unusable until
//     Init, whose epoch shuts out what may still be on the way. TxnOffsetCommit is sent
//     again, once, if it was the first of its transaction and the group has it pending.
//     The other requests of a transaction are sent again for RequestTimeout, and only
//     then is the producer unusable; see below.
//  4. What a leader assigns is what package assign says.
//
// # Non-obvious
//
//   - A request without an answer may be handled whenever it comes out of a buffer of its
//     old connection, in a later transaction of the same epoch too: epochs change with
//     Init alone. What that does decides whether it may be sent again. Produce: the
//     broker knows its sequence. InitProducerId: it fences, and that is seen.
//     AddPartitionsToTxn and AddOffsetsToTxn: the later transaction has a partition or
//     group more, of which it writes nothing; where there is none, an empty one opens,
//     which the producer continues, or the coordinator ends after the transaction
//     timeout, and the producer is fenced as by any other. TxnOffsetCommit: the offsets
//     of a transaction that has ended stand behind those of the later one, and are
//     committed with it: the group goes back, and what it consumed is consumed twice. But
//     one that is pending was handled, and is on its way no more (a task begins behind
//     stable offsets and its generation, so nobody else has any pending). It is sent again
//     all the same: pending offsets may not be replicated yet, and those that are
//     acknowledged are. Where the group was sent two, nothing tells them apart: the second
//     answer is lost too, or offsets that were pending were refused in the next member
//     generation and are sent under it, or a broker refused what it had appended.
//     EndTxn: half of the later one is committed, or aborted under its producer.
//   - A connection is cut by closing its socket beneath sarama: Broker.Close would
//     wait for the long poll that is to be ended.
//   - Whether a request was sent is told by the bytes that went into the socket since;
//     only then can its answer be lost.
//   - sarama fails a whole Fetch answer for one batch that it cannot decode; the
//     partitions are then asked for one by one, the one that fails by single batches.
//   - sarama takes a batch with more records than compressed bytes for one that is cut
//     off. Zstd makes such batches of thousands of equal records (at 20000, not at 500):
//     batchRecords keeps ours readable, and those of others are UndecodableErrors.
//   - TLS is done beneath sarama: it would shake hands at the first write, without a
//     deadline and without telling a wrong certificate from a lost connection.
//   - Most brokers say that they want TLS or a login by closing the connection; the hints
//     in errors are guesses from how far it got.
//   - A batch that is too large for its topic (max.message.bytes) is cut in half, and so
//     are the later ones; only a single record that is too large is an error.
//   - A partition of which an answer says that there is more, and has nothing, may have
//     had no room in it. Before it is called stuck it is asked for alone.
//   - Records are encoded here, not by sarama, where they are not compressed; see encoded.
//   - sarama drops batches without records (compaction leaves them) and does not
//     export where they end; see nextOffset.
//   - The order in a rebalance: Assigned of the new generation first, then Revoked of
//     what left, then the next join. The commits inside Revoked need the new
//     generation. Standby is told before Revoked: what is let go may stay warm.
//   - A static member that is back gets the assignment of the generation that goes on, as
//     it was stored. If it was to let go of something and ended before it joined again,
//     nobody else would: so the assignment says it, not what the member remembers.
//   - sarama bounds decompressed batches by a global of its own; the first New sets
//     it, if nobody did.
package wire
