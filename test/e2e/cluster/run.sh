#!/usr/bin/env bash
# Makes the cluster, runs the tests, leaves what explains a failure in FOLDER and deletes the cluster.
#   run.sh BIN FOLDER    KEEP=1 keeps the cluster, RUN names the tests as go test -run does
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
bin=$1
folder=$2
name=${CLUSTER:-egress-governor}
export KUBECONFIG=$folder/kubeconfig

# The node has one, whatever the machine has.
kubectl() { docker exec "$name-control-plane" kubectl --kubeconfig /etc/kubernetes/admin.conf "$@"; }

explain() {
	echo "=== what failed"
	grep -E -A 9 '^ +Error Trace:|^panic: |^ *[a-z_]+_test\.go:[0-9]+: .*(not answered|not told)' "$folder/tests.txt" | cut -c 1-600 | tail -150 || true
	echo "=== what explains it: $folder"
	"$bin/kind" export logs --name "$name" "$folder/logs" >/dev/null 2>&1 || true
	kubectl get serviceentries,virtualservices,gateways,destinationrules,egresspolicies -A -o yaml >"$folder/objects.yaml" || true
	kubectl get events -A --sort-by=.lastTimestamp >"$folder/events.txt" || true
	kubectl get pods -A -o jsonpath='{range .items[?(@.metadata.annotations.istio\.io/rev)]}{.metadata.namespace} {.metadata.name}{"\n"}{end}' |
		while read -r namespace pod; do
			kubectl exec -n "$namespace" "$pod" -c istio-proxy -- pilot-agent request GET config_dump </dev/null >"$folder/envoy-$namespace-$pod.json" || true
		done
}

finish() {
	code=$?
	[ "$code" = 0 ] || explain
	[ -n "${KEEP:-}" ] || "$bin/kind" delete cluster --name "$name"
	exit "$code"
}
trap finish EXIT

"$here/up.sh" "$bin" "$KUBECONFIG"
echo "=== tests"
cd "$here/../.."
CONTROL_PLANE="$name-control-plane" HELM="$bin/helm" go test -tags e2e,grpcnotrace -count=1 -timeout 45m ${RUN:+-run "$RUN"} -v ./e2e 2>&1 | tee "$folder/tests.txt"
