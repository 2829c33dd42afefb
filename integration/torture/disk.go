//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/streamrun/streamrun/topology/runner"
)

// damage is what was done to the directory of one task.
type damage struct {
	fault int
	kind  string
	task  string
	*process
}

// cutEvery is the distance of two places at which a directory is cut.
const cutEvery = 512

// disk kills an instance, damages the directory of every task that it has there, and
// starts it again.
func (d *drill) disk(ctx context.Context, i int) error {
	p, err := d.victim(ctx)
	if err != nil {
		return err
	}
	if err := p.kill(); err != nil {
		return err
	}
	dirs, err := filepath.Glob(filepath.Join(d.fleet.home(p.name), d.app(), "*_*"))
	if err != nil {
		return err
	}
	kind := []string{"lost", "flipped", "cut"}[i%3]
	var done []damage
	for _, dir := range dirs {
		what := "all of it"
		switch kind {
		case "lost":
			err = os.RemoveAll(dir)
		case "flipped":
			what, err = flip(dir, d.rng.Int64N)
		case "cut":
			what, err = shorten(dir, cutEvery*d.places)
			d.places++
		}
		if err != nil {
			return err
		}
		done = append(done, damage{i + 1, kind, filepath.Base(dir), nil})
		d.say("disk %d: %s of %s %s: %s", i+1, filepath.Base(dir), p.name, kind, what)
	}
	again, err := d.fleet.start(p.name)
	if err != nil {
		return err
	}
	for n := range done {
		done[n].process = again
	}
	d.damages = append(d.damages, done...)
	return d.until(ctx, d.session+time.Minute, "the one that was killed runs again", func() bool {
		s, _ := again.state()
		return s.Phase == runner.Running && s.Tasks > 0
	})
}

// content is the files of a directory that hold something, and how much: a log is
// longer than what is in it.
func content(dir string) (files []string, sizes []int64, err error) {
	all, err := filepath.Glob(filepath.Join(dir, "rows", "*"))
	if err != nil {
		return nil, nil, err
	}
	slices.Sort(all)
	for _, f := range all {
		b, err := os.ReadFile(f)
		if err != nil {
			return nil, nil, err
		}
		if n := len(bytes.TrimRight(b, "\x00")); n > 0 {
			files, sizes = append(files, f), append(sizes, int64(n))
		}
	}
	return files, sizes, nil
}

// flip flips a bit of a byte of the directory.
func flip(dir string, draw func(n int64) int64) (string, error) {
	files, sizes, err := content(dir)
	if err != nil || len(files) == 0 {
		return "nothing is there", err
	}
	total := int64(0)
	for _, size := range sizes {
		total += size
	}
	n, at := 0, draw(total)
	for ; at >= sizes[n]; n++ {
		at -= sizes[n]
	}
	f, err := os.OpenFile(files[n], os.O_RDWR, 0)
	if err != nil {
		return "", err
	}
	var b [1]byte
	_, err = f.ReadAt(b[:], at)
	b[0] ^= 1 << draw(8)
	if err == nil {
		_, err = f.WriteAt(b[:], at)
	}
	return fmt.Sprintf("byte %d of %s", at, filepath.Base(files[n])), errors.Join(err, f.Close())
}

// shorten cuts one file of the directory: the one in which the place is, if their contents
// stand one behind the other, again and again.
func shorten(dir string, place int64) (string, error) {
	files, sizes, err := content(dir)
	if err != nil || len(files) == 0 {
		return "nothing is there", err
	}
	total := int64(0)
	for _, n := range sizes {
		total += (n + cutEvery - 1) / cutEvery * cutEvery
	}
	place %= total
	for n, size := range sizes {
		if place < size {
			return fmt.Sprintf("%s after %d of its %d bytes", filepath.Base(files[n]), place, size), os.Truncate(files[n], place)
		}
		place -= (size + cutEvery - 1) / cutEvery * cutEvery
	}
	return "", fmt.Errorf("torture: %s has no place %d", dir, place)
}

// sayDamages tells what became of the directories; that no state is wrong, the judge
// says. It is wrong if a lost directory was found.
func (d *drill) sayDamages() {
	counts := map[string]map[string]int{"lost": {}, "flipped": {}, "cut": {}}
	for _, m := range d.damages {
		all, _ := m.restored()
		at := slices.IndexFunc(all, func(r restore) bool { return r.Task == m.task })
		end := "not needed" // another instance has the task
		switch {
		case at < 0:
		case all[at].Refused != "":
			end = "refused"
		case all[at].Checkpoint != "":
			end = "used" // nothing of value was hit, or what a log had last
		default:
			end = "empty"
		}
		counts[m.kind][end]++
		if m.kind == "lost" && end == "used" {
			d.no("disk %d: %s had no directory, and a checkpoint: %s", m.fault, m.task, all[at].Checkpoint)
		}
	}
	for _, kind := range []string{"lost", "flipped", "cut"} {
		var words []string
		for _, end := range []string{"refused", "used", "empty", "not needed"} {
			words = append(words, fmt.Sprintf("%s %d", end, counts[kind][end]))
		}
		fmt.Fprintf(d.out, "directories %s: %s\n", kind, strings.Join(words, ", "))
	}
}
