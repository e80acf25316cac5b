{{/* CEL: the pod, or the template of pods, of an object. */}}
{{- define "egress-governor.guard.templateOf" -}}
request.resource.resource == "pods" ? dyn({{ . }}) : request.resource.resource == "cronjobs" ? dyn({{ . }}).spec.jobTemplate.spec.template : request.resource.resource == "controllerrevisions" ? dyn({{ . }}).data.?spec.?template.orValue({}) : dyn({{ . }}).spec.template
{{- end -}}

{{/* CEL: the names of labels and annotations that say how calls are captured. */}}
{{- define "egress-governor.guard.ofIstio" -}}
'^(((readiness[.])?status[.]sidecar|traffic[.]sidecar|sidecar|inject|proxy|ambient)[.])?istio[.]io/'
{{- end -}}

{{/* What the injector's templates write of annotations: `like` is what each of such values is made of, as a regular expression. */}}
{{- define "egress-governor.guard.written" -}}
- annotations: [sidecar.istio.io/logLevel, sidecar.istio.io/componentLogLevel, sidecar.istio.io/agentLogLevel]
  like: '[A-Za-z0-9_:,./-]*'
- annotations: [sidecar.istio.io/proxyCPU, sidecar.istio.io/proxyCPULimit, sidecar.istio.io/proxyMemory, sidecar.istio.io/proxyMemoryLimit, sidecar.istio.io/proxyImageType]
  like: '[A-Za-z0-9_.+-]*'
- annotations:
    - status.sidecar.istio.io/port
    - readiness.status.sidecar.istio.io/initialDelaySeconds
    - readiness.status.sidecar.istio.io/periodSeconds
    - readiness.status.sidecar.istio.io/failureThreshold
    - traffic.sidecar.istio.io/includeInboundPorts
    - traffic.sidecar.istio.io/excludeInboundPorts
    - traffic.sidecar.istio.io/includeOutboundPorts
  like: '[0-9*, ]*'
- annotations: [traffic.sidecar.istio.io/kubevirtInterfaces, istio.io/reroute-virtual-interfaces]
  like: '[A-Za-z0-9_.:@, -]*'
- annotations: [resource.opentelemetry.io/service.namespace, resource.opentelemetry.io/service.version, resource.opentelemetry.io/service.instance.id]
  like: '[^"\\\x00-\x1f\x7f\x{85}\x{2028}\x{2029}]*'
- annotations: [apm.datadoghq.com/env]
  like: '\s*|\s*{(\s*"DD_[A-Z0-9_]+"\s*:\s*"[^"\\\x00-\x1f\x7f\x{85}\x{2028}\x{2029}]*"\s*,?)*\s*}\s*'
- annotations: [k8s.v1.cni.cncf.io/networks]
  like: '[^\x27]*'
{{- end -}}

{{/* What pods may set in proxy.istio.io/config, by its name in either spelling, and as variables of proxyMetadata. Not its ports: an app would
listen where Istio's agent asks the proxy, and lead it on, past the capture; and istiod makes no listener for calls to a port that is the proxy's. */}}
{{- define "egress-governor.guard.proxyConfig" -}}
{{- $fields := list
  "concurrency" "drainDuration" "parentShutdownDuration" "terminationDrainDuration" "holdApplicationUntilProxyStarts"
  "statNameLength" "statsCompression" "extraStatTags" "proxyStatsMatcher" "inclusionPrefixes" "inclusionRegexps" "inclusionSuffixes"
  "tracing" "sampling" "customTags" "name" "value" "defaultValue" "maxPathTagLength" "enableIstioTags" "tracingServiceName" "serviceCluster" "availabilityZone"
  "gatewayTopology" "numTrustedProxies" "forwardClientCertDetails" "proxyProtocol"
  "proxyHeaders" "forwardedClientCert" "setCurrentClientCertDetails" "subject" "cert" "chain" "dns" "uri" "requestId" "server" "attemptCount"
  "envoyDebugHeaders" "metadataExchangeHeaders" "mode" "preserveHttp1HeaderCase" "xForwardedHost" "xForwardedPort" "disabled" "enabled"
  "privateKeyProvider" "cryptomb" "qat" "pollDelay" "fallback" "fileFlushInterval" "fileFlushMinSizeKb"
  "runtimeValues" "proxyMetadata" }}
{{- $variables := list
  "ISTIO_META_(?:CERT_SIGNER|DNS_AUTO_ALLOCATE|DNS_CAPTURE|HTTP10|IDLE_TIMEOUT|UNPRIVILEGED_POD|(?:IN|OUT)BOUND_LISTENER_EXACT_BALANCE)"
  "EXIT_ON_ZERO_ACTIVE_CONNECTIONS" "MINIMUM_DRAIN_DURATION" "DNS_FORWARD_PARALLEL" "DNS_FORWARD_TIMEOUT" "OUTPUT_CERTS"
  "SECRET_TTL" "SECRET_GRACE_PERIOD_RATIO(?:_JITTER)?" "WORKLOAD_RSA_KEY_SIZE" "PKCS8_KEY" "ECC_SIGNATURE_ALGORITHM" "ECC_CURVE"
  "WASM_(?:MODULE_EXPIRY|PURGE_INTERVAL|HTTP_REQUEST_TIMEOUT|HTTP_REQUEST_MAX_RETRIES)" "ENVOY_SKIP_DEPRECATED_LOGS"
  "METRICS_LOCALHOST_ACCESS_ONLY" "ENABLE_PROBE_KEEPALIVE_CONNECTIONS" "ISTIO_(?:ENABLE_HTTP2_PROBING|DELTA_XDS|DUAL_STACK)"
  "(?:envoy[.](?:reloadable|restart)_features|overload|re2)[.][a-z0-9_.]+" }}
{{- $names := $variables }}
{{- range $fields }}
{{- $names = concat $names (list . (regexReplaceAll "([A-Z])" . "_${1}" | lower)) }}
{{- end }}
variables: {{ toJson $variables }}
fields: {{ toJson $fields }}
names: {{ concat $names (.Values.guards.traffic.allowedProxyConfig | default list) | uniq | toJson }}
{{- end -}}

{{/* CEL: whether one of the maps of a template's metadata, the argument, says otherwise than before how calls are captured. Whether they
are, Istio's CNI writes down there itself. */}}
{{- define "egress-governor.guard.captureChanged" -}}
{{- $now := printf "(%s).?metadata.?%s" (include "egress-governor.guard.templateOf" "object") . -}}
{{- $before := printf "(%s).?metadata.?%s" (include "egress-governor.guard.templateOf" "oldObject") . -}}
{{- $counts := printf "(key.matches(%s) && key != 'ambient.istio.io/redirection' || key.matches(r'^(resource[.]opentelemetry[.]io/service[.]|apm[.]datadoghq[.]com/env$|k8s[.]v1[.]cni[.]cncf[.]io/networks$)'))" (include "egress-governor.guard.ofIstio" .) -}}
({{ $now }}.orValue({}).exists(key, {{ $counts }} && {{ $before }}[?key].orValue("") != {{ $now }}[?key].orValue("")) ||
{{ $before }}.orValue({}).exists(key, {{ $counts }} && !(key in {{ $now }}.orValue({}))))
{{- end -}}

{{/* CEL: whether one of Kubernetes' own controllers writes, which make workloads and pods of templates. */}}
{{- define "egress-governor.guard.isController" -}}
(request.userInfo.username in {{ include "egress-governor.controllers" (list "cronjob-controller" "daemon-set-controller" "deployment-controller" "job-controller" "replicaset-controller" "replication-controller" "statefulset-controller") }})
{{- end -}}

{{/* What the guards of pods look at. Kubernetes' own controllers copy templates that were looked at, or were there before the
guard: their pods would be missing, and no author told. */}}
{{- define "egress-governor.guard.pods" -}}
matchConstraints:
  namespaceSelector:
    {{- include "egress-governor.governable" . | trim | nindent 4 }}
      - key: egress-governor.io/exempt-pods
        operator: NotIn
        values: ["true"]
  resourceRules:
    - apiGroups: [""]
      apiVersions: [v1]
      resources: [pods]
      operations: [CREATE, UPDATE]
    # By /status labels and annotations are stored, too.
    - apiGroups: [""]
      apiVersions: [v1]
      resources: [pods/ephemeralcontainers, pods/status]
      operations: [UPDATE]
    - apiGroups: [""]
      apiVersions: [v1]
      resources: [replicationcontrollers]
      operations: [CREATE, UPDATE]
    - apiGroups: [apps]
      apiVersions: [v1]
      resources: [daemonsets, deployments, replicasets, statefulsets]
      operations: [CREATE, UPDATE]
    # A revision is a template that pods are made of, and never changes.
    - apiGroups: [apps]
      apiVersions: [v1]
      resources: [controllerrevisions]
      operations: [CREATE]
    - apiGroups: [batch]
      apiVersions: [v1]
      resources: [cronjobs, jobs]
      operations: [CREATE, UPDATE]
matchConditions:
  {{- include "egress-governor.guard.notExempt" . | nindent 2 }}
  {{- if eq .Values.guards.pods.ofControllers "Leave" }}
  - name: not-a-controller
    expression: >-
      !{{ include "egress-governor.guard.isController" . }}
  {{- end }}
  - name: of-pods
    expression: >-
      request.resource.resource != "controllerrevisions" || type(dyn(object).?data.orValue({})) == map && dyn(object).?data.orValue({}).exists(key,
      key.matches('(?i)^spec$') && type(dyn(object).data[key]) == map && dyn(object).data[key].exists(inner, inner.matches('(?i)^template$') &&
      type(dyn(object).data[key][inner]) == map))
  # A template that stays as it was in what is looked at may be scaled and rolled out again, and a pod that was there before
  # labelled.
  - name: changed
    expression: >-
      request.operation == "CREATE" || request.?subResource.orValue("") == "ephemeralcontainers" ||
      {{ include "egress-governor.guard.captureChanged" "labels" | nindent 6 | trim }} ||
      {{ include "egress-governor.guard.captureChanged" "annotations" | nindent 6 | trim }} ||
      request.resource.resource != "pods" && ({{ include "egress-governor.guard.templateOf" "object" }}).spec !=
      ({{ include "egress-governor.guard.templateOf" "oldObject" }}).spec
variables:
  - name: template
    expression: >-
      {{- include "egress-governor.guard.templateOf" "object" | nindent 6 }}
  # A revision may be of something else than pods, whose template has another spec, or none.
  - name: spec
    expression: >-
      type(variables.template.?spec.orValue({})) == map ? variables.template.?spec.orValue({}) : {}
  - name: programs
    expression: >-
      type(variables.spec.?containers.orValue([])) == list ? variables.spec.?containers.orValue([]) : []
  - name: at
    expression: >-
      request.resource.resource == "pods" ? "" : request.resource.resource == "cronjobs" ? "spec.jobTemplate.spec.template." : request.resource.resource == "controllerrevisions" ? "data.spec.template." : "spec.template."
  - name: spelled
    expression: >-
      {
      {{- range $i, $name := list "add" "annotations" "args" "azureFile" "capabilities" "cephfs" "command" "configMap" "containers" "dnsConfig" "env" "envFrom"
        "ephemeralContainers" "exec" "flexVolume" "gitRepo" "host" "hostAliases" "hostNetwork" "hostnames" "httpGet" "image" "initContainers" "iscsi" "items"
        "labels" "lifecycle" "livenessProbe" "metadata" "name" "nameservers" "nfs" "portals" "postStart" "preStop" "privileged" "projected" "rbd" "readinessProbe"
        "runAsGroup" "runAsUser" "searches" "securityContext" "server" "serviceAccountName" "spec" "startupProbe" "targetPortal" "tcpSocket" "template" "volumeMounts" "volumes" }}
      {{- if $i }}, {{ end }}{{ lower $name | quote }}: {{ quote $name }}
      {{- end }}}
  # What reads a revision takes names in any case, and letters of other alphabets for some.
  - name: misspelled
    expression: >-
      request.resource.resource == "controllerrevisions" && ({{ include "egress-governor.guard.misspelled" (dict "of" "dyn(object).data" "depth" 0) }})
  - name: labels
    expression: variables.template.?metadata.?labels.orValue({})
  - name: annotations
    expression: variables.template.?metadata.?annotations.orValue({})
  - name: namespaceLabels
    expression: >-
      has(namespaceObject.metadata.labels) ? namespaceObject.metadata.labels : {}
  # Where no sidecar is put in, there is none to go round.
  - name: inMesh
    expression: >-
      {{- if eq .Values.guards.pods.namespaces "All" }}
      true
      {{- else }}
      variables.namespaceLabels[?"istio-injection"].orValue("") == "enabled" || "istio.io/rev" in variables.namespaceLabels ||
      variables.namespaceLabels[?"istio.io/dataplane-mode"].orValue("") == "ambient" ||
      "istio.io/rev" in variables.labels || variables.labels[?"sidecar.istio.io/inject"].orValue("") == "true"
      {{- end }}
{{- end -}}

{{/* CEL: whether a name within .of, as deep as a pod's go, is one that guards know, but for its letters. Names of labels and the like are free. */}}
{{- define "egress-governor.guard.misspelled" -}}
{{- $key := printf "k%d" .depth -}}
(type({{ .of }}) == map && {{ .of }}.exists({{ $key }}, variables.spelled[?{{ $key }}.lowerAscii()].orValue({{ $key }}) != {{ $key }} || !{{ $key }}.matches('^[ -~]*$')))
{{- if lt .depth 8 }} || (type({{ .of }}) == list ? {{ .of }} : type({{ .of }}) == map ? {{ .of }}.filter({{ $key }}, !({{ $key }} in {{ "" -}}
{{ list "labels" "annotations" "nodeSelector" "matchLabels" "limits" "requests" "volumeAttributes" | toJson }})).map({{ $key }}, {{ .of }}[{{ $key }}]) : []).exists(in{{ .depth }},
{{- include "egress-governor.guard.misspelled" (dict "of" (printf "in%d" .depth) "depth" (add1 .depth | int)) }})
{{- end -}}
{{- end -}}

{{/* The first validation of every guard of pods. */}}
{{- define "egress-governor.guard.spelling" -}}
- expression: "!variables.misspelled"
  reason: Forbidden
  message: >-
    data: a name in the revision's template has other letters than Kubernetes' own, and pods are made by it all the same. Fix: write names as Kubernetes does; {{ include "egress-governor.guard.podsFix" . }}
{{- end -}}

{{/* How a pod may be exempted, the end of each sentence. */}}
{{- define "egress-governor.guard.podsFix" -}}
or ask the platform team to label the namespace egress-governor.io/exempt-pods=true
{{- end -}}

{{/* How a pod may go without a sidecar. */}}
{{- define "egress-governor.guard.injectionFix" -}}
or ask the platform team to name the service account (guards.injection.allowedServiceAccounts), or to label the namespace egress-governor.io/exempt-pods=true
{{- end -}}
