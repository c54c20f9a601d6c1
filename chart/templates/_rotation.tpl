{{/* Which sources are rotated here: [{name of the objects, source, secret}] as JSON. */}}
{{- define "purser.rotated" -}}
{{- $rotated := list -}}
{{- range $source := .Values.sources -}}
{{- if dig "rotate" "schedule" "" $source -}}
{{- $secret := include "purser.tokenSecret" $source.token -}}
{{- if not $secret -}}
{{- fail (printf "sources: %s is rotated by a Job where its token is in a Secret of this namespace; take its `rotate` out, and say `purser rotate %s` where its store can be written" $source.name $source.name) -}}
{{- end -}}
{{- $name := printf "%s-%s" (include "purser.rotation" $) ($source.name | replace "_" "-" | replace "." "-") | trunc 52 | trimSuffix "-" -}}
{{- $rotated = append $rotated (dict "name" $name "source" $source "secret" $secret) -}}
{{- end -}}
{{- end -}}
{{- toJson $rotated -}}
{{- end -}}

{{/* What its objects and its service account are called. */}}
{{- define "purser.rotation" -}}
{{- printf "%s-rotate" (include "purser.fullname" .) -}}
{{- end -}}
