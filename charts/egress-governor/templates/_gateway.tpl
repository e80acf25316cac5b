{{/* The egress gateway of the chart's own: its Service, pods and account have one name. */}}
{{- define "egress-governor.gateway.name" -}}
{{ include "egress-governor.fullname" . }}-gateway
{{- end -}}

{{/* What selects its pods. The webhook's own labels would make them endpoints of the webhook, in its namespace. */}}
{{- define "egress-governor.gateway.selectorLabels" -}}
istio: {{ include "egress-governor.gateway.name" . }}
{{- end -}}

{{- define "egress-governor.gateway.labels" -}}
{{ include "egress-governor.gateway.selectorLabels" . }}
app.kubernetes.io/name: {{ .Chart.Name }}-gateway
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "egress-governor.gateway.metadata" -}}
name: {{ include "egress-governor.gateway.name" . }}
namespace: {{ .Values.gateway.namespace }}
labels:
  {{- include "egress-governor.gateway.labels" . | nindent 2 }}
{{- end -}}

{{/* Of what calls need: stored entries lead to the gateway for as long as they are there, whoever takes the release away, be it helm,
Argo CD or Flux. */}}
{{- define "egress-governor.gateway.kept" -}}
annotations:
  argocd.argoproj.io/sync-options: Prune=false,Delete=false
  helm.sh/resource-policy: keep
  kustomize.toolkit.fluxcd.io/prune: disabled
{{- end -}}

{{/* The gateway as the webhook's configuration names it. */}}
{{- define "egress-governor.gateway.own" -}}
name: own
service: {{ include "egress-governor.gateway.name" . }}.{{ .Values.gateway.namespace }}.svc.{{ .Values.config.clusterDomain }}
selector:
  {{- include "egress-governor.gateway.selectorLabels" . | nindent 2 }}
ports:
  http: 80
  tls: 443
transport: MutualTLS
{{- if and (eq .Values.gateway.wildcards "Resolve") (not .Values.config.clusterCIDRs) }}
{{- fail "gateway.wildcards: Resolve needs config.clusterCIDRs, the ranges of pods, Services and nodes: no name below a wildcard is to lead the gateway there" }}
{{- end }}
wildcards: {{ .Values.gateway.wildcards }}
serviceAccount: {{ include "egress-governor.gateway.name" . }}
namespaceSelector: {}
{{- end -}}

{{/* Istio's, where no gateway is named and none made. */}}
{{- define "egress-governor.gateway.istio" -}}
name: default
service: istio-egressgateway.istio-system.svc.{{ .Values.config.clusterDomain }}
selector:
  istio: egressgateway
ports:
  http: 80
  tls: 443
transport: Plain
namespaceSelector: {}
{{- end -}}

{{/* The ways out. Ours takes whatever client the named ones leave, and so is the last. */}}
{{- define "egress-governor.gateways" -}}
{{- $gateways := .Values.config.gateways -}}
{{- if .Values.gateway.create -}}
{{- range $gateways -}}
{{- if eq .name "own" -}}
{{- fail "config.gateways: the name own is that of the gateway which gateway.create makes" -}}
{{- end -}}
{{- end -}}
{{- $gateways = append $gateways (include "egress-governor.gateway.own" . | fromYaml) -}}
{{- else if not $gateways -}}
{{- $gateways = list (include "egress-governor.gateway.istio" . | fromYaml) -}}
{{- end -}}
{{- toYaml $gateways -}}
{{- end -}}

{{/* The ranges of one family that a name may not lead the gateway to: the cluster's, then those that no value takes away.
The argument lists the latter; the family is known by its colon. */}}
{{- define "egress-governor.gateway.except" -}}
{{- range concat .root.Values.gateway.networkPolicy.clusterCIDRs .always | uniq -}}
{{- if eq (contains ":" .) $.six }}
- {{ . | quote }}
{{- end -}}
{{- end -}}
{{- end -}}
