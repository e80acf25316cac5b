{{/* What container istio-proxy may have of variables: `like` is of names that lead no calls elsewhere, in any pod, `injected` of those that Istio's
injector puts in. What it writes of the addresses of istiod and the CA is `controlPlane`, of other addresses `address`, and of names in
PROXY_CONFIG `setting`; `ofPod` are the fields of the pod that stand for themselves. `identity` is what the webhooks of EKS and AKS put into every
container: by it Envoy would know what to sign requests with, and Istio's agent reads none of it. Envoy makes names to call of a region, and calls the URI. */}}
{{- define "egress-governor.guard.variables" -}}
{{- $settings := include "egress-governor.guard.proxyConfig" . | fromYaml }}
{{- $mesh := replace "." "[.]" .Values.config.meshConfig.namespace }}
{{- $domain := replace "." "[.]" .Values.config.clusterDomain }}
like: {{ printf "^(%s)$" (join "|" $settings.variables) | quote }}
injected: {{ printf "^(%s)$" (join "|" (list
  "REWRITE_PROBE_LEGACY_LOCALHOST_DESTINATION" "PILOT_CERT_PROVIDER" "JWT_POLICY" "ISTIO_CPU_LIMIT" "GOMEMLIMIT" "GOMAXPROCS" "COMPLIANCE_POLICY" "TRUST_DOMAIN" "OTEL_RESOURCE_ATTRIBUTES"
  "ISTIO_PROMETHEUS_ANNOTATIONS" "ISTIO_KUBE_APP_PROBERS" "DD_[A-Z0-9_]+" "ISTIO_META_(?:POD_PORTS|APP_CONTAINERS|CLUSTER_ID|NETWORK|WORKLOAD_NAME|OWNER|MESH_ID|ENABLE_HBONE)")) | quote }}
identity: {{ printf "^(%s)" (join "|" (list
  "AWS_(ROLE_ARN|WEB_IDENTITY_TOKEN_FILE|CONTAINER_AUTHORIZATION_TOKEN_FILE|STS_REGIONAL_ENDPOINTS)=" "AZURE_(CLIENT_ID|TENANT_ID|FEDERATED_TOKEN_FILE|AUTHORITY_HOST)="
  "AWS_(DEFAULT_)?REGION=[a-z0-9-]+$" "AWS_CONTAINER_CREDENTIALS_FULL_URI=http://(169[.]254[.]170[.]23|[[]fd00:ec2::23[]])/v1/credentials$")) | quote }}
ofPod: {{ "^(POD_NAME|POD_NAMESPACE|INSTANCE_IP|SERVICE_ACCOUNT|HOST_IP|ISTIO_META_NODE_NAME)$" | quote }}
controlPlane: {{ printf "istiod(-[a-z0-9-]+)?[.]%s[.]svc([.]%s)?(:[0-9]+)?" $mesh $domain | quote }}
address: {{ printf "(([a-z0-9-]+[.])+(%s|svc([.]%s)?)|[$][(]HOST_IP[)])(:[0-9]+)?" $mesh $domain | quote }}
setting: {{ printf "^\"(%s)\"\\s*:$" (concat $settings.fields $settings.variables (list "discoveryAddress" "controlPlaneAuthPolicy" "interceptionMode" "meshId" "image" "imageType" "zipkin" "datadog" "address"
  "statsdUdpAddress" "envoyAccessLogService" "envoyMetricsService" "openCensusAgent" "context" "tcpKeepalive" "time" "interval" "probes" "literal" "environment" "header") | uniq | join "|") | quote }}
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

{{/* A text of JSON, without what would be spelled otherwise than it is meant: escapes of letters, and variables of the pod's author's. */}}
{{- define "egress-governor.guard.jsonText" -}}
"([^"\\$]|\\["\\/bfnrt]|[$][(](POD_NAME|POD_NAMESPACE|INSTANCE_IP|HOST_IP)[)]|[$]+([^"\\$(]|\\["\\/bfnrt]))*[$]*"
{{- end -}}

{{/* CEL: whether `variable`, which the injector put in or a tenant did, may be one of a pod's istio-proxy. */}}
{{- define "egress-governor.guard.variableOfPod" -}}
{{- $of := include "egress-governor.guard.variables" . | fromYaml -}}
variable.name.matches(r'{{ $of.injected }}') ||
variable.name.startsWith("A") && (variable.name + "=" + variable.?value.orValue("")).matches(r'{{ $of.identity }}') ||
variable.name.matches(r'{{ $of.ofPod }}') && variable.?valueFrom.?fieldRef.?fieldPath.orValue("") in ["metadata.name", "metadata.namespace", "status.podIP", "status.podIPs", "status.hostIP", "spec.serviceAccountName", "spec.nodeName"] ||
variable.name == "GODEBUG" && variable.?value.orValue("") == "fips140=only" ||
variable.name == "ISTIO_META_INTERCEPTION_MODE" && variable.?value.orValue("") in ["REDIRECT", "TPROXY"] ||
variable.name == "CA_ADDR" && (variable.?value.orValue("").matches(r'^{{ $of.controlPlane }}$') || {{ .Values.guards.injection.controlPlane | default list | toJson }}.exists(known, known == variable.?value.orValue(""))) ||
variable.name == "PROXY_CONFIG" && {{ include "egress-governor.guard.legible" . }} && variables.settings.size() == 0
{{- end -}}

{{/* CEL: whether PROXY_CONFIG, `variable`, is JSON as Istio's injector writes it. */}}
{{- define "egress-governor.guard.legible" -}}
variable.?value.orValue("").size() < 16384 && variable.?value.orValue("").matches(r'^([{}\[\],:\s]|{{ include "egress-governor.guard.jsonText" . }}|-?[0-9.]+|true|false|null)*$')
{{- end -}}

{{/* CEL: what stands in PROXY_CONFIG, `variable`, that would lead calls elsewhere: names, and names with their values. */}}
{{- define "egress-governor.guard.settings" -}}
{{- $of := include "egress-governor.guard.variables" . | fromYaml -}}
{{- $named := include "egress-governor.guard.namedVariables" . -}}
{{- $controlPlane := .Values.guards.injection.controlPlane | default list | toJson -}}
{{- $telemetry := .Values.guards.injection.telemetryAddresses | default list | toJson -}}
variable.?value.orValue("").findAll(r'{{ include "egress-governor.guard.jsonText" . }}\s*:').filter(key, !(key.matches(r'{{ $of.setting }}') || {{ $named }}.exists(known, key.startsWith('"' + known + '"')))) +
variable.?value.orValue("").findAll(r'"(discoveryAddress|controlPlaneAuthPolicy|interceptionMode|address|statsdUdpAddress|ISTIO_META_DNS_CAPTURE)"\s*:\s*("[^"]*"|[^"])').filter(set, !(
set.matches(r'^"controlPlaneAuthPolicy"\s*:\s*"MUTUAL_TLS"$|^"ISTIO_META_DNS_CAPTURE"\s*:\s*"true"$|^"interceptionMode"\s*:\s*"(REDIRECT|TPROXY)"$|^"discoveryAddress"\s*:\s*"{{ $of.controlPlane }}"$|^"(address|statsdUdpAddress)"\s*:\s*"{{ $of.address }}"$') ||
set.startsWith('"discoveryAddress"') && {{ $controlPlane }}.exists(known, set.endsWith('"' + known + '"')) ||
set.matches(r'^"(address|statsdUdpAddress)"') && {{ $telemetry }}.exists(known, set.endsWith('"' + known + '"')) || {{ $named }}.exists(known, set.startsWith('"' + known + '"'))))
{{- end -}}

{{/* CEL: what of container istio-proxy steers it, and what to do about it. */}}
{{- define "egress-governor.guard.steeringMessage" -}}
variables.steering[0][0] + " of container istio-proxy may say who steers the sidecar, and where it calls" +
(variables.setting == "" ? "" : ", by " + variables.setting) + ". Fix: remove it, or have the platform team set it for the mesh" +
(variables.steering[0][0] == "CA_ADDR" || variables.setting.startsWith('"discoveryAddress"') ? ", and name the address of istiod or the CA (guards.injection.controlPlane)" :
variables.setting.matches(r'^"(address|statsdUdpAddress)"') ? ", and name the address (guards.injection.telemetryAddresses)" :
variables.setting != "" ? ", and allow this setting by its own name, not by PROXY_CONFIG (guards.injection.allowedVariables)" :
variables.steering[0][0] in ["PROXY_CONFIG", "envFrom"] ? "" : ", and allow it (guards.injection.allowedVariables)")
{{- end -}}
