{{/* What the schema cannot say: each a sentence with what to write instead. */}}
{{- define "purser.check" -}}
{{- if .Values.influxdb -}}
{{- fail "influxdb: purser loads the results into PostgreSQL (database:), with Grafana dashboards over it; take `influxdb` out. To keep an InfluxDB as well, write to it from a retriever of its own, with its token as a source." -}}
{{- end -}}
{{- if .Values.dbPusher -}}
{{- fail "dbPusher: there is no pusher any more: purser's agent loads what a retriever leaves in $OUTPUTDIR. Take `dbPusher` out; its image is `image`, its resources are `agent.resources`, its database is `database`." -}}
{{- end -}}
{{- $names := dict -}}
{{- $owner := dict -}}
{{- range $r := include "purser.retrievers" . | fromJsonArray -}}
{{- if has $r.part (list "init" "agent") -}}
{{- fail (printf "a retriever cannot be called %s: that is a container of purser's own" $r.name) -}}
{{- end -}}
{{- if and $r.files (hasKey $owner $r.secret) -}}
{{- fail (printf "the retrievers %s and %s would both have their files in the Secret %s; give each one of its own: script.secret.name" (get $owner $r.secret) $r.name $r.secret) -}}
{{- end -}}
{{- $_ := set $owner $r.secret $r.name -}}
{{- if hasKey $names $r.name -}}
{{- fail (printf "there are two retrievers %q" $r.name) -}}
{{- end -}}
{{- $_ := set $names $r.name true -}}
{{- include "purser.checkRetriever" (dict "top" $ "r" $r) -}}
{{- end -}}
{{- range $name, $files := .Values.files -}}
{{- if not (hasKey $names $name) -}}
{{- fail (printf "files.%s: there is no retriever of that name" $name) -}}
{{- end -}}
{{- end -}}
{{- $tokens := dict -}}
{{- range $source := .Values.sources -}}
{{- if and $source.token.secretName $source.token.secretValue -}}
{{- if ne (default $source.token.secretValue (get $tokens $source.token.secretName)) $source.token.secretValue -}}
{{- fail (printf "two sources have another secretValue each for the Secret %s" $source.token.secretName) -}}
{{- end -}}
{{- $_ := set $tokens $source.token.secretName $source.token.secretValue -}}
{{- end -}}
{{- if $source.token.keyring -}}
{{- fail (printf "the source %s has its token in a keyring, which is for one machine; in a cluster write `token: {secretName: NAME}` or `token: {vault: {path: PATH, key: KEY}}`" $source.name) -}}
{{- end -}}
{{- if and (contains "\"vault\"" (toJson $source.token)) (not $.Values.vault.address) -}}
{{- fail (printf "the source %s has its token in Vault; say where that is: vault.address and vault.role" $source.name) -}}
{{- end -}}
{{- end -}}
{{- if and (eq .Values.database.kind "external") .Values.database.external.vault (not .Values.vault.address) -}}
{{- fail "database.external.vault: its user and password are Vault's; say where that is: vault.address and vault.role" -}}
{{- end -}}
{{- if and .Values.vault.role .Values.vault.auth -}}
{{- fail "vault: say either `role` (the login of this pod's service account) or `auth` (any other login), not both" -}}
{{- end -}}
{{- end -}}

{{- define "purser.checkRetriever" -}}
{{- $name := .r.name -}}
{{- $values := .r.values -}}
{{- if eq (not .r.file) (not $values.command) -}}
{{- fail (printf "the retriever %s needs either `script: {name: FILE.py}` or `command: [PROGRAM, ARGUMENT...]`" $name) -}}
{{- end -}}
{{- if and .r.file (not .r.files) (not (dig "secret" "name" "" (ternary (dict) $values.script (kindIs "string" $values.script)))) -}}
{{- fail (printf "the retriever %s has no files: put %s into the chart's files/%s/, or hand it over by `--set-file 'files.%s.%s=PATH'`, or name a Secret that has it: script.secret.name" $name .r.file $name $name (.r.file | replace "." "\\.")) -}}
{{- end -}}
{{- if and .r.file .r.files (not (hasKey .r.files .r.file)) -}}
{{- fail (printf "the retriever %s: its script is %s, but its files are %s" $name .r.file (join ", " (keys .r.files | sortAlpha))) -}}
{{- end -}}
{{- $known := list -}}
{{- range $source := .top.Values.sources -}}
{{- $known = append $known $source.name -}}
{{- end -}}
{{- range $source := default (list) $values.sources -}}
{{- if not (has $source $known) -}}
{{- fail (printf "the retriever %s uses the source %s, which is not there; sources has: %s" $name $source (join ", " $known)) -}}
{{- end -}}
{{- end -}}
{{- if and (not (hasKey $values "sources")) (not (include "purser.sourcesOf" (dict "top" .top "retriever" $values) | fromJsonArray)) -}}
{{- fail (printf "the retriever %s names no source: say `sources: [NAME]` (`sources: []` if it needs none), or name a source's Secret in its env (valueFrom.secretKeyRef)" $name) -}}
{{- end -}}
{{- $reserved := list "OUTPUTDIR" "PURSER_RETRIEVER" -}}
{{- range $e := default (list) $values.env -}}
{{- if has $e.name $reserved -}}
{{- fail (printf "the retriever %s: the variable %s is set by the chart (OUTPUTDIR: the top-level value)" $name $e.name) -}}
{{- end -}}
{{- with dig "valueFrom" "secretKeyRef" "name" "" $e -}}
{{- if not (include "purser.isSource" (dict "top" $.top "secret" .)) -}}
{{- fail (printf "the retriever %s: %s is to come from the Secret %s, which is no source's; a retriever is handed no secret. Make it a source (purser then puts the credential on the calls), or mount it yourself (extraVolumes, extraVolumeMounts)" $name $e.name .) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "purser.isSource" -}}
{{- $secret := .secret -}}
{{- range .top.Values.sources -}}
{{- if eq (include "purser.tokenSecret" .token) $secret -}}true{{- end -}}
{{- end -}}
{{- end -}}
