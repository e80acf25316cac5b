package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"

	"github.com/egress-governor/egress-governor/internal/review"
)

// identity are the headers by which the API server knows who asks.
func identity(of *http.Request) http.Header {
	out := http.Header{}
	for name, values := range of.Header {
		if name == "Authorization" || strings.HasPrefix(name, "Impersonate-") {
			out[name] = values
		}
	}
	return out
}

// user asks the API server who asks.
func (t *teller) user(ctx context.Context, of *http.Request) (review.User, error) {
	headers := identity(of)
	raw, err := json.Marshal(headers)
	if err != nil {
		return review.User{}, err
	}
	key := fmt.Sprintf("%p %s", t.next, raw)
	t.lock.Lock()
	known, is := t.users[key]
	t.lock.Unlock()
	if is {
		return known, nil
	}
	who := &url.URL{Scheme: of.URL.Scheme, Host: of.URL.Host, Path: "/apis/authentication.k8s.io/v1/selfsubjectreviews"}
	ask, err := http.NewRequestWithContext(ctx, http.MethodPost, who.String(), strings.NewReader(`{"apiVersion":"authentication.k8s.io/v1","kind":"SelfSubjectReview"}`))
	if err != nil {
		return known, err
	}
	ask.Header = headers
	ask.Header.Set("Content-Type", "application/json")
	response, err := t.next.RoundTrip(ask)
	if err != nil {
		return known, err
	}
	defer func() { _ = response.Body.Close() }()
	var told authenticationv1.SelfSubjectReview
	if err := json.NewDecoder(response.Body).Decode(&told); err != nil {
		return known, err
	}
	known = review.User{Name: told.Status.UserInfo.Username, Groups: told.Status.UserInfo.Groups}
	t.lock.Lock()
	t.users[key] = known
	t.lock.Unlock()
	return known, nil
}

// differences tells what was compared, and returns how often both answers differed.
func differences() (out int) {
	planes.Lock()
	defer planes.Unlock()
	var told strings.Builder
	for i, plane := range planes.all {
		fmt.Fprintf(&told, "control plane %d: %s of comparing\n", i, plane.tally.spent.Round(time.Millisecond))
		for title, counted := range map[string]map[string]int{"compared": plane.tally.compared, "of these asked again": plane.tally.again, "left out": plane.tally.left} {
			for _, name := range slices.Sorted(maps.Keys(counted)) {
				fmt.Fprintf(&told, "  %s: %5d %s\n", title, counted[name], name)
			}
		}
		out += plane.tally.differences
	}
	file := filepath.Join("..", "..", ".run", "integration", "compared.txt")
	if err := os.WriteFile(file, []byte(told.String()), 0o600); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	fmt.Fprint(os.Stderr, told.String())
	return out
}
