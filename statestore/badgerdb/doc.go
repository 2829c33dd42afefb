// Package badgerdb keeps the rows of one task in a directory, so that a task that
// starts again restores only what was committed since.
//
//	db, err := badgerdb.Open(dir, badgerdb.Options{Origin: origin})
//	...
//	if err := db.Refused(); err != nil { log } // the directory was of no use
//	from := db.Positions()                      // the restore starts here
//	... db.Apply(rows, positions) ...
//	db.Live(owned)                              // the restore is complete
//
// Where the restore shows that the rows are wrong, Condemn has the next Open start
// empty.
//
// A DB is a statestore.Backend that is written behind: Apply changes memory and
// returns; a goroutine of the DB writes what changed to Badger every second, when
// too much has changed, and at Flush and Close. Rows are written in groups, each a
// transaction, and with the last of them the checkpoint. Rows that are on disk stay
// in memory as a cache up to a bound. Since a row that changes ten times in a second
// is written once, and a hot row is never read from disk, most of what makes Badger
// slow per record is not paid per record.
//
// A directory is a copy of something that Kafka has, so in any doubt it is thrown
// away: Open checks every table and log and where the rows are from (Origin), and
// starts empty where something is wrong.
//
// # The directory
//
//	DIR/lock        held while a process has it open
//	DIR/rows/       Badger's files; the directory format, 1, is the external number in MANIFEST
//	DIR/rows/stand  a copy of the stand, for Peek; nothing else reads it (stand.new: it is
//	                being written)
//	DIR/rows/condemned
//	                why the rows are not to be opened again
//	DIR/refused/    rows on their way out
//
// Badger's entries; the first byte of a key is the kind, numbers are big endian:
//
//	'r' key                    row, CRC-32C of key and row (4 bytes)
//	'm' number mod 65536       number (8 bytes): the mark of a transaction; numbers
//	    (2 bytes)              count the transactions from 1
//	'c'                        the stand, written by the last transaction of a flush
//
// The stand; the checkpoint is that of package statestore:
//
//	+---+--------------------+--------------------------+------------+
//	| 1 | number of the      | layout (uvarint length,  | checkpoint |
//	|   | transaction uvarint| bytes)                   |            |
//	+---+--------------------+--------------------------+------------+
//
// # Invariants
//
//  1. The checkpoint is never ahead of the rows: it is in the last transaction of its
//     flush, and transactions are durable in their order.
//  2. A row may be ahead of the checkpoint. A restore applies the changelog from the
//     checkpoint on and ends with the same rows.
//  3. The wall time of a checkpoint is a time at which its positions were the ends of
//     the changelogs, or before that. So it stands still during a restore, but for what
//     CaughtUp says, and where nobody knows any more that the task is this process's: a
//     process that was suspended for a day finds out by asking, not by its clock.
//  4. A row that is not on disk is pinned in memory; what is pinned is bounded.
//  5. A DB that failed takes and gives nothing more.
//
// # Non-obvious
//
// Marks find what Badger does not: when an older log or table is lost or cut and a
// newer log is not, Badger opens and the transactions between are missing. Every
// transaction leaves a number that the next 65535 do not overwrite, more than there
// are in a log, and at Open there must be no number missing before the last. A log
// that is cut at its end opens at an older stand, which is no harm.
//
// Checksums of tables are checked at Open, all of them, and not while reading: a
// block whose checksum Badger finds wrong then is a block without the row, silently.
// It costs one read of the directory at its start. Damage that is done to the files of
// an open DB is found where it hits the bytes of a row, by the row's own checksum.
//
// A disk that nobody uses rests: after 30 ticks without a write, and without a read that
// memory cannot answer, Badger is closed, since its compactors look for work all the time,
// 0.3 % of a core for each directory. What comes next opens it again. The lock of the
// directory is held all along, so the tables are read whole at a waking only where names,
// sizes or times of the files are not as they were left; the last transaction has to be the
// one that it was. A disk that is nearly full neither rests nor is opened, and where free
// space is not known, or the lock is none, nothing rests.
//
// Values never go to Badger's value log (MaxRow), its garbage collection never runs,
// and there are no expiring keys: most of Badger's known losses need one of these.
//
// A full disk can end the process: Badger writes its log through a memory map. After a
// failure in its background Badger goes on trying; the lock is then held until that
// Badger has ended, so that nobody opens the directory beside it.
package badgerdb
