package main

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/review"
)

// TestALoggedDecisionIsBounded, has the request's UID, and what policies saw, or as much as is known where none was asked.
func TestALoggedDecisionIsBounded(t *testing.T) {
	t.Parallel()
	object := &unstructured.Unstructured{Object: map[string]any{"kind": "ServiceEntry"}}
	req := review.Request{UID: "u", Operation: review.Create, Object: object, Name: "x", Namespace: review.Namespace{Name: "payments"}, User: review.User{Name: "jane"}}
	outcome := &review.Outcome{Verdict: review.Denied, Asked: []string{"p"}}
	for i := range 150 {
		outcome.Findings = append(outcome.Findings, review.Finding{Finding: egress.Finding{Code: "c", Field: fmt.Sprint(i), Message: "m"}, Effect: review.Denied, Policy: "p", Library: "l"})
	}
	of := decision(req, outcome)
	assert.Equal(t, "u", of.ID)
	result := of.Result.(map[string]any)
	assert.Len(t, result["findings"], 100)
	assert.Equal(t, 50, result["findingsLeftOut"])
	assert.Equal(t, map[string]any{"policy": "p", "library": "l", "code": "c", "field": "0", "message": "m", "effect": "denied"}, result["findings"].([]any)[0])
	assert.Equal(t, "denied", result["verdict"])
	assert.Equal(t, map[string]any{
		"operation": "CREATE", "kind": "ServiceEntry", "name": "x", "namespace": map[string]any{"name": "payments"}, "user": map[string]any{"name": "jane"},
	}, of.Input)
	outcome.Input = map[string]any{"kind": "ServiceEntry", "all": true}
	assert.Equal(t, outcome.Input, decision(req, outcome).Input)
}
