package metrics

import "github.com/prometheus/client_golang/prometheus"

// A metric is one name with what belongs to it.
type metric struct {
	name   string
	help   string
	kind   prometheus.ValueType
	labels []string
	desc   *prometheus.Desc
}

// names has every metric but the histogram of commits.
type names struct {
	all []*metric

	build, live, ready, started                             *metric
	tasks, restoring, rebalances                            *metric
	restoreLeft, restoredRecords, restoredBytes             *metric
	standbys, standbyLag, standbyRecords, standbyBytes      *metric
	commits, producedRecords, producedBytes                 *metric
	producerRetries, fetchFailures, commitWaits             *metric
	lag, consumed, dispositions, held, retrying, letters    *metric
	marks, forgotten, skipped                               *metric
	deadLetters, strays, alarms, decisions, gaps, oldestGap *metric
	storeBytes, clock, streamTime                           *metric
}

const (
	appLabel   = "app"
	commitName = "streamrun_commit_seconds"
	commitHelp = "Time from the begin of a transaction until the broker has decided to commit it."
)

// commitBuckets are the bounds of the histogram of commits, in seconds.
func commitBuckets() []float64 {
	return []float64{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30}
}

// newNames makes the descriptions of the metrics of an app.
func newNames(app string) *names {
	n := &names{}
	add := func(kind prometheus.ValueType, name, help string, labels ...string) *metric {
		m := &metric{name: "streamrun_" + name, help: help, kind: kind, labels: labels}
		m.desc = prometheus.NewDesc(m.name, m.help, m.labels, prometheus.Labels{appLabel: app})
		n.all = append(n.all, m)
		return m
	}
	counter := func(name, help string, labels ...string) *metric {
		return add(prometheus.CounterValue, name, help, labels...)
	}
	gauge := func(name, help string, labels ...string) *metric {
		return add(prometheus.GaugeValue, name, help, labels...)
	}

	n.build = gauge("build_info", "Always 1; the labels say which version runs.", "version", "go_version")
	n.live = gauge("live", "Whether the loops make progress: 1 or 0.")
	n.ready = gauge("ready", "Whether tasks are assigned, all of them are restored, and none is too far behind: 1 or 0.")
	n.started = gauge("started", "Whether no restore is under way: 1 or 0.")

	n.tasks = gauge("tasks_assigned", "Tasks that this instance holds.")
	n.restoring = gauge("tasks_restoring", "Tasks of this instance that read their state back.")
	n.rebalances = counter("rebalances_total", "Changes of the assignment: tasks came (assigned), were given up in order (revoked) or were taken away (lost).", "event")

	n.restoreLeft = gauge("state_restore_remaining_records", "Offsets of the changelogs that the restore of a task has not read yet.", "task")
	n.restoredRecords = counter("restored_records_total", "Records read to restore state.")
	n.restoredBytes = counter("restored_bytes_total", "Bytes of keys and values read to restore state.")

	n.standbys = gauge("tasks_standby", "Tasks of other instances whose state this instance keeps warm.")
	n.standbyLag = gauge("standby_lag_records", "Offsets of the changelogs that the standby of a task could read and has not.", "task")
	n.standbyRecords = counter("standby_records_total", "Records read to keep standbys warm.")
	n.standbyBytes = counter("standby_bytes_total", "Bytes of keys and values read to keep standbys warm.")

	n.commits = counter("commits_total", "Transactions by how they ended: committed, aborted (the work is done again) or unknown (the state is restored).", "outcome")
	n.producedRecords = counter("produced_records_total", "Records in committed transactions, changelogs and journal included.")
	n.producedBytes = counter("produced_bytes_total", "Bytes of keys and values in committed transactions, changelogs and journal included.")
	n.producerRetries = counter("producer_retries_total", "Batches of records that were sent again: a broker refused them for the moment, or its answer was lost.")
	n.commitWaits = counter("commit_wait_seconds_total", "Time in which a worker with a full batch, encoded already, had nothing to do, since the transaction before had not ended.")
	n.fetchFailures = counter("fetch_failures_total", "Fetches that brought no answer and were sent again.")

	n.lag = gauge("input_lag_records", "Offsets between the position of the task and the last record that can be read.", "topic", "partition")
	n.consumed = counter("records_consumed_total", "Records taken from a source partition and committed, over all restarts.", "topic", "partition")
	n.dispositions = counter("disposition_total", "Records by what became of them for good, over all restarts; the reason tells dropped ones apart.", "topic", "partition", "disposition", "reason")
	n.held = gauge("records_held", "Records that wait for an earlier or a causing one.", "topic", "partition")
	n.retrying = gauge("records_retrying", "Records that wait for another attempt.", "topic", "partition")
	n.letters = gauge("letters_unresolved", "Dead letters that nobody has resolved.", "topic", "partition")
	n.marks = counter("suspicious_records_total", "Records that were counted as usual and looked wrong besides, by what was wrong, over all restarts.", "topic", "partition", "mark")
	n.forgotten = counter("records_forgotten_total", "Volatile held records that a restart forgot; they are delivered again.", "topic", "partition")
	n.skipped = counter("offsets_skipped_total", "Offsets of a source that were passed over and not read, by an accepted jump or with a batch that cannot be decoded, over all restarts.", "topic", "partition")

	n.deadLetters = counter("dlq_records_total", "Dead letters committed since the task came, by reason and rule.", "task", "reason", "rule")
	n.strays = counter("stray_records_total", "Records that were applied although their key (wrong_key) or partition (wrong_partition) does not fit their entity, since the task came.", "task", "reason")
	n.alarms = counter("alarms_total", "Missing events that somebody should know of, since the task came, by the rule that found them.", "task", "rule")
	n.decisions = counter("decisions_total", "What was decided about records since the task came, by disposition and by the rule that decided; one that waits and is applied later counts twice. - is no rule.", "task", "disposition", "rule")
	n.gaps = gauge("gaps_open", "Entities that wait for a missing number.", "task")
	n.oldestGap = gauge("gap_oldest_seconds", "How long the entity has waited until now that waits longest; 0 where none does.", "task")

	n.storeBytes = gauge("state_bytes", "Bytes of keys and rows of the committed state of a task.", "task")
	n.clock = gauge("task_clock_timestamp_seconds", "The task clock: everything that the sources held then has been read.", "task")
	n.streamTime = gauge("stream_time_timestamp_seconds", "The greatest event time that the task has seen.", "task")
	return n
}
