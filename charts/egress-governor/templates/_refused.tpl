{{/* Values that the schema cannot hold together, and that the webhook would not start with, or no node would drain by. */}}
{{- define "egress-governor.refused" -}}
{{- include "egress-governor.refusedGateways" . -}}
{{- $fewest := int .Values.replicaCount -}}
{{- if .Values.autoscaling.enabled -}}{{- $fewest = max 2 $fewest | int -}}{{- end -}}
{{- include "egress-governor.refusedBudget" (dict "path" "podDisruptionBudget.minAvailable" "is" .Values.podDisruptionBudget.minAvailable "fewest" $fewest) -}}
{{- if .Values.gateway.create -}}
{{- include "egress-governor.refusedBudget" (dict "path" "gateway.podDisruptionBudget.minAvailable" "is" .Values.gateway.podDisruptionBudget.minAvailable "fewest" (int .Values.gateway.replicaCount)) -}}
{{- end -}}
{{- end -}}

{{/* A budget that takes no pod away: a drain would wait for ever. */}}
{{- define "egress-governor.refusedBudget" -}}
{{- $all := eq (toString .is) "100%" -}}
{{- if regexMatch "^[0-9.]+$" (toString .is) -}}{{- $all = ge (int .is) .fewest -}}{{- end -}}
{{- if and $all (gt .fewest 1) -}}
{{- fail (printf "%s: %v of %d replicas must stay, so no node that has one can be drained; give fewer" .path .is .fewest) -}}
{{- end -}}
{{- end -}}

{{/* What gateways must not have, each by itself and beside the earlier ones. */}}
{{- define "egress-governor.refusedGateways" -}}
{{- $earlier := list -}}
{{- range $i, $gateway := .Values.config.gateways -}}
{{- $at := printf "config.gateways[%d]" $i -}}
{{- if not (hasSuffix (printf ".svc.%s" $.Values.config.clusterDomain) $gateway.service) -}}
{{- fail (printf "%s.service: %q does not end in .svc.%s (config.clusterDomain)" $at $gateway.service $.Values.config.clusterDomain) -}}
{{- end -}}
{{- if eq ($gateway.ports.http | default 0 | int) ($gateway.ports.tls | default 0 | int) -}}
{{- fail (printf "%s.ports: http and tls must differ" $at) -}}
{{- end -}}
{{- if hasSuffix "-mutual-tls" $gateway.name -}}
{{- fail (printf "%s.name: %q ends as the names of the Gateway objects of transport MutualTLS do" $at $gateway.name) -}}
{{- end -}}
{{- if and $gateway.waypoint (eq ($gateway.transport | default "Plain") "MutualTLS") -}}
{{- fail (printf "%s.waypoint: is for transport Plain: a waypoint calls the gateway in clear" $at) -}}
{{- end -}}
{{- if and (eq ($gateway.wildcards | default "Refuse") "Resolve") (not $.Values.config.clusterCIDRs) -}}
{{- fail (printf "%s.wildcards: Resolve needs config.clusterCIDRs, the ranges of pods, Services and nodes: no name below a wildcard is to lead the gateway there" $at) -}}
{{- end -}}
{{- range $j, $other := $earlier -}}
{{- if eq $other.name $gateway.name -}}
{{- fail (printf "%s.name: %q is config.gateways[%d] already" $at $gateway.name $j) -}}
{{- end -}}
{{- if eq $other.service $gateway.service -}}
{{- fail (printf "%s.service: %q is that of config.gateways[%d] already" $at $gateway.service $j) -}}
{{- end -}}
{{- $namespaces := list (index (splitList "." $other.service) 1) (index (splitList "." $gateway.service) 1) | uniq -}}
{{- $nested := or (include "egress-governor.within" (list $other.selector $gateway.selector)) (include "egress-governor.within" (list $gateway.selector $other.selector)) -}}
{{- if and (eq (len $namespaces) 1) $nested -}}
{{- fail (printf "%s.selector: selects pods of config.gateways[%d], which would serve both gateways" $at $j) -}}
{{- end -}}
{{- end -}}
{{- $earlier = append $earlier $gateway -}}
{{- end -}}
{{- end -}}

{{/* "true" where the second selector matches all pods that the first does. */}}
{{- define "egress-governor.within" -}}
{{- $within := true -}}
{{- range $label, $value := index . 1 -}}
{{- if ne (get (index $ 0) $label) $value -}}{{- $within = false -}}{{- end -}}
{{- end -}}
{{- if $within -}}true{{- end -}}
{{- end -}}
