package storetest

import (
	"testing"

	"github.com/streamrun/streamrun/statestore"
)

func TestMemory(t *testing.T) {
	t.Parallel()
	Run(t, func(*testing.T) Place {
		return Place{Open: func() (statestore.Backend, error) { return statestore.NewMemory(), nil }}
	})
}
