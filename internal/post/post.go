// Package post asks a daemon for something by HTTP: that it end, or that it read its files again. It goes where it is told: through no proxy and after no redirect. It must never
// hand on what the daemon answers.
package post

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// ErrRefused is a request that reached nobody, or whose answer says no.
var ErrRefused = errors.New("refused")

// maxAnswer is how much of an answer is read before the connection is closed, only to let the daemon finish writing.
const maxAnswer = 64 << 10

// To sends an empty POST and wants an answer of 200 to 299. Anything else, and nobody to answer, is an error that wraps ErrRefused; where the connection broke, or ctx ended,
// nobody knows what the daemon makes of it.
func To(ctx context.Context, url string) error {
	client := http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true, DialContext: (&net.Dialer{Timeout: 5 * time.Second}).DialContext},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, nil)
	if err != nil {
		return fmt.Errorf("%w: %w", err, ErrRefused)
	}
	resp, err := client.Do(req)
	var dial *net.OpError
	switch {
	case errors.As(err, &dial) && dial.Op == "dial":
		return fmt.Errorf("%w: %w", err, ErrRefused)
	case err != nil:
		return err
	}
	defer resp.Body.Close()
	io.CopyN(io.Discard, resp.Body, maxAnswer) // its status was the answer
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return fmt.Errorf("POST %s: it answered %s: %w", req.URL.Redacted(), resp.Status, ErrRefused)
	}
	return nil
}
