{{- define "egress-governor.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "egress-governor.selectorLabels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "egress-governor.labels" -}}
{{ include "egress-governor.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{/* The namespaces of the gateways, one a line. */}}
{{- define "egress-governor.gatewayNamespaces" -}}
{{- $namespaces := list -}}
{{- range .Values.config.gateways -}}
{{- $namespaces = append $namespaces (index (splitList "." .service) 1) -}}
{{- end -}}
{{- $namespaces | uniq | join "\n" -}}
{{- end -}}

{{/* The governed namespaces: the same selector in both webhook configurations and in the webhook's own file. */}}
{{- define "egress-governor.namespaceSelector" -}}
{{- with .Values.namespaceSelector.matchLabels }}
matchLabels:
  {{- toYaml . | nindent 2 }}
{{- end }}
matchExpressions:
  - key: kubernetes.io/metadata.name
    operator: NotIn
    values:
      {{- $own := concat (list "kube-system" .Release.Namespace) (splitList "\n" (include "egress-governor.gatewayNamespaces" .)) }}
      {{- toYaml ($own | uniq) | nindent 6 }}
  {{- with .Values.namespaceSelector.matchExpressions }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/* The rules of both governing webhooks. */}}
{{- define "egress-governor.rules" -}}
- apiGroups: [networking.istio.io]
  apiVersions: [v1, v1beta1, v1alpha3]
  resources: [serviceentries, virtualservices]
  operations: [CREATE, UPDATE]
  scope: Namespaced
{{- end -}}

{{/* Where a webhook is served: the path is the argument. The self-managed caBundle is the webhook's own to write. */}}
{{- define "egress-governor.clientConfig" -}}
service:
  name: {{ include "egress-governor.fullname" .root }}-webhook
  namespace: {{ .root.Release.Namespace }}
  path: {{ .path }}
  port: 443
{{- if eq .root.Values.certificates.mode "existingSecret" }}
caBundle: {{ .root.Values.certificates.caBundle }}
{{- end }}
{{- end -}}
