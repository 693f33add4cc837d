// Command hello is the daemon that the examples run: an HTTP server that greets, says that it is well, rereads its config when asked, and ends
// cleanly when asked: what is under way is answered first. It needs nothing but the standard library. Where it is handed sockets, as in sd_listen_fds(3), it serves on those: then who
// connects while it restarts waits for it.
//
// It must never do more than an example needs: it has no state, no TLS, and answers whoever can reach its address.
//
//	GET /            "Hello, world! This is NAME, process PID."
//	GET /healthz     200 "ok", and 503 once it has been asked to end
//	POST /reload     rereads -config, as SIGHUP does; 500 with the reason where it can't, and the old config stays
//	POST /shutdown   ends it, as SIGTERM and SIGINT do: requests under way are answered first
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// grace is how long requests under way may take once hello was asked to end.
const grace = 5 * time.Second

func main() {
	addr := flag.String("addr", "127.0.0.1:28101", "the address to listen on, where no socket is handed over")
	name := flag.String("name", "hello", "the name to greet with")
	config := flag.String("config", "", `a JSON file as {"greeting": "Hello"}; without one it is Hello`)
	flag.Parse()

	log := slog.New(slog.NewTextHandler(os.Stdout, nil)).With("name", *name, "pid", os.Getpid())
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if err := run(ctx, *addr, *name, *config, log); err != nil {
		log.Error("stopped", "error", err)
		os.Exit(1)
	}
	log.Info("stopped")
}

// run serves until ctx ends or somebody posts to /shutdown.
func run(ctx context.Context, addr, name, config string, log *slog.Logger) error {
	g, err := newGreeter(name, config, log)
	if err != nil {
		return err
	}
	listeners, err := listen(addr)
	if err != nil {
		return err
	}
	reloads := make(chan os.Signal, 1)
	signal.Notify(reloads, syscall.SIGHUP)
	defer signal.Stop(reloads)

	server := &http.Server{Handler: g.handler(), ReadHeaderTimeout: grace}
	served := make(chan error, len(listeners))
	for _, l := range listeners {
		go func() { served <- server.Serve(l) }()
		log.Info("listening", "addr", l.Addr().String())
	}
	for {
		select {
		case err := <-served:
			return fmt.Errorf("serve: %w", err)
		case <-reloads:
			if err := g.reload(); err != nil {
				log.Error("reload", "error", err)
			}
		case <-g.shutdown:
			return drain(ctx, server, g, log)
		case <-ctx.Done():
			return drain(ctx, server, g, log)
		}
	}
}

// drain answers what is under way and then returns. ctx may have ended already.
func drain(ctx context.Context, server *http.Server, g *greeter, log *slog.Logger) error {
	log.Info("ending")
	g.ending.Store(true)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil {
		return errors.Join(fmt.Errorf("end within %s: %w", grace, err), server.Close())
	}
	return nil
}
