package controlplane

import (
	"context"
	"io"
	"net/http"
)

// Scrape returns the metrics of the webhook, as Prometheus reads them.
func (c *ControlPlane) Scrape(ctx context.Context) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.Metrics, nil)
	if err != nil {
		return "", err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer func() { _ = response.Body.Close() }() // it was read
	raw, err := io.ReadAll(response.Body)
	return string(raw), err
}
