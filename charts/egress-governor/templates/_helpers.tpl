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

{{/* The image: a digest counts more than a tag. */}}
{{- define "egress-governor.image" -}}
{{- with .Values.global.imageRegistry }}{{ trimSuffix "/" . }}/{{ end }}{{ .Values.image.repository }}
{{- if .Values.image.digest }}@{{ .Values.image.digest }}{{ else }}:{{ .Values.image.tag | default .Chart.AppVersion }}{{ end }}
{{- end -}}

{{/* The Secret with the certificate, where someone else renews it. */}}
{{- define "egress-governor.certificateSecret" -}}
{{- if eq .Values.certificates.mode "certManager" -}}
{{ include "egress-governor.fullname" . }}-cert-manager
{{- else -}}
{{ .Values.certificates.existingSecret }}
{{- end -}}
{{- end -}}

{{/* Annotations of both webhook configurations. */}}
{{- define "egress-governor.injectCA" -}}
{{- if eq .Values.certificates.mode "certManager" }}
annotations:
  cert-manager.io/inject-ca-from: {{ .Release.Namespace }}/{{ include "egress-governor.fullname" . }}
{{- end -}}
{{- end -}}

{{/* Two releases would evaluate every object twice and fight over the exit sets. */}}
{{- define "egress-governor.only" -}}
{{- range (lookup "admissionregistration.k8s.io/v1" "MutatingWebhookConfiguration" "" "").items -}}
{{- if eq (index (.metadata.labels | default dict) "app.kubernetes.io/name" | default "") $.Chart.Name -}}
{{- $name := index (.metadata.annotations | default dict) "meta.helm.sh/release-name" | default "" -}}
{{- $namespace := index (.metadata.annotations | default dict) "meta.helm.sh/release-namespace" | default "" -}}
{{- if and $name (or (ne $name $.Release.Name) (ne $namespace $.Release.Namespace)) -}}
{{- fail (printf "egress-governor is already installed in this cluster, as release %q in namespace %q; a cluster takes one. Upgrade that release, or uninstall it first" $name $namespace) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The namespaces of the gateways, one a line. */}}
{{- define "egress-governor.gatewayNamespaces" -}}
{{- $namespaces := list -}}
{{- range include "egress-governor.gateways" . | fromYamlArray -}}
{{- $namespaces = append $namespaces (index (splitList "." .service) 1) -}}
{{- end -}}
{{- $namespaces | uniq | join "\n" -}}
{{- end -}}

{{/* Those of them whose gateways have EnvoyFilters: they resolve wildcards, or are by mutual TLS, one a line. */}}
{{- define "egress-governor.filteredNamespaces" -}}
{{- $namespaces := list -}}
{{- range include "egress-governor.gateways" . | fromYamlArray -}}
{{- if or (eq (.wildcards | default "Refuse") "Resolve") (eq (.transport | default "Plain") "MutualTLS") -}}
{{- $namespaces = append $namespaces (index (splitList "." .service) 1) -}}
{{- end -}}
{{- end -}}
{{- $namespaces | uniq | join "\n" -}}
{{- end -}}

{{/* The governed namespaces: the same selector in both webhook configurations, in the guards, and in the webhook's own file. */}}
{{- define "egress-governor.namespaceSelector" -}}
{{ include "egress-governor.governable" . | trim }}
  {{- include "egress-governor.enforces" . | nindent 2 }}
{{- end -}}

{{/* Which governable namespaces are governed by their mode, and which observed. */}}
{{- define "egress-governor.enforces" -}}
- key: egress-governor.io/mode
  operator: {{ eq .Values.mode "Observe" | ternary "In" "NotIn" }}
  values: [{{ eq .Values.mode "Observe" | ternary "Enforce" "Observe" }}]
{{- end -}}

{{- define "egress-governor.observes" -}}
- key: egress-governor.io/mode
  operator: {{ eq .Values.mode "Observe" | ternary "NotIn" "In" }}
  values: [{{ eq .Values.mode "Observe" | ternary "Enforce" "Observe" }}]
{{- end -}}

{{/* The namespaces that are governed or observed. */}}
{{- define "egress-governor.governable" -}}
{{- with .Values.namespaceSelector.matchLabels }}
matchLabels:
  {{- toYaml . | nindent 2 }}
{{- end }}
matchExpressions:
  - key: kubernetes.io/metadata.name
    operator: NotIn
    values:
      {{- $own := concat (list "kube-system" .Release.Namespace .Values.config.meshConfig.namespace) (splitList "\n" (include "egress-governor.gatewayNamespaces" .)) }}
      {{- toYaml ($own | uniq) | nindent 6 }}
  {{- with .Values.namespaceSelector.matchExpressions }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/* The rules of both governing webhooks. */}}
{{- define "egress-governor.rules" -}}
- apiGroups: [networking.istio.io]
  apiVersions: [v1, v1beta1, v1alpha3]
  resources: [destinationrules, gateways, serviceentries, {{ if eq .Values.config.unregistered "Block" }}sidecars, {{ end }}virtualservices]
  operations: [CREATE, UPDATE]
  scope: Namespaced
{{- end -}}

{{/* What is not sent: an object that is being deleted and loses finalizers, and nothing else. There is nothing to decide then, and it
goes while the webhook is down. */}}
{{- define "egress-governor.matchConditions" -}}
- name: not-finalized
  expression: >-
    request.operation != "UPDATE" || !has(object.metadata.deletionTimestamp) || !has(oldObject.metadata.deletionTimestamp) ||
    object.?spec != oldObject.?spec || object.metadata.?labels != oldObject.metadata.?labels ||
    object.metadata.?annotations != oldObject.metadata.?annotations || object.metadata.?ownerReferences != oldObject.metadata.?ownerReferences
{{- end -}}

{{/* CEL: the users as which Kubernetes' own controllers come, which the argument names: one for all where they have no accounts of their own. */}}
{{- define "egress-governor.controllers" -}}
["system:kube-controller-manager"{{ range . }}, "system:serviceaccount:kube-system:{{ . }}"{{ end }}]
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
