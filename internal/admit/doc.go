// Package admit is the edge between the API server and the decisions: it turns an AdmissionReview into objects and
// facts, lets packages hop and policy decide, and turns what they say into an answer. Everything that is not a clear
// yes is a no: a request that does not decode, a namespace that cannot be read, a policy that cannot be evaluated.
package admit
