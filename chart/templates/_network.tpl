{{/* Where the sources' APIs and the package index may be, as peers of a NetworkPolicy. */}}

{{/* Whether one of them may be at a private address: purser itself refuses those to a source that does not say so. */}}
{{- define "purser.reachesPrivate" -}}
{{- $reaches := or .Values.site.proxy .Values.site.packageIndex -}}
{{- range .Values.sources -}}
{{- $reaches = or $reaches .allowPrivateAddresses -}}
{{- end -}}
{{- if $reaches -}}true{{- end -}}
{{- end -}}

{{/*
Never where clouds give machines their credentials, which purser never calls either. Private addresses, where pods and nodes are
too, only when something may be there; pods are named beside them, because to some network plugins an address block has none.
*/}}
{{- define "purser.internet" -}}
{{- if include "purser.reachesPrivate" . -}}
- ipBlock:
    cidr: 0.0.0.0/0
    except: [100.100.100.200/32, 168.63.129.16/32, 169.254.0.0/16, 192.0.0.192/32]
- ipBlock:
    cidr: ::/0
    except: ["fd00:ec2::/32", "fd20:ce::/32", "fe80::/10"]
- namespaceSelector: {}
{{- else -}}
- ipBlock:
    cidr: 0.0.0.0/0
    except: [10.0.0.0/8, 100.64.0.0/10, 168.63.129.16/32, 169.254.0.0/16, 172.16.0.0/12, 192.0.0.0/24, 192.168.0.0/16]
- ipBlock:
    cidr: ::/0
    except: ["fc00::/7", "fe80::/10"]
{{- end -}}
{{- end -}}

{{/* Rules of egress: to names, and to the metrics' database. */}}
{{- define "purser.toDatabase" -}}
# DNS
- ports: [{port: 53, protocol: UDP}, {port: 53, protocol: TCP}]
  {{- with .Values.networkPolicy.dns }}
  to:
  {{- toYaml . | nindent 2 }}
  {{- end }}
# The database
- ports: [{port: {{ (include "purser.database" . | fromJson).port }}, protocol: TCP}]
  {{- if eq .Values.database.kind "bundled" }}
  to:
  - podSelector:
      matchLabels:
        {{- include "purser.selector" . | nindent 8 }}
        app.kubernetes.io/component: database
  {{- else if eq .Values.database.kind "cloudnativepg" }}
  to:
  - podSelector: {matchLabels: {cnpg.io/cluster: {{ include "purser.fullname" . }}-db}}
  {{- else if .Values.networkPolicy.database }}
  to:
  {{- toYaml .Values.networkPolicy.database | nindent 2 }}
  {{- end }}
{{- end -}}
