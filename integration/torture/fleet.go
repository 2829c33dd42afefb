//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/streamrun/streamrun/topology/runner"
)

// fleet is the instances of the app. It is used by one goroutine.
type fleet struct {
	program string
	dir     string // of the data directories
	common  []string
	store   string
	alive   map[string]*process
	all     []*process // every life of every instance
}

func newFleet(dir string, brokers []string, o *options) (*fleet, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("torture: %w", err)
	}
	return &fleet{
		program: program, dir: dir, alive: map[string]*process{},
		common: []string{"app", "-app", o.app(), "-brokers", strings.Join(brokers, ","), "-session", o.session.String(), "-transaction", o.transaction.String(), "-workers", fmt.Sprint(o.workers)}, store: o.store,
	}, nil
}

// start starts an instance under its name, with its own data directory.
func (f *fleet) start(name string) (*process, error) {
	return f.launch(name, "-instance", name, "-data-dir", f.home(name), "-store", f.store)
}

// home is the data directory of an instance.
func (f *fleet) home(name string) string { return filepath.Join(f.dir, name) }

// guest starts an instance without a name: it leaves the group when it stops.
func (f *fleet) guest(name string) (*process, error) { return f.launch(name) }

func (f *fleet) launch(name string, args ...string) (*process, error) {
	p, err := startProcess(name, f.program, append(append([]string{}, f.common...), args...)...)
	if err != nil {
		return nil, err
	}
	f.alive[name] = p
	f.all = append(f.all, p)
	return p, nil
}

// surprise returns an error if a process ended that should not have.
func (f *fleet) surprise() error {
	for _, p := range f.alive {
		if err := p.surprise(); err != nil {
			return err
		}
	}
	return nil
}

// tasks returns how many tasks the instances run, without those that are named.
func (f *fleet) tasks(without ...string) int {
	n := 0
	for name, p := range f.alive {
		s, alive := p.state()
		skip := false
		for _, w := range without {
			skip = skip || w == name
		}
		if alive && !skip && s.Phase == runner.Running {
			n += s.Tasks
		}
	}
	return n
}

// stop stops all instances in order.
func (f *fleet) stop() error {
	var errs []error
	for name, p := range f.alive {
		errs = append(errs, p.stop(time.Minute))
		delete(f.alive, name)
	}
	return errors.Join(errs...)
}

// end kills what is left.
func (f *fleet) end() {
	for _, p := range f.all {
		if !p.ended() {
			_ = p.kill() // it is gone then, or was before
		}
	}
}
