package runner

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAnInstanceKeepsItsNameAndItsWorkers(t *testing.T) {
	dir := t.TempDir()
	h, err := openHome(dir, app, "", randomName)
	if err != nil {
		t.Fatal(err)
	}
	if !h.static || h.instance == "" || h.workers != 0 {
		t.Fatalf("new: %+v", h.identity)
	}
	if _, err := openHome(dir, app, "", randomName); !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), dir) {
		t.Errorf("opened twice: %v", err)
	}
	if err := h.keep(3); err != nil {
		t.Fatal(err)
	}
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := openHome(dir, app, "", randomName)
	if err != nil {
		t.Fatal(err)
	}
	if again.identity != (identity{h.instance, 3}) {
		t.Errorf("again: %+v, want %s and 3 workers", again.identity, h.instance)
	}
	again.Close()
	given, err := openHome(dir, app, "mine", randomName)
	if err != nil {
		t.Fatal(err)
	}
	defer given.Close()
	if given.identity != (identity{"mine", 0}) {
		t.Errorf("with a name given: %+v", given.identity)
	}
}

func TestWithoutADirectoryNothingIsKept(t *testing.T) {
	a, err := openHome("", app, "", randomName)
	if err != nil {
		t.Fatal(err)
	}
	b, err := openHome("", app, "", randomName)
	if err != nil {
		t.Fatal(err)
	}
	if a.static || a.instance == b.instance {
		t.Errorf("%+v and %+v", a, b)
	}
	if c, err := openHome("", app, "mine", randomName); err != nil || !c.static || c.instance != "mine" {
		t.Errorf("%+v, %v", c, err)
	}
	if err := a.keep(2); err != nil {
		t.Error(err)
	}
}

func TestADamagedInstanceFileIsRefused(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, app), 0o755); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, app, "instance")
	if err := os.WriteFile(file, []byte("1 name\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openHome(dir, app, "", randomName); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("got: %v", err)
	}
}

func TestInstanceFileGolden(t *testing.T) {
	b, err := os.ReadFile("testdata/instance.golden")
	if err != nil {
		t.Fatal(err)
	}
	got, err := parseIdentity(string(b))
	if want := (identity{"k3jx0q2mfa", 4}); err != nil || got != want {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
	if got.String() != string(b) {
		t.Errorf("written again: %q", got.String())
	}
}

func FuzzInstanceFile(f *testing.F) {
	for _, s := range []string{"1 a 0\n", "1 a 00\n", "2 a 0\n", "1 a -1\n", "1  0\n", "1 a 1", "1 a 1\n\n", "1 a b 1\n", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if i, err := parseIdentity(s); err == nil && i.String() != s {
			t.Errorf("%q was read as %+v, which is written %q", s, i, i.String())
		}
	})
}
