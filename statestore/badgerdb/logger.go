package badgerdb

import (
	"fmt"
	"sync"
)

// A logger takes what Badger says. Work in Badger's background that fails is told
// to nobody else, and Badger goes on; so a complaint is a failure. It is safe for
// concurrent use.
type logger struct {
	broken chan struct{} // closed by the first complaint

	mu  sync.Mutex // guards the rest
	err error
	to  *logger // takes what is said; nil: this one does
}

func newLogger() *logger { return &logger{broken: make(chan struct{})} }

// failure returns the first complaint.
func (l *logger) failure() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// passOn has another one take what was and is said.
func (l *logger) passOn(to *logger) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.to = to; l.err != nil {
		to.complain("%w", []any{l.err})
	}
}

func (l *logger) complain(format string, args []any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.to != nil {
		l.to.complain(format, args)
		return
	}
	if l.err != nil {
		return
	}
	l.err = fmt.Errorf("badgerdb: in the background: "+format, args...)
	close(l.broken)
}

// Errorf implements badger.Logger.
func (l *logger) Errorf(format string, args ...any) { l.complain(format, args) }

// Warningf implements badger.Logger.
func (l *logger) Warningf(format string, args ...any) { l.complain(format, args) }

// Infof implements badger.Logger.
func (l *logger) Infof(string, ...any) {}

// Debugf implements badger.Logger.
func (l *logger) Debugf(string, ...any) {}
