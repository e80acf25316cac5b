{{/* Whether a guard is made: the argument names it. Guards ask whether addresses are in ranges, which new policies may from
Kubernetes 1.31 on. */}}
{{- define "egress-governor.guard.on" -}}
{{- $guards := .root.Values.guards -}}
{{- if and $guards.enabled (semverCompare ">=1.31-0" .root.Capabilities.KubeVersion.Version) (ne (get $guards .name).enforcement "Off") -}}
true
{{- end -}}
{{- end -}}

{{/* The head of a guard, as far as its spec. */}}
{{- define "egress-governor.guard.head" -}}
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata:
  name: {{ include "egress-governor.guard.name" . }}
  labels:
    {{- include "egress-governor.labels" .root | nindent 4 }}
{{- end -}}

{{- define "egress-governor.guard.name" -}}
{{ include "egress-governor.fullname" .root }}-{{ kebabcase .name }}
{{- end -}}

{{/* What becomes of who is caught, by the values of guard .by, or of .name. What is warned of is in the audit log too. */}}
{{- define "egress-governor.guard.binding" -}}
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  name: {{ include "egress-governor.guard.name" . }}
  labels:
    {{- include "egress-governor.labels" .root | nindent 4 }}
spec:
  policyName: {{ include "egress-governor.guard.name" . }}
  validationActions: [{{ get (dict "Deny" "Deny" "Warn" "Warn, Audit" "Audit" "Audit") (get .root.Values.guards (.by | default .name)).enforcement }}]
{{- end -}}

{{/* The same for a guard of what lies in namespaces: in those that are observed nobody is refused or warned, and the audit log tells. */}}
{{- define "egress-governor.guard.bindings" -}}
{{ include "egress-governor.guard.binding" . }}
  matchResources:
    namespaceSelector:
      matchExpressions:
        {{- include "egress-governor.enforces" .root | nindent 8 }}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  name: {{ include "egress-governor.guard.name" . }}-audit
  labels:
    {{- include "egress-governor.labels" .root | nindent 4 }}
spec:
  policyName: {{ include "egress-governor.guard.name" . }}
  validationActions: [Audit]
  matchResources:
    namespaceSelector:
      matchExpressions:
        {{- include "egress-governor.observes" .root | nindent 8 }}
{{- end -}}

{{/* CEL: the ConfigMaps by which sidecars know istiod. */}}
{{- define "egress-governor.guard.rootCerts" -}}
["istio-ca-root-cert", "istio-ca-crl"]
{{- end -}}

{{/* CEL: what istiod reads of the labels, and of the annotations, of an entry in ambient mode, to lead its calls past the waypoint
that it is bound to (internal/egress/bending.go has the same), and what those begin with that are its own. */}}
{{- define "egress-governor.guard.bendingLabels" -}}
["istio.io/use-waypoint-canary", "istio.io/use-waypoint-canary-namespace", "gateway.istio.io/managed"]
{{- end -}}
{{- define "egress-governor.guard.bendingAnnotations" -}}
["istio.io/use-waypoint-canary-weight"]
{{- end -}}
{{- define "egress-governor.guard.istiodsOwn" -}}
"internal.istio.io/"
{{- end -}}

{{/* CEL: whether the user is one of .users, or in one of .groups. */}}
{{- define "egress-governor.guard.isUser" -}}
(request.userInfo.username in {{ .users | default list | toJson }} || has(request.userInfo.groups) && request.userInfo.groups.exists(group, group in {{ .groups | default list | toJson }}))
{{- end -}}

{{/* CEL: whether a guard does not hold for the user. */}}
{{- define "egress-governor.guard.isExempt" -}}
{{ include "egress-governor.guard.isUser" (dict "users" .Values.guards.exemptUsers "groups" .Values.guards.exemptGroups) }}
{{- end -}}

{{/* The condition that every guard has. */}}
{{- define "egress-governor.guard.notExempt" -}}
- name: not-exempt
  expression: >-
    !{{ include "egress-governor.guard.isExempt" . }}
{{- end -}}

{{/* CEL: whether the map of labels .labels matches the selector .selector. */}}
{{- define "egress-governor.guard.selects" -}}
{{- $labels := .labels -}}
{{- $terms := list "true" -}}
{{- range $key, $value := .selector.matchLabels | default dict -}}
{{- $terms = append $terms (printf "(%q in %s && %s[%q] == %q)" $key $labels $labels $key $value) -}}
{{- end -}}
{{- range .selector.matchExpressions | default list -}}
{{- $in := printf "(%q in %s && %s[%q] in %s)" .key $labels $labels .key (toJson (.values | default list)) -}}
{{- $has := printf "(%q in %s)" .key $labels -}}
{{- $terms = append $terms (get (dict "In" $in "NotIn" (print "!" $in) "Exists" $has "DoesNotExist" (print "!" $has)) .operator) -}}
{{- end -}}
({{ join " && " $terms }})
{{- end -}}
