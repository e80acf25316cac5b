#!/usr/bin/env bash
# Makes a kind cluster with Istio, an egress gateway and this tree's chart, and writes its kubeconfig.
#   up.sh BIN KUBECONFIG    BIN holds kind, helm and kube-router; WEBHOOK_IMAGE, PROBE_IMAGE and DATABASE_IMAGE are images of the engine,
#                           and so are those of the file BEFORE, which before.sh writes.
#   KIND_NODE_IMAGE         node image; kind's own by default
#   ISTIO_HUB, ISTIO_TAG    Istio's images, loaded from the engine; the published ones of the release by default
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../../.."
bin=$1
export KUBECONFIG=$2
name=${CLUSTER:-egress-governor}
# The release whose API the module is built on.
release=$(go list -m -f '{{.Version}}' istio.io/api)
here=test/e2e/cluster
charts=$(cd test/routing && go mod download istio.io/istio && go list -m -f '{{.Dir}}' istio.io/istio)/manifests/charts
step() { echo "=== $*"; }

step "kind cluster $name"
"$bin/kind" get clusters -q | grep -qx "$name" ||
	"$bin/kind" create cluster --name "$name" --config "$here/kind.yaml" ${KIND_NODE_IMAGE:+--image "$KIND_NODE_IMAGE"} --wait 180s
# Pods run beside the control plane.
node() { docker exec "$name-control-plane" "$@"; }
kubectl() { docker exec -i "$name-control-plane" kubectl --kubeconfig /etc/kubernetes/admin.conf "$@"; }
kubectl taint node "$name-control-plane" node-role.kubernetes.io/control-plane- >/dev/null 2>&1 || true
kubectl drain "$name-worker" --ignore-daemonsets --delete-emptydir-data >/dev/null 2>&1 ||
	{ echo "$name has no node to spare: $bin/kind delete cluster --name $name"; exit 1; }
"$bin/kind" export kubeconfig --name "$name" --kubeconfig "$KUBECONFIG"

step "NetworkPolicies"
# kind's own network does not enforce them.
node systemctl is-active --quiet kube-router || {
	docker cp --quiet "$bin/kube-router" "$name-control-plane:/usr/local/bin/kube-router"
	node systemd-run --quiet --unit kube-router kube-router --kubeconfig /etc/kubernetes/admin.conf --hostname-override "$name-control-plane" \
		--run-firewall --run-router=false --run-service-proxy=false
}

step "images"
images=("$WEBHOOK_IMAGE" "$PROBE_IMAGE" "$DATABASE_IMAGE")
istiod=(-f "$here/istiod.yaml" --set "global.hub=${ISTIO_HUB:-istio}" --set "global.tag=${ISTIO_TAG:-${release#v}}")
if [ -n "${ISTIO_HUB:-}" ]; then
	images+=("$ISTIO_HUB/pilot:$ISTIO_TAG" "$ISTIO_HUB/proxyv2:$ISTIO_TAG")
	# Envoys other than Istio's own lack these filters.
	istiod+=(-f "$here/stock-envoy.yaml")
fi
"$bin/kind" load docker-image --name "$name" --nodes "$name-control-plane" "${images[@]}" $(cut -d' ' -f3 "$BEFORE")
"$bin/kind" load docker-image --name "$name" --nodes "$name-worker" "$WEBHOOK_IMAGE"

step "Gateway API"
api=$(cd test && go mod download sigs.k8s.io/gateway-api && go list -m -f '{{.Dir}}' sigs.k8s.io/gateway-api)
awk 'FNR == 1 {print "---"} 1' "$api"/config/crd/standard/*.yaml |
	kubectl apply --server-side -f - >/dev/null

step "Istio"
helm() { "$bin/helm" upgrade --install --namespace istio-system --create-namespace --wait --timeout 5m "$@" >/dev/null; }
helm istio-base "$charts/base"
helm istiod "$charts/istio-control/istio-discovery" "${istiod[@]}"
helm istio-egressgateway "$charts/gateway" -f "$here/gateway.yaml"

step "egress-governor"
# A cluster that was kept has pods of the image that had the tag before.
"$bin/helm" upgrade --install egress-governor charts/egress-governor --namespace egress-governor --create-namespace --wait --timeout 3m \
	-f "$here/egress-governor.yaml" --set "image.repository=${WEBHOOK_IMAGE%:*}" --set-string "image.tag=${WEBHOOK_IMAGE##*:}" \
	--set-string "podAnnotations.image=$(docker image inspect --format '{{.Id}}' "$WEBHOOK_IMAGE")"
