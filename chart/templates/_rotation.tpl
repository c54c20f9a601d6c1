{{/* Which sources are rotated here: [{name of the objects, source, secret, or the path in Vault}] as JSON. */}}
{{- define "purser.rotated" -}}
{{- $rotated := list -}}
{{- range $source := .Values.sources -}}
{{- if dig "rotate" "schedule" "" $source -}}
{{- $secret := include "purser.tokenSecret" $source.token -}}
{{- $vault := include "purser.rotatedInVault" (dict "top" $ "source" $source) -}}
{{- if not (or $secret $vault) -}}
{{- fail (printf "sources: %s is rotated by a Job where its token is in a Secret of this namespace, or in Vault; take its `rotate` out, and say `purser rotate %s` where its store can be written" $source.name $source.name) -}}
{{- end -}}
{{- $name := include "purser.rotationName" (dict "top" $ "source" $source.name) -}}
{{- $rotated = append $rotated (dict "name" $name "source" $source "secret" $secret "vault" $vault) -}}
{{- end -}}
{{- end -}}
{{- toJson $rotated -}}
{{- end -}}

{{/* Of a CronJob; what had to be changed or cut gets a hash, so that two stay two. (dict "top" $ "source" NAME) */}}
{{- define "purser.rotationName" -}}
{{- $plain := .source | replace "_" "-" | replace "." "-" -}}
{{- $name := printf "%s-%s" (include "purser.rotation" .top) $plain -}}
{{- if and (eq $plain .source) (le (len $name) 52) -}}
{{- $name -}}
{{- else -}}
{{- printf "%s-%s" ($name | trunc 45 | trimSuffix "-") (.source | sha256sum | trunc 6) -}}
{{- end -}}
{{- end -}}

{{/* The path of a source's token in Vault, or "". (dict "top" $ "source" SOURCE) */}}
{{- define "purser.rotatedInVault" -}}
{{- $name := .source.name -}}
{{- with .source.token.vault -}}
{{- if not (and (kindIs "map" .) .path .key) -}}
{{- fail (printf "sources: %s is rotated, so say where in Vault its token is: vault: {path: secret/data/NAME, key: KEY}" $name) -}}
{{- end -}}
{{- if .version -}}
{{- fail (printf "sources: %s is rotated, and a pinned `version` of its secret never changes; take one of the two out" $name) -}}
{{- end -}}
{{- if not $.top.Values.vault.rotationRole -}}
{{- fail (printf "sources: %s has its token in Vault, and `rotate`; say vault.rotationRole, a role of Vault's kubernetes login that may write it (docs/kubernetes.md has its policy): agents, by vault.role, can only read" $name) -}}
{{- end -}}
{{- if eq $.top.Values.vault.rotationRole $.top.Values.vault.role -}}
{{- fail "vault.rotationRole is the role of rotations alone, and vault.role that of agents, which can only read: give each one of its own" -}}
{{- end -}}
{{- .path -}}
{{- end -}}
{{- end -}}

{{/* What its objects and its service account are called. */}}
{{- define "purser.rotation" -}}
{{- printf "%s-rotate" (include "purser.fullname" .) -}}
{{- end -}}
