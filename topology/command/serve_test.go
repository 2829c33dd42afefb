package command

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
)

// served starts an endpoint and returns the address that the log names.
func served(t *testing.T, e endpoint) (addr string, stop func() error) {
	t.Helper()
	var log strings.Builder
	stop, err := e.serve(t.Context(), http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "here")
	}), slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	_, addr, _ = strings.Cut(log.String(), "http=")
	return strings.TrimSpace(addr), stop
}

func get(ctx context.Context, addr string) (string, error) {
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr, nil)
	if err != nil {
		return "", err
	}
	r, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(q)
	if err != nil {
		return "", err
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	return string(b), err
}

func TestServesUntilItIsStopped(t *testing.T) {
	t.Parallel()
	addr, stop := served(t, endpoint{addr: "localhost:0"})
	if body, err := get(t.Context(), addr); err != nil || body != "here" {
		t.Errorf("got %q, %v", body, err)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	if _, err := get(t.Context(), addr); err == nil {
		t.Error("it answers after it was stopped")
	}
}

func TestATakenPortIsAnErrorOnlyWhereItWasChosen(t *testing.T) {
	t.Parallel()
	taken, stop := served(t, endpoint{addr: "localhost:0"})
	defer func() { _ = stop() }()
	other, stopOther := served(t, endpoint{addr: taken})
	defer func() { _ = stopOther() }()
	if body, err := get(t.Context(), other); other == taken || err != nil || body != "here" {
		t.Errorf("at %s of %s: %q, %v", other, taken, body, err)
	}
	_, err := endpoint{addr: taken, chosen: true}.serve(t.Context(), nil, slog.New(slog.DiscardHandler))
	var coded exitError
	if !errors.As(err, &coded) || coded.code != exitUsage || !strings.Contains(coded.next, "--http=") {
		t.Errorf("got %v", err)
	}
	if addr, stop := served(t, endpoint{}); addr != "" || stop() != nil {
		t.Errorf("an empty address is served at %s", addr)
	}
}
