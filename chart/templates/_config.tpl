{{/* purser.yaml of one pod: the sources and retrievers that it has, and nothing else. (dict "top" $ "retrievers" LIST) */}}

{{/* As purser reads it: no value of a Secret, and the place of the Secret said in full. (dict "top" $ "source" SOURCE) */}}
{{- define "purser.source" -}}
{{- $source := omit .source "token" -}}
{{- $token := omit .source.token "secretName" "secretValue" "key" -}}
{{- if .source.token.secretName -}}
{{- $key := include "purser.tokenKey" (dict "top" .top "token" .source.token) -}}
{{- $token = dict "kubernetes" (dict "secretName" .source.token.secretName "key" $key) -}}
{{- end -}}
{{- toYaml (set $source "token" $token) -}}
{{- end -}}

{{- define "purser.retrieverConfig" -}}
{{- $values := .values -}}
{{- $kept := pick $values "sources" "policy" "with" "mode" "until" "egress" "limits" "window" -}}
{{- $_ := set $kept "name" .name -}}
{{- $_ := set $kept "command" (ternary (list "python3" (printf "%s/%s" .mount .file)) $values.command (ne .file "")) -}}
{{- $leased := list -}}
{{- range $e := default (list) $values.env -}}
{{- if dig "valueFrom" "secretKeyRef" (dict) $e -}}
{{- $leased = append $leased $e -}}
{{- end -}}
{{- end -}}
{{- if $leased -}}
{{- $_ := set $kept "env" $leased -}}
{{- end -}}
{{- toYaml $kept -}}
{{- end -}}

{{/* `role`: of the kubernetes login; "": what `auth` says. (dict "top" $ "role" ROLE) */}}
{{- define "purser.vault" -}}
{{- $values := .top.Values.vault -}}
{{- $vault := omit $values "role" "rotationRole" "mount" "audience" "ca" -}}
{{- if $values.ca -}}
{{- $_ := set $vault "caFile" "/etc/purser-vault/ca.crt" -}}
{{- end -}}
{{- if .role -}}
{{- $login := dict "role" .role "audience" $values.audience "mount" $values.mount
      "tokenFile" "/var/run/secrets/purser/vault/token" -}}
{{- $_ := set $vault "auth" (dict "kubernetes" $login) -}}
{{- end -}}
{{- range $key, $value := $vault -}}
{{- if kindIs "string" $value -}}
{{- if not $value -}}
{{- $_ := unset $vault $key -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toYaml $vault -}}
{{- end -}}

{{- define "purser.site" -}}
{{- $site := omit .Values.site "ca" -}}
{{- range $key, $value := $site -}}
{{- if not $value -}}
{{- $_ := unset $site $key -}}
{{- end -}}
{{- end -}}
{{- if .Values.site.ca -}}
{{- $_ := set $site "caFile" "/etc/purser-ca/ca.crt" -}}
{{- end -}}
{{- if $site -}}
{{- toYaml $site -}}
{{- end -}}
{{- end -}}

{{- define "purser.config" -}}
{{- $names := list -}}
{{- range .retrievers -}}
{{- $names = concat $names (include "purser.sourcesOf" (dict "top" $.top "retriever" .values) | fromJsonArray) -}}
{{- end -}}
# Made by the chart from its values.
state: /var/lib/purser
sources:
{{- range $source := .top.Values.sources }}
{{- if has $source.name $names }}
- {{ include "purser.source" (dict "top" $.top "source" (omit $source "rotate")) | nindent 2 | trim }}
{{- end }}
{{- end }}
retrievers:
{{- range .retrievers }}
- {{ include "purser.retrieverConfig" . | nindent 2 | trim }}
{{- end }}
sink:
  postgres:
    {{- include "purser.sink" .top | nindent 4 }}
{{- with include "purser.site" .top }}
site:
  {{- . | nindent 2 }}
{{- end }}
{{- if include "purser.asksApiServer" .top }}
kubernetes:
  {{- toYaml .top.Values.kubernetes | nindent 2 }}
{{- end }}
{{- if .top.Values.vault.address }}
vault:
  {{- include "purser.vault" (dict "top" .top "role" .top.Values.vault.role) | nindent 2 }}
{{- end }}
audit: {keyFile: /etc/purser-audit/audit.key, onFailure: {{ .top.Values.audit.onFailure }}}
{{- with .top.Values.sandbox }}
sandbox:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* {key of the ConfigMap: path beneath /etc/purser} and the texts: purser.yaml and the team's own policies */}}
{{- define "purser.policies" -}}
{{- $policies := dict -}}
{{- range $path, $bytes := .Files.Glob "policy/*.yaml" -}}
{{- $_ := set $policies (trimSuffix ".yaml" (base $path)) (toString $bytes) -}}
{{- end -}}
{{- range $name, $policy := .Values.policies -}}
{{- $_ := set $policies $name (ternary $policy (toYaml (set (deepCopy (ternary (dict) $policy (kindIs "string" $policy))) "policy" $name)) (kindIs "string" $policy)) -}}
{{- end -}}
{{- toJson $policies -}}
{{- end -}}

{{/* The `data` of a pod's ConfigMap. (dict "top" $ "retrievers" LIST) */}}
{{- define "purser.configData" -}}
purser.yaml: |
  {{- include "purser.config" . | nindent 2 }}
{{- range $name, $text := include "purser.policies" .top | fromJson }}
policy.{{ $name }}.yaml: |
  {{- $text | trim | nindent 2 }}
{{- end }}
{{- end -}}
