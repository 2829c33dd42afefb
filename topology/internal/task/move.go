package task

// move lets sources go on elsewhere. What a jump or a skip passes over is counted,
// by its offsets: nobody reads it.
func (t *Task) move(kind StepKind, moves []Slice) {
	st := &t.steps[len(t.steps)-1]
	st.Slices = append(st.Slices, moves...)
	for _, m := range moves {
		t.positions[m.Source] = m.To
		if kind != StepRewind {
			t.counts[m.Source].Skipped += m.To - m.From
		}
	}
}

// Moves returns the steps that lead a task whose last commit left its sources as the
// journal says to the positions of starts, which were moved from outside and are
// accepted: none, or a rewind, or a jump, or both. journal is the record of that
// commit, nil where there is none. A start that agrees with the commit is no move;
// bare has those whose metadata does not say where they stood: where the journal
// does not know either, they are a rewind from nowhere, so that a commit gives them
// metadata again.
func (p *Plan) Moves(starts []Start, bare []bool, journal *JournalRecord) []Step {
	rewind, jump := Step{Kind: StepRewind}, Step{Kind: StepJump}
	for i, s := range starts {
		m := Slice{Source: i, From: s.Offset, To: s.Offset}
		if journal != nil {
			known := journal.Source(p.Sources[i])
			if known == nil {
				continue // it is new
			}
			m.From = known.Offset
		}
		switch {
		case m.From < m.To:
			jump.Moves = append(jump.Moves, m)
		case m.From > m.To, bare[i]:
			rewind.Moves = append(rewind.Moves, m)
		}
	}
	var steps []Step
	for _, s := range []Step{rewind, jump} {
		if len(s.Moves) > 0 {
			steps = append(steps, s)
		}
	}
	return steps
}
