package certs

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/egress-governor/egress-governor/internal/clocktest"
)

// TestAClockThatJumpsHasNoCertificateMadeAnew that is sound, and none more often than once a minute that is not: neither a day forward nor
// a day back is a reason, and neither is longer or shorter for the pause between two.
func TestAClockThatJumpsHasNoCertificateMadeAnew(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	synctest.Test(t, func(t *testing.T) {
		clock := &clocktest.Clock{}
		f := follow(t, interceptor.Funcs{}, secret(nil, nil))
		f.now = clock.Now
		stored := func() *corev1.Secret {
			out := &corev1.Secret{}
			require.NoError(t, f.cluster.Get(t.Context(), secretName, out))
			return out
		}
		fill := func(authority []byte) *corev1.Secret {
			now := stored()
			crt, key := pair(t, 1)
			now.Data = map[string][]byte{"ca.crt": authority, "tls.crt": crt, "tls.key": key}
			require.NoError(t, f.cluster.Update(t.Context(), now))
			// The API server's clock is right.
			now.ManagedFields = []metav1.ManagedFieldsEntry{{Time: &metav1.Time{Time: time.Now()}}}
			f.informer.Add(now)
			return now
		}
		sound := fill(begins(t, time.Now().Add(-time.Hour)))
		for _, by := range []time.Duration{day, -day, -day, day} {
			clock.Jump(by)
			f.informer.Update(sound, sound)
			time.Sleep(2 * betweenRenewals)
			synctest.Wait()
			assert.NotEmpty(t, stored().Data, "after a jump by %s", by)
			assert.Equal(t, int64(1), served(t, f.source))
		}

		const minutes = 40
		renewed := 0
		for minute := range minutes {
			switch minute % 20 {
			case 5:
				clock.Jump(-day)
			case 15:
				clock.Jump(day)
			}
			if fill(begins(t, time.Now().Add(2*time.Hour))); len(stored().Data) == 0 {
				renewed++
				fill(begins(t, time.Now().Add(2*time.Hour)))
			}
			assert.NotEmpty(t, stored().Data, "a second one in minute %d", minute)
			time.Sleep(betweenRenewals + time.Second)
			synctest.Wait()
			if len(stored().Data) == 0 {
				renewed++
			}
		}
		assert.Equal(t, minutes+1, renewed, "the first at once, then each that its maker made in a minute")
	})
}
