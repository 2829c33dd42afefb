package runner

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/streamrun/streamrun/topology/internal/graph"
)

// ErrInUse says that another process runs on the data directory, or under the name, of
// this instance.
var ErrInUse = errors.New("another process has it")

// identity is what an instance keeps of itself.
type identity struct {
	instance string
	workers  int // producers that may have left a transaction open
}

const identityFormat = "1"

// String returns the file's content.
func (i identity) String() string {
	return identityFormat + " " + i.instance + " " + strconv.Itoa(i.workers) + "\n"
}

func parseIdentity(s string) (identity, error) {
	line, ok := strings.CutSuffix(s, "\n")
	words := strings.Split(line, " ")
	switch {
	case !ok || len(words) != 3:
		return identity{}, errors.New("not a line of format, name and workers")
	case words[0] != identityFormat:
		return identity{}, fmt.Errorf("unknown format %q", words[0])
	}
	if err := graph.CheckName(words[1]); err != nil {
		return identity{}, err
	}
	n, err := strconv.Atoi(words[2])
	if err != nil || n < 0 || n > 1<<16 || strconv.Itoa(n) != words[2] {
		return identity{}, fmt.Errorf("%q workers", words[2])
	}
	return identity{words[1], n}, nil
}

// home is where an instance keeps what outlives its process. Without a directory it
// keeps nothing.
type home struct {
	identity
	static bool // the name will be the same next time
	dir    string
	lock   *os.File
}

// openHome opens the directory of an app's instance below the data directory, and
// locks it. The name given counts before the one kept, and that before a new one.
func openHome(dataDir, app, instance string, newName func() string) (*home, error) {
	if dataDir == "" {
		h := &home{identity: identity{instance: instance}, static: instance != ""}
		if instance == "" {
			h.instance = newName()
		}
		return h, nil
	}
	h := &home{dir: filepath.Join(dataDir, app), static: true}
	if err := os.MkdirAll(h.dir, 0o755); err != nil {
		return nil, fmt.Errorf("runner: opening the data directory: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(h.dir, "lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("runner: opening the data directory: %w", err)
	}
	if err := lock(f); err != nil {
		return nil, errors.Join(fmt.Errorf("runner: locking the data directory %s: %w", h.dir, err), f.Close())
	}
	h.lock = f
	if err := h.read(instance, newName); err != nil {
		return nil, errors.Join(err, h.Close())
	}
	return h, nil
}

func (h *home) file() string { return filepath.Join(h.dir, "instance") }

func (h *home) read(instance string, newName func() string) error {
	b, err := os.ReadFile(h.file())
	switch {
	case errors.Is(err, fs.ErrNotExist):
		h.instance = newName()
	case err != nil:
		return fmt.Errorf("runner: reading the instance's name: %w", err)
	default:
		if h.identity, err = parseIdentity(string(b)); err != nil {
			return fmt.Errorf("runner: %s: %w; put it back, or remove it for a new name", h.file(), err)
		}
	}
	if instance != "" && instance != h.instance {
		h.identity = identity{instance: instance}
	}
	return nil
}

// keep writes the number of workers down before they may open a transaction.
func (h *home) keep(workers int) error {
	h.workers = workers
	if h.dir == "" {
		return nil
	}
	next := h.file() + ".new"
	f, err := os.Create(next)
	if err == nil {
		_, err = f.WriteString(h.String())
		err = errors.Join(err, f.Sync(), f.Close())
	}
	if err == nil {
		err = os.Rename(next, h.file())
	}
	if err != nil {
		return fmt.Errorf("runner: keeping the instance's name: %w", err)
	}
	return nil
}

// Close gives the directory back.
func (h *home) Close() error {
	if h.lock == nil {
		return nil
	}
	return unlock(h.lock)
}

// randomName draws a name for an instance.
func randomName() string { return strings.ToLower(rand.Text()[:10]) }
