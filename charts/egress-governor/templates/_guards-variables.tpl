{{/* What container istio-proxy may have of variables: `like` is of names that lead no calls elsewhere, in any pod, `injected` of those that Istio's
injector puts in. What it writes of the addresses of istiod and the CA is `controlPlane`, of other addresses `address`, and of names in
PROXY_CONFIG `setting`; `ofPod` are the fields of the pod that stand for themselves. */}}
{{- define "egress-governor.guard.variables" -}}
{{- $settings := include "egress-governor.guard.proxyConfig" . | fromYaml }}
{{- $mesh := replace "." "[.]" .Values.config.meshConfig.namespace }}
{{- $domain := replace "." "[.]" .Values.config.clusterDomain }}
like: {{ printf "^(%s)$" (join "|" $settings.variables) | quote }}
injected: {{ printf "^(%s)$" (join "|" (list
  "REWRITE_PROBE_LEGACY_LOCALHOST_DESTINATION" "PILOT_CERT_PROVIDER" "JWT_POLICY" "ISTIO_CPU_LIMIT" "GOMEMLIMIT" "GOMAXPROCS" "COMPLIANCE_POLICY" "TRUST_DOMAIN" "OTEL_RESOURCE_ATTRIBUTES"
  "ISTIO_PROMETHEUS_ANNOTATIONS" "ISTIO_KUBE_APP_PROBERS" "DD_[A-Z0-9_]+" "ISTIO_META_(?:POD_PORTS|APP_CONTAINERS|CLUSTER_ID|NETWORK|WORKLOAD_NAME|OWNER|MESH_ID|ENABLE_HBONE)")) | quote }}
ofPod: {{ "^(POD_NAME|POD_NAMESPACE|INSTANCE_IP|SERVICE_ACCOUNT|HOST_IP|ISTIO_META_NODE_NAME)$" | quote }}
controlPlane: {{ printf "istiod(-[a-z0-9-]+)?[.]%s[.]svc([.]%s)?(:[0-9]+)?" $mesh $domain | quote }}
address: {{ printf "(([a-z0-9-]+[.])+(%s|svc([.]%s)?)|[$][(]HOST_IP[)])(:[0-9]+)?" $mesh $domain | quote }}
setting: {{ printf "^\"(%s)\"\\s*:$" (concat $settings.fields $settings.variables (list "discoveryAddress" "controlPlaneAuthPolicy" "interceptionMode" "meshId" "image" "imageType" "zipkin" "datadog" "address"
  "statsdUdpAddress" "envoyAccessLogService" "envoyMetricsService" "tcpKeepalive" "time" "interval" "probes" "literal" "environment" "header") | uniq | join "|") | quote }}
{{- end -}}

{{/* CEL: whether `variable` is one that leads no calls elsewhere, or that values name. */}}
{{- define "egress-governor.guard.harmlessVariable" -}}
{{- $of := include "egress-governor.guard.variables" . | fromYaml -}}
variable.name.matches(r'{{ $of.like }}') && (variable.name != "ISTIO_META_DNS_CAPTURE" || variable.?value.orValue("") == "true") ||
{{ include "egress-governor.guard.namedVariables" . }}.exists(known, known == variable.name)
{{- end -}}

{{- define "egress-governor.guard.namedVariables" -}}
{{ concat (.Values.guards.traffic.allowedProxyConfig | default list) (.Values.guards.injection.allowedVariables | default list) | uniq | toJson }}
{{- end -}}

{{/* CEL: whether `variable`, which the injector put in or a tenant did, may be one of a pod's istio-proxy. */}}
{{- define "egress-governor.guard.variableOfPod" -}}
{{- $of := include "egress-governor.guard.variables" . | fromYaml -}}
{{- $named := include "egress-governor.guard.namedVariables" . -}}
{{- $others := .Values.guards.injection.controlPlane | default list | toJson -}}
{{- $token := `"([^"\\$]|\\["\\/bfnrt]|[$][(](POD_NAME|POD_NAMESPACE|INSTANCE_IP|HOST_IP)[)])*"` -}}
variable.name.matches(r'{{ $of.injected }}') ||
variable.name.matches(r'{{ $of.ofPod }}') && variable.?valueFrom.?fieldRef.?fieldPath.orValue("") in ["metadata.name", "metadata.namespace", "status.podIP", "status.podIPs", "status.hostIP", "spec.serviceAccountName", "spec.nodeName"] ||
variable.name == "GODEBUG" && variable.?value.orValue("") == "fips140=only" ||
variable.name == "ISTIO_META_INTERCEPTION_MODE" && variable.?value.orValue("") in ["REDIRECT", "TPROXY"] ||
variable.name == "CA_ADDR" && (variable.?value.orValue("").matches(r'^{{ $of.controlPlane }}$') || {{ $others }}.exists(known, known == variable.?value.orValue(""))) ||
variable.name == "PROXY_CONFIG" && variable.?value.orValue("").size() < 16384 && variable.?value.orValue("").matches(r'^([{}\[\],:\s]|{{ $token }}|-?[0-9.]+|true|false|null)*$') &&
variable.?value.orValue("").findAll(r'{{ $token }}\s*:').all(key, key.matches(r'{{ $of.setting }}') || {{ $named }}.exists(known, key.startsWith('"' + known + '"'))) &&
variable.?value.orValue("").findAll(r'"(discoveryAddress|controlPlaneAuthPolicy|interceptionMode|address|statsdUdpAddress|ISTIO_META_DNS_CAPTURE)"\s*:\s*("[^"]*"|[^"])').all(set,
set.matches(r'^"controlPlaneAuthPolicy"\s*:\s*"MUTUAL_TLS"$|^"ISTIO_META_DNS_CAPTURE"\s*:\s*"true"$|^"interceptionMode"\s*:\s*"(REDIRECT|TPROXY)"$|^"discoveryAddress"\s*:\s*"{{ $of.controlPlane }}"$|^"(address|statsdUdpAddress)"\s*:\s*"{{ $of.address }}"$') ||
{{ $others }}.exists(known, set.startsWith('"discoveryAddress"') && set.endsWith('"' + known + '"')) || {{ $named }}.exists(known, set.startsWith('"' + known + '"')))
{{- end -}}
