{{/* CEL: the pod, or the template of pods, of an object. */}}
{{- define "egress-governor.guard.templateOf" -}}
request.resource.resource == "pods" ? dyn({{ . }}) :
request.resource.resource == "cronjobs" ? dyn({{ . }}).spec.jobTemplate.spec.template : dyn({{ . }}).spec.template
{{- end -}}

{{/* CEL: whether one of an object's maps of metadata, the argument, says otherwise than before how calls are captured. Whether they
are, Istio's CNI writes down there itself. */}}
{{- define "egress-governor.guard.captureChanged" -}}
{{- $now := printf "dyn(object).metadata.?%s" . -}}
{{- $before := printf "dyn(oldObject).metadata.?%s" . -}}
{{- $counts := "key.matches('^((traffic[.]sidecar|sidecar|inject|proxy|ambient)[.])?istio[.]io/') && key != 'ambient.istio.io/redirection'" -}}
({{ $now }}.orValue({}).exists(key, {{ $counts }} && {{ $before }}[?key].orValue("") != {{ $now }}[?key].orValue("")) ||
{{ $before }}.orValue({}).exists(key, {{ $counts }} && !(key in {{ $now }}.orValue({}))))
{{- end -}}

{{/* What the guards of pods look at. Kubernetes' own controllers copy templates that were looked at, or were there before the
guard: their pods would be missing, and no author told. */}}
{{- define "egress-governor.guard.pods" -}}
matchConstraints:
  namespaceSelector:
    {{- include "egress-governor.namespaceSelector" . | trim | nindent 4 }}
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
    - apiGroups: [batch]
      apiVersions: [v1]
      resources: [cronjobs, jobs]
      operations: [CREATE, UPDATE]
matchConditions:
  {{- include "egress-governor.guard.notExempt" . | nindent 2 }}
  {{- if eq .Values.guards.pods.ofControllers "Leave" }}
  - name: not-a-controller
    expression: >-
      !(request.userInfo.username in ["system:kube-controller-manager",
      "system:serviceaccount:kube-system:cronjob-controller", "system:serviceaccount:kube-system:daemon-set-controller",
      "system:serviceaccount:kube-system:deployment-controller", "system:serviceaccount:kube-system:job-controller",
      "system:serviceaccount:kube-system:replicaset-controller", "system:serviceaccount:kube-system:replication-controller",
      "system:serviceaccount:kube-system:statefulset-controller"])
  {{- end }}
  # A template that stays as it was may be scaled, and a pod that was there before labelled.
  - name: changed
    expression: >-
      request.operation == "CREATE" || request.?subResource.orValue("") == "ephemeralcontainers" || (request.resource.resource == "pods" ?
      {{ include "egress-governor.guard.captureChanged" "labels" | nindent 6 | trim }} ||
      {{ include "egress-governor.guard.captureChanged" "annotations" | nindent 6 | trim }} :
      ({{ include "egress-governor.guard.templateOf" "object" | nindent 6 | trim }}) !=
      ({{ include "egress-governor.guard.templateOf" "oldObject" | nindent 6 | trim }}))
variables:
  - name: template
    expression: >-
      {{- include "egress-governor.guard.templateOf" "object" | nindent 6 }}
  - name: at
    expression: >-
      request.resource.resource == "pods" ? "" : request.resource.resource == "cronjobs" ? "spec.jobTemplate.spec.template." : "spec.template."
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
