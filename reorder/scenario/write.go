package scenario

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/streamrun/streamrun/policies"
)

// Exit codes of Simulate.
const (
	ExitPass      = 0  // every case passes
	ExitBroken    = 1  // the results cannot be written
	ExitUsage     = 2  // no file, or an unknown format
	ExitDiffers   = 3  // a case differs
	ExitMalformed = 78 // a file cannot be read or is malformed
)

// Simulate tries every case of the files and writes the results to out in the
// format "text" or "json". Faults of the files, all of every file, go to problems;
// when there is one, no case is tried. It returns one of the exit codes.
func Simulate(out, problems io.Writer, paths []string, format string, newHost NewHost) int {
	write := WriteText
	switch {
	case format == "json":
		write = WriteJSON
	case format != "text":
		fmt.Fprintf(problems, "scenario: format %q is not known%s\n", format, didYouMean(format, []string{"text", "json"}))
		return ExitUsage
	}
	if len(paths) == 0 {
		fmt.Fprintln(problems, "scenario: no file to simulate")
		return ExitUsage
	}
	var files []*File
	for _, path := range paths {
		f, err := Load(path)
		if err != nil {
			fmt.Fprintln(problems, err)
			continue
		}
		files = append(files, f)
	}
	if len(files) < len(paths) {
		return ExitMalformed
	}
	var results []Result
	for _, f := range files {
		results = append(results, Run(f, newHost)...)
	}
	if err := write(out, results); err != nil {
		fmt.Fprintln(problems, err)
		return ExitBroken
	}
	if passed(results) < len(results) {
		return ExitDiffers
	}
	return ExitPass
}

// WriteText writes a line per case and a summary line.
func WriteText(w io.Writer, results []Result) error {
	var errs error
	for i := range results {
		_, err := fmt.Fprintln(w, results[i].String())
		errs = errors.Join(errs, err)
	}
	pass := passed(results)
	_, err := fmt.Fprintf(w, "%d cases: %d pass, %d FAIL\n", len(results), pass, len(results)-pass)
	if errs = errors.Join(errs, err); errs != nil {
		return fmt.Errorf("scenario: writing results: %w", errs)
	}
	return nil
}

// WriteJSON writes one JSON document of schema streamrun/v1: a summary and a
// result per case.
func WriteJSON(w io.Writer, results []Result) error {
	type summary struct {
		Cases  int `json:"cases"`
		Passed int `json:"passed"`
		Failed int `json:"failed"`
	}
	type result struct {
		ID          string `json:"id"`
		File        string `json:"file"`
		Line        int    `json:"line"`
		Pass        bool   `json:"pass"`
		Field       string `json:"field,omitempty"`
		Expected    string `json:"expected,omitempty"`
		Happened    string `json:"happened,omitempty"`
		Rule        string `json:"rule,omitempty"`
		Explanation string `json:"explanation,omitempty"`
		Order       []int  `json:"order,omitempty"`
		Error       string `json:"error,omitempty"`
	}
	document := struct {
		Schema  string   `json:"schema"`
		Kind    string   `json:"kind"`
		Summary summary  `json:"summary"`
		Results []result `json:"results"`
	}{Schema: "streamrun/v1", Kind: "simulation", Results: make([]result, len(results))}
	document.Summary = summary{Cases: len(results), Passed: passed(results), Failed: len(results) - passed(results)}
	for i, r := range results {
		document.Results[i] = result{
			ID: r.ID, File: r.File, Line: r.Line, Pass: r.Pass, Field: r.Field, Expected: r.Expected,
			Happened: r.Happened, Explanation: r.Explanation, Order: r.Order,
		}
		if r.Rule != policies.NoRule {
			document.Results[i].Rule = r.Rule.String()
		}
		if r.Err != nil {
			document.Results[i].Error = r.Err.Error()
		}
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	if err := enc.Encode(document); err != nil {
		return fmt.Errorf("scenario: writing results: %w", err)
	}
	return nil
}

func passed(results []Result) int {
	n := 0
	for i := range results {
		if results[i].Pass {
			n++
		}
	}
	return n
}
