package dev

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/streamrun/streamrun/policies"
)

// A Report is everything that a run that came to its end has to say.
type Report struct {
	Seed       uint64          // of the run
	In         int             // events delivered for the first time in this run
	Copies     int             // delivered once more
	Lost       int             // withheld
	Known      int             // events of In that had been delivered in an earlier run
	Left       int64           // records that an earlier run had left undecided
	Counts     policies.Counts // of this run
	Kills      []Kill
	Waits      bool          // what is held waits for ever
	Keyless    int           // records sent without a key, since their lines give none
	GivenUp    int           // events whose numbers had been given up when they came
	Took       time.Duration // at most, from the begin of such a wait until the event came
	MaxWait    time.Duration // of the contract
	Entities   int
	Notes      []Note
	Checks     []Check
	Partitions int32
	Seconds    float64
	Lives      int           // processes that the app had
	CPU        time.Duration // that all of them used, starting and restoring included
}

// A Note names an entity that did not go its whole way.
type Note struct {
	Entity string `json:"entity"`
	Text   string `json:"text"`
}

// OK reports whether every check is.
func (r *Report) OK() bool {
	for _, c := range r.Checks {
		if !c.OK {
			return false
		}
	}
	return true
}

// killed counts the kills inside an open transaction that were planned so, how many
// of them were, and those behind a commit.
func (r *Report) killed() (inside, open, behind int) {
	for _, k := range r.Kills {
		switch {
		case k.At == afterEnd():
			behind++
		case k.Open:
			inside++
			open++
		default:
			inside++
		}
	}
	return inside, open, behind
}

// Summary returns the line that says it all.
func (r *Report) Summary() string {
	c := r.Counts
	duplicate := fmt.Sprint(c.Duplicate)
	if known := int64(r.Known); known > 0 && c.Duplicate >= known && c.DuplicateOfDLQ+c.Superseded == 0 {
		duplicate = fmt.Sprintf("%d + %d", known, c.Duplicate-known)
	}
	parts := []string{
		fmt.Sprintf("in %d + %d copies", r.In, r.Copies),
		fmt.Sprintf("applied %d", c.Applied),
		"duplicate " + duplicate,
		fmt.Sprintf("held %d", c.Held),
		fmt.Sprintf("dead-lettered %d", c.DeadLettered),
	}
	for _, rare := range []struct {
		name string
		n    int64
	}{
		{"of a letter", c.DuplicateOfDLQ},
		{"superseded", c.Superseded},
		{"without a key", int64(r.Keyless)},
		{"given up before it came", int64(r.GivenUp)},
		{"late", c.LateDropped},
		{"compensated", c.Compensated},
		{"absorbed", c.Absorbed},
		{"fenced", c.Fenced},
		{"retrying", c.Retrying},
		{"resolved again", c.ResolvedAgain},
		{"lost and delivered again", c.Lost},
		{"version backward", c.VersionBackward},
		{"offsets skipped", c.Skipped},
		{"left by an earlier run", r.Left},
	} {
		if rare.n != 0 {
			parts = append(parts, fmt.Sprintf("%s %d", rare.name, rare.n))
		}
	}
	inside, open, _ := r.killed()
	parts = append(parts, fmt.Sprintf("killed %d, in an open transaction %d", inside, open))
	for i, c := range r.Checks {
		switch {
		case i == 0:
			parts = append(parts, fmt.Sprintf("%d entities = %s: %s", r.Entities, c.Name, c.Answer))
		case i < 3 || !c.OK:
			parts = append(parts, c.Name+": "+c.Answer)
		}
	}
	return strings.Join(parts, " | ")
}

// WriteText writes the report for people; the summary is its last line.
func (r *Report) WriteText(w io.Writer) error {
	var b strings.Builder
	for i, k := range r.Kills {
		fmt.Fprintf(&b, "kill %d: %s (%s, ", i+1, k.At, k.TransactionalID)
		if k.Open {
			b.WriteString("in an open transaction)\n")
		} else {
			b.WriteString("in no open transaction)\n")
		}
	}
	if _, _, behind := r.killed(); behind > 0 {
		fmt.Fprintf(&b, "killed behind a commit, counted apart: %d\n", behind)
	}
	if r.Lost > 0 {
		fmt.Fprintf(&b, "lost: %d events were withheld\n", r.Lost)
	}
	for _, n := range r.Notes {
		fmt.Fprintf(&b, "%s: %s\n", n.Entity, n.Text)
	}
	if r.Waits {
		fmt.Fprintf(&b, "%d events wait for ever, as the contract says; nothing changes any more\n", r.Counts.Held)
	}
	if r.GivenUp > 0 {
		fmt.Fprintf(&b, "%d numbers were given up before their events came, as max_wait: %v says; the feed took up to %v for them: where they are to be applied, lengthen contract.max_wait\n",
			r.GivenUp, r.MaxWait, r.Took)
	}
	for _, c := range r.Checks {
		fmt.Fprintf(&b, "check %s: %s", c.Name, c.Answer)
		if c.Detail != "" {
			fmt.Fprintf(&b, " (%s)", c.Detail)
		}
		b.WriteByte('\n')
	}
	if r.Counts.Delivered > 0 {
		fmt.Fprintf(&b, "cpu: the app used %v in %d lives, %.1f us a record\n", r.CPU.Round(time.Millisecond), r.Lives, r.perRecord())
	}
	if r.Known > 0 {
		fmt.Fprintf(&b, "%d of the events had been delivered by an earlier run on this data directory\n", r.Known)
	}
	b.WriteString(r.Summary())
	b.WriteByte('\n')
	_, err := io.WriteString(w, b.String())
	return err
}

// perRecord returns the app's CPU time for each record of this run in microseconds.
func (r *Report) perRecord() float64 {
	return float64(r.CPU.Microseconds()) / float64(max(r.Counts.Delivered, 1))
}

// WriteJSON writes the report as one JSON document of schema streamrun/v1.
func (r *Report) WriteJSON(w io.Writer) error {
	type kill struct {
		At              string `json:"at"`
		TransactionalID string `json:"transactional_id"`
		Open            bool   `json:"open_transaction"`
	}
	inside, open, behind := r.killed()
	document := struct {
		Schema       string           `json:"schema"`
		Kind         string           `json:"kind"`
		OK           bool             `json:"ok"`
		Seed         uint64           `json:"seed"`
		Seconds      float64          `json:"seconds"`
		Lives        int              `json:"app_lives"`
		CPUSeconds   float64          `json:"app_cpu_seconds"`
		PerRecord    float64          `json:"app_cpu_us_per_record"`
		Partitions   int32            `json:"partitions"`
		In           int              `json:"in"`
		Copies       int              `json:"copies"`
		Withheld     int              `json:"withheld"`
		Known        int              `json:"known"`
		Left         int64            `json:"left_by_earlier_run"`
		Dispositions map[string]int64 `json:"dispositions"`
		Killed       int              `json:"killed"`
		KilledOpen   int              `json:"killed_in_open_transaction"`
		KilledBehind int              `json:"killed_behind_commit"`
		Kills        []kill           `json:"kills"`
		Entities     int              `json:"entities"`
		HeldForEver  bool             `json:"held_for_ever"`
		Keyless      int              `json:"without_key"`
		GivenUp      int              `json:"given_up_before_they_came"`
		Notes        []Note           `json:"notes"`
		Checks       []Check          `json:"checks"`
		Summary      string           `json:"summary"`
	}{
		"streamrun/v1", "dev", r.OK(), r.Seed, r.Seconds, r.Lives, r.CPU.Seconds(), r.perRecord(), r.Partitions, r.In, r.Copies, r.Lost, r.Known, r.Left, dispositions(r.Counts),
		inside, open, behind, make([]kill, 0, len(r.Kills)), r.Entities, r.Waits, r.Keyless, r.GivenUp, append([]Note{}, r.Notes...), r.Checks, r.Summary(),
	}
	for _, k := range r.Kills {
		document.Kills = append(document.Kills, kill{k.At.String(), k.TransactionalID, k.Open})
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(document)
}

func dispositions(c policies.Counts) map[string]int64 {
	return map[string]int64{
		"delivered": c.Delivered, "applied": c.Applied, "duplicate": c.Duplicate, "duplicate_of_dlq": c.DuplicateOfDLQ,
		"superseded": c.Superseded, "late_dropped": c.LateDropped, "dead_lettered": c.DeadLettered, "compensated": c.Compensated,
		"absorbed": c.Absorbed, "fenced": c.Fenced, "held": c.Held, "retrying": c.Retrying, "resolved_again": c.ResolvedAgain,
		"lost": c.Lost, "version_backward": c.VersionBackward, "skipped": c.Skipped,
	}
}

// minus returns what was counted since before; what is held and retrying is so now.
func minus(c, before policies.Counts) policies.Counts {
	return policies.Counts{
		Delivered: c.Delivered - before.Delivered, Applied: c.Applied - before.Applied, Duplicate: c.Duplicate - before.Duplicate,
		DuplicateOfDLQ: c.DuplicateOfDLQ - before.DuplicateOfDLQ, Superseded: c.Superseded - before.Superseded,
		LateDropped: c.LateDropped - before.LateDropped, DeadLettered: c.DeadLettered - before.DeadLettered,
		Compensated: c.Compensated - before.Compensated, Absorbed: c.Absorbed - before.Absorbed, Fenced: c.Fenced - before.Fenced,
		Held: c.Held, Retrying: c.Retrying, ResolvedAgain: c.ResolvedAgain - before.ResolvedAgain,
		Lost: c.Lost - before.Lost, VersionBackward: c.VersionBackward - before.VersionBackward, Skipped: c.Skipped - before.Skipped,
	}
}
