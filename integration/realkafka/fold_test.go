//go:build linux

package realkafka

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// permit is one event of examples/permits.
type permit struct {
	CaseID     string `json:"case_id"`
	Sequence   int    `json:"sequence"`
	Activity   string `json:"activity"`
	EventTime  string `json:"event_time"`
	Resource   string `json:"resource"`
	Department string `json:"department"`
	Last       bool   `json:"last"`

	line []byte
}

func readPermits(lines []byte) ([]permit, error) {
	var all []permit
	for line := range bytes.Lines(lines) {
		p := permit{line: bytes.TrimSpace(line)}
		if err := json.Unmarshal(line, &p); err != nil {
			return nil, fmt.Errorf("event %d: %w", len(all)+1, err)
		}
		all = append(all, p)
	}
	return all, nil
}

// permitCase is the state that examples/permits/streamrun.yaml keeps for a case.
type permitCase struct {
	Status      string   `json:"status"`
	Events      int      `json:"events"`
	First       string   `json:"first"`
	Last        string   `json:"last"`
	Opened      string   `json:"opened"`
	Days        float64  `json:"days"`
	Departments []string `json:"departments"`
	Resource    string   `json:"resource"`
	Handovers   int      `json:"handovers"`
	Path        string   `json:"path"`
}

// foldPermits returns the states that every case goes through when its events are
// applied once and in order: the update of the file, written a second time.
func foldPermits(events []permit) (map[string][]permitCase, error) {
	events = slices.Clone(events)
	slices.SortStableFunc(events, func(a, b permit) int { return cmp.Compare(a.Sequence, b.Sequence) })
	cases := map[string][]permitCase{}
	for _, e := range events {
		var c permitCase
		states := cases[e.CaseID]
		known := len(states) > 0
		if known {
			c = states[len(states)-1]
		}
		if e.Sequence != c.Events+1 {
			return nil, fmt.Errorf("case %s: event %d follows %d", e.CaseID, e.Sequence, c.Events)
		}
		at, err := time.Parse(time.RFC3339, e.EventTime)
		if err != nil {
			return nil, err
		}
		if !known {
			c.First, c.Opened = e.Activity, e.EventTime
		}
		opened, err := time.Parse(time.RFC3339, c.Opened)
		if err != nil {
			return nil, err
		}
		c.Status = "open"
		if e.Last {
			c.Status = "closed"
		}
		c.Days = float64(at.UnixMilli()-opened.UnixMilli()) / 86400000
		if !slices.Contains(c.Departments, e.Department) {
			c.Departments = append(slices.Clone(c.Departments), e.Department)
		}
		if known && c.Resource != e.Resource {
			c.Handovers++
		}
		path := sha256.Sum256([]byte(c.Path + "/" + e.Activity))
		c.Events, c.Last, c.Resource, c.Path = e.Sequence, e.Activity, e.Resource, hex.EncodeToString(path[:])
		cases[e.CaseID] = append(states, c)
	}
	return cases, nil
}

// readCase reads a state from the table; a field that the fold does not know is an
// error.
func readCase(value []byte) (permitCase, error) {
	var c permitCase
	d := json.NewDecoder(bytes.NewReader(value))
	d.DisallowUnknownFields()
	return c, d.Decode(&c)
}
