package simulation

import "slices"

// Shrink returns a smaller script that fails as s does, and s if there is none. run
// runs a script and returns it as it went: with the steps that were reached, each with
// the fault that it had, and whether it failed as s does. It is called tries times at
// most.
//
// Left out is first what leaves the rest most as it was: faults, then steps, then what
// the settings have more than the simplest. Each time great parts are tried before
// small ones, until not one step or fault can go alone.
func Shrink(s Script, tries int, run func(Script) (Script, bool)) Script {
	k := &shrinker{best: s, tries: tries, run: run}
	for found := true; found; {
		found = k.faults()
		found = k.steps() || found
		found = k.settings() || found
	}
	return k.best
}

type shrinker struct {
	best  Script
	tries int
	run   func(Script) (Script, bool)
}

// try runs a script that is smaller than the best, and keeps it if it fails.
func (k *shrinker) try(s Script) bool {
	if k.tries == 0 {
		return false
	}
	k.tries--
	went, fails := k.run(s)
	if fails {
		k.best = went
	}
	return fails
}

// faults leaves faults out.
func (k *shrinker) faults() bool {
	return k.less(func() int { return k.best.Faults() }, func(from, to int) (steps []Step) {
		n := 0
		for _, step := range k.best.Steps {
			if step.Fault != "" {
				if from <= n && n < to {
					step.Fault = ""
				}
				n++
			}
			steps = append(steps, step)
		}
		return steps
	})
}

// steps leaves steps out.
func (k *shrinker) steps() bool {
	return k.less(func() int { return len(k.best.Steps) }, func(from, to int) []Step {
		return slices.Delete(slices.Clone(k.best.Steps), from, to)
	})
}

// less leaves parts out of count things, from the last to the first, so that what is
// still to be tried keeps its place.
func (k *shrinker) less(count func() int, without func(from, to int) []Step) (found bool) {
	for size := count(); size > 0; size /= 2 {
		for to := count(); to > 0; {
			from := max(0, to-size)
			s := k.best
			s.Steps = without(from, to)
			found = k.try(s) || found
			to = min(from, count())
		}
	}
	return found
}

// settings makes settings simpler.
func (k *shrinker) settings() (found bool) {
	for i := range k.best.Settings.all() {
		f := k.best.Settings.all()[i]
		for _, choice := range f.distinct() {
			s := k.best
			if choice == f.text() {
				break // the simpler ones stand before it
			}
			if err := s.Settings.all()[i].set(choice); err != nil {
				panic(err) // a choice that is no value of its field
			}
			if k.try(s) {
				found = true
				break
			}
		}
	}
	return found
}
