// Package config reads the topology file: an app without Go code.
//
//	file, err := config.Load("streamrun.yaml") // *config.Error has every problem, with its place
//	topo, err := file.Topology()
//
// A File also gives the pure functions that its topology is made of (Decode,
// Metadata, Update, IsEnd), so that somebody else can fold the same events.
//
// # The file
//
// Keys never change their meaning. A key that is not named here is an error. All
// that has a default may be left out; the value shown is the default unless the
// comment says otherwise. The text is UTF-8; a byte order mark before it is skipped.
// No topic may be one of another job, one that the app makes (topology.Names), or one
// of Kafka's own.
//
//	version: 1                      # must be there, first
//	name: order-totals              # must be there: prefixes topics and group, for ever
//
//	contract:                       # must be there
//	  events_for: order_id          # must be there: "events for order_id must be processed
//	  because: a payment applied after a cancellation would charge a closed order  # in order because ..."
//	  shape: delta                  # or snapshot, command
//	  order_by: sequence            # or version (the default of snapshot), event_time
//	  start: 1                      # first number of an entity; or first_seen
//	  reset: forbid                 # or epoch: a greater epoch starts again
//	  gap: buffer                   # or reject, retry, rebuild, apply
//	  on_timeout: park              # or skip, rebuild, hold
//	  on_overflow: pause            # or skip, park
//	  max_wait: 30s                 # for a missing event; auto: as long as is worth it by how
//	                                # long others took; {min: 10ms, max: 30s}: so, between these
//	  max_held: 1000                # events per entity
//	  id_memory: 16                 # ids per entity
//	  max_holes: 1000               # ranges per entity
//	  max_dlq: 10000                # letters per entity
//	  max_jump: 1000000             # a number further ahead is refused
//	  retry: {max: 3, delay: 100ms} # max 0: none
//	  buffer: durable               # or volatile
//	  on_version_backward: count    # or reject
//	  slack: 0s                     # event_time only
//	  max_future: 1m                # event_time only
//	  causal: false                 # true: an event waits for its cause
//	  max_depth: 20                 # of a chain of causes
//	  early: wait                   # or apply           these six are for every class ...
//	  late: reject                  # or drop, rebuild; compensate is for the Go API alone
//	  duplicate: drop               # or reject
//	  conflict: reject              # or park
//	  poison: park                  # or skip
//	  effects: in_order             # or always, never
//	  classes:                      # ... and a class may have its own
//	    viewed: {early: apply, late: drop}
//
//	kafka:
//	  brokers: localhost:9092       # or a list, or several with commas; else $KAFKA_BROKERS
//	  guarantee: exactly_once       # or at_least_once
//	  partitioner: murmur2          # as Java producers
//	  commit_interval: 100ms        # or auto: when the last commit has ended, 20 a second at most
//	  transaction_timeout: 10s
//	  compression: none             # or gzip, snappy, lz4, zstd
//	  tls:                          # no default: not encrypted. {}: as the system trusts
//	    ca: ca.pem                  # who signs the brokers' certificates; else the system's list
//	    cert: app.pem               # no default: certificate and key of the app, for mutual TLS
//	    key: app.key
//	    server_name: kafka.internal # in the brokers' certificates; else the host of each address
//	  sasl:                         # no default: no login
//	    mechanism: scram-sha-512    # must be there; or plain, scram-sha-256, oauthbearer
//	    user: orders                # must be there, but for oauthbearer
//	    password: {env: NAME}       # must be there, but for oauthbearer; or {file: PATH}
//	    insecure: false             # true: log in without tls, for whoever listens to see
//
//	store: badger                   # or memory; where the state is while the app runs. No default:
//	                                # badger where there is a data directory, else memory
//	num_standby: 0                  # other instances that keep the state of each task warm
//
//	inputs:                         # must be there, with one input in this version
//	  orders:
//	    topic: orders               # must be there
//	    partitions: 8               # no default: the topic exists. Said: to create it with
//	    format: json
//	    undecodable_batch: stop     # or skip: go on behind a batch whose bytes are damaged, and count it
//	    key: event.order_id         # must be there: the entity. The record key must be the same text
//	    id: event.event_id          # no default: an event is known by its entity and number
//	    sequence: event.seq         # must be there for order_by: sequence
//	    version: event.version      # must be there for order_by: version
//	    epoch: header.ordepoch      # must be there for reset: epoch
//	    time: meta.timestamp        # RFC 3339 text, or milliseconds since 1970; must be there for event_time
//	    class: event.type           # must be there for classes
//	    causation: event.cause      # must be there for causal
//	    end: event.type == "closed" # no default: whether this is the entity's last event
//
//	steps:                          # must be there, with these two in this version
//	  - name: in_order              # owns the order topic
//	    from: orders
//	    was: ordered                # no default: it was not renamed. Its name when it was first run, for ever
//	    in_order: true              # as the contract says
//	  - name: totals
//	    from: in_order
//	    state:
//	      store: totals             # the step's name; of a step that was renamed, its first one
//	      initial: {total: 0}       # {}; a mapping where every update reads fields of it
//	      update: |                 # must be there: the next state; nil deletes it
//	        {"total": state.total + (event.type == "paid" ? event.amount : 0)}
//
//	outputs:                        # must be there, with one output in this version
//	  order_totals:
//	    from: totals                # must be there
//	    kind: table                 # must be there
//	    topic: order-totals         # must be there; compacted
//	    partitions: 8               # as many as the input
//
//	dlq: {topic: order-totals.dlq}  # must be there: for events that are refused
//
// Under oauthbearer the login has token: {file: PATH} or {env: NAME} instead of user
// and password. A secret never stands in the file itself. Files and variables are read
// when a connection is made, and before the first one by CheckSecrets; paths are below
// the working directory.
//
// Durations are written as in Go: 100ms, 30s, 1h30m. ${NAME} and ${NAME:default}
// stand for a variable inside any value, after the YAML has been read, so that a
// value can never bring structure with it; $${ stands for the characters ${. A name
// that is not set and has no default is an error. Inside {} and [] they need quotes.
//
// # Expressions
//
// Expressions are those of expr-lang. Under inputs they see event (the decoded
// value), key (the record key as text), header (the last value of each, as text)
// and meta.timestamp (of the record, in milliseconds since 1970). An update sees
// event, state, key (the entity) and meta.{sequence, version, epoch, time, id,
// class}. A field that an event does not have is nil: use event.x ?? 0 for a default
// and event.x?.y where event.x may be missing. The fields of state must be known
// where initial and every result of update are written as {...}.
//
// There is no clock, randomness, time zone, environment or file in an expression:
// now, date, duration and timezone do not exist. millis(text) gives the milliseconds
// since 1970 of an RFC 3339 time, sha256(text) the hash in hexadecimal digits. keys,
// values and toPairs go by name; toJSON and fromJSON keep integers.
//
// An update that fails, or gives what JSON cannot hold or is larger than 900 KiB,
// is that event's failure for good (poison). A record whose key is not the entity is
// refused as wrong_key: its state would be another partition's.
//
// # Numbers
//
// A whole number that fits in 64 bits is exact, in events and states. Any other is
// the nearest float64. A result that is whole becomes an integer (7.0 is 7), so that
// a state is the same before it is stored and after; / always divides exactly, and
// integer arithmetic beyond 64 bits wraps.
//
// # Invariants
//
//  1. Parse returns a File, or an *Error with every problem that can be seen at
//     once; it never panics.
//  2. Decode, Metadata, Update and IsEnd are functions of their arguments and the
//     file alone.
//  3. For every state that Update returns, DecodeState(EncodeState(state)) is state.
//
// # Non-obvious
//
//   - A record without a value deletes the state of its key in its turn, as the Go
//     API's Aggregate does; its metadata must then come from the key and headers.
//   - meta of an update has no offset: the state depends on the event, not on which
//     of its deliveries came first.
//   - When anything else in the contract is wrong, its contradictions are not
//     looked for: they may be the same mistake.
package config
