package command

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"syscall"
	"time"
)

// defaultHTTP is where metrics and health are served unless somebody says otherwise:
// for this machine only.
const defaultHTTP = "localhost:9464"

// endpoint is where metrics and health are served.
type endpoint struct {
	addr   string // empty: nowhere
	chosen bool   // somebody asked for addr; else another port will do
}

// closeWait bounds the wait for answers that are being written.
const closeWait = 5 * time.Second

// serve serves the handler until stop is called. Where the default port is taken, by
// another instance on this machine, it takes a free one; the log says which.
func (e endpoint) serve(ctx context.Context, h http.Handler, log *slog.Logger) (stop func() error, err error) {
	if e.addr == "" {
		return func() error { return nil }, nil
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", e.addr)
	if errors.Is(err, syscall.EADDRINUSE) && !e.chosen {
		host, _, _ := net.SplitHostPort(e.addr)
		l, err = lc.Listen(ctx, "tcp", net.JoinHostPort(host, "0"))
	}
	if err != nil {
		return nil, exitError{exitUsage, fmt.Errorf("serving metrics and health: %w", err), "give --http another address, or --http= for none"}
	}
	log.Info("serving metrics and health", "http", l.Addr().String())
	server := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	return func() error {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeWait)
		defer cancel()
		err := server.Shutdown(closing)
		if err != nil {
			err = errors.Join(err, server.Close())
		}
		if served := <-ended; !errors.Is(served, http.ErrServerClosed) {
			err = errors.Join(err, served)
		}
		return err
	}, nil
}
