{{/* Where the rows go: one set of facts for the three kinds of database. */}}

{{/* {host, port, name, user, sslMode, secret, key, ca {secret or configMap, key}, ownerRole, readerRole} */}}
{{- define "purser.database" -}}
{{- $d := .Values.database -}}
{{- $fullname := include "purser.fullname" . -}}
{{- if eq $d.kind "bundled" -}}
{{- $secret := default (printf "%s-postgresql" $fullname) $d.bundled.existingSecret -}}
{{- toJson (dict "host" (printf "%s-postgresql.%s.svc" $fullname .Release.Namespace) "port" 5432 "name" $d.name "user" "purser"
      "sslMode" "verify-full" "secret" $secret "key" "password" "ca" (dict "secret" $secret "key" "ca.crt")
      "readerRole" "purser_grafana") -}}
{{- else if eq $d.kind "cloudnativepg" -}}
{{- $cluster := printf "%s-db" $fullname -}}
{{- $ca := default (printf "%s-ca" $cluster) (dig "certificates" "serverCASecret" "" (default (dict) $d.cloudnativepg.spec)) -}}
{{- toJson (dict "host" (printf "%s-rw.%s.svc" $cluster .Release.Namespace) "port" 5432 "name" $d.name "user" "purser"
      "sslMode" "verify-full" "secret" (printf "%s-app" $cluster) "key" "password"
      "ca" (dict "secret" $ca "key" "ca.crt") "ownerRole" "purser_owner" "readerRole" "purser_grafana") -}}
{{- else -}}
{{- $e := $d.external -}}
{{- $secret := default (dict) $e.passwordSecret -}}
{{- if not (or $secret.name (dig "vault" "" $e)) -}}
{{- fail "database.external: name where its password is: passwordSecret: {name: SECRET, key: KEY} or vault: database/creds/ROLE" -}}
{{- end -}}
{{- toJson (dict "host" (required "database.external.host: the name of the PostgreSQL server" $e.host) "port" $e.port "name" $d.name
      "user" $e.user "sslMode" $e.sslMode "secret" (default "" $secret.name) "key" (default "password" $secret.key)
      "ca" (default (dict) $e.ca) "ownerRole" $e.ownerRole "readerRole" $e.readerRole) -}}
{{- end -}}
{{- end -}}

{{/* As libpq reads it: in quotes where it is more than a word. */}}
{{- define "purser.dsnValue" -}}
{{- if regexMatch "^[A-Za-z0-9_.@:,/+-]+$" . -}}
{{- . -}}
{{- else -}}
{{- printf "'%s'" (. | replace "\\" "\\\\" | replace "'" "\\'") -}}
{{- end -}}
{{- end -}}

{{/* `sink.postgres` of purser.yaml */}}
{{- define "purser.sink" -}}
{{- $facts := include "purser.database" . | fromJson -}}
{{- $external := eq .Values.database.kind "external" -}}
{{- $vault := and $external .Values.database.external.vault -}}
{{- $words := list (printf "host=%s" (include "purser.dsnValue" $facts.host)) (printf "port=%d" (int $facts.port)) (printf "dbname=%s" $facts.name) -}}
{{- if and $facts.user (not $vault) -}}
{{- $words = append $words (printf "user=%s" (include "purser.dsnValue" $facts.user)) -}}
{{- end -}}
{{- $words = append $words (printf "sslmode=%s" $facts.sslMode) -}}
{{- if $facts.ca -}}
{{- $words = append $words "sslrootcert=/etc/purser-sink/ca.crt" -}}
{{- end -}}
dsn: {{ join " " $words | quote }}
{{- if $vault }}
credentialFrom: {vault: {{ .Values.database.external.vault | quote }}}
{{- else }}
credentialFrom: {file: /etc/purser-sink/password}
{{- end }}
{{- with $facts.readerRole }}
readerRole: {{ . | toYaml }}
{{- end }}
{{- with $facts.ownerRole }}
ownerRole: {{ . | toYaml }}
{{- end }}
{{- if and $external (not .Values.database.external.migrate) }}
migrate: false
{{- end }}
{{- end -}}

{{/* Projected beneath /etc/purser-sink */}}
{{- define "purser.sinkSources" -}}
{{- $facts := include "purser.database" . | fromJson -}}
{{- if and $facts.secret (not (and (eq .Values.database.kind "external") .Values.database.external.vault)) }}
- secret: {name: {{ $facts.secret }}, items: [{key: {{ $facts.key }}, path: password}]}
{{- end }}
{{- if $facts.ca }}
- {{ include "purser.caSource" (dict "ca" $facts.ca "path" "ca.crt") }}
{{- end }}
{{- end -}}

{{/* A source of a projected volume. (dict "ca" {secret or configMap, key} "path" PATH) */}}
{{- define "purser.caSource" -}}
{{- $kind := ternary "secret" "configMap" (hasKey .ca "secret") -}}
{{ $kind }}: {name: {{ get .ca $kind }}, items: [{key: {{ default "ca.crt" .ca.key }}, path: {{ .path }}}]}
{{- end -}}
