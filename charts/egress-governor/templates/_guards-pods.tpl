{{/* CEL: the pod, or the template of pods, of an object. */}}
{{- define "egress-governor.guard.templateOf" -}}
request.resource.resource == "pods" ? dyn({{ . }}) : request.resource.resource == "cronjobs" ? dyn({{ . }}).spec.jobTemplate.spec.template : request.resource.resource == "controllerrevisions" ? dyn({{ . }}).data.spec.template : dyn({{ . }}).spec.template
{{- end -}}

{{/* CEL: the names of labels and annotations that say how calls are captured. */}}
{{- define "egress-governor.guard.ofIstio" -}}
'^((traffic[.]sidecar|sidecar|inject|proxy|ambient)[.])?istio[.]io/'
{{- end -}}

{{/* CEL: whether one of the maps of a template's metadata, the argument, says otherwise than before how calls are captured. Whether they
are, Istio's CNI writes down there itself. */}}
{{- define "egress-governor.guard.captureChanged" -}}
{{- $now := printf "(%s).?metadata.?%s" (include "egress-governor.guard.templateOf" "object") . -}}
{{- $before := printf "(%s).?metadata.?%s" (include "egress-governor.guard.templateOf" "oldObject") . -}}
{{- $counts := printf "key.matches(%s) && key != 'ambient.istio.io/redirection'" (include "egress-governor.guard.ofIstio" .) -}}
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
      request.resource.resource != "controllerrevisions" || has(dyn(object).data) && has(dyn(object).data.spec) && has(dyn(object).data.spec.template)
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
  - name: at
    expression: >-
      request.resource.resource == "pods" ? "" : request.resource.resource == "cronjobs" ? "spec.jobTemplate.spec.template." : request.resource.resource == "controllerrevisions" ? "data.spec.template." : "spec.template."
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

{{/* How a pod may be exempted, the end of each sentence. */}}
{{- define "egress-governor.guard.podsFix" -}}
or ask the platform team to label the namespace egress-governor.io/exempt-pods=true
{{- end -}}

{{/* How a pod may go without a sidecar. */}}
{{- define "egress-governor.guard.injectionFix" -}}
or ask the platform team to name the service account (guards.injection.allowedServiceAccounts), or to label the namespace egress-governor.io/exempt-pods=true
{{- end -}}
