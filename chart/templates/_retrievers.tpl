{{/*
What values.yaml says, in the form that the other templates use. Structures pass as JSON.

purser.retrievers (top): a list of {name, part, schedule, timeZone, manual, secret, mine, file, image, ..., values}
purser.groups (top): a list of {name, schedule, timeZone, manual, retrievers}: one CronJob each
*/}}

{{/* The files of one retriever, from the chart's files/NAME/ or from the value `files`. (dict "top" $ "name" NAME) */}}
{{- define "purser.files" -}}
{{- $files := dict -}}
{{- $folder := printf "files/%s/" .name -}}
{{- range $path, $bytes := .top.Files.Glob (printf "%s*" $folder) -}}
{{- $_ := set $files (trimPrefix $folder $path) (toString $bytes) -}}
{{- end -}}
{{- range $name, $text := default (dict) (get .top.Values.files .name) -}}
{{- $_ := set $files $name $text -}}
{{- end -}}
{{- toJson $files -}}
{{- end -}}

{{- define "purser.retriever" -}}
{{- $top := .top -}}
{{- $r := .retriever -}}
{{- $fullname := include "purser.fullname" $top -}}
{{- $part := include "purser.part" $r.name -}}
{{- $schedule := default $top.Values.schedule $r.schedule -}}
{{- $manual := or (not $schedule) (eq $schedule "never") -}}
{{- $files := include "purser.files" (dict "top" $top "name" $r.name) | fromJson -}}
{{- $script := dict -}}
{{- if $r.script -}}
{{- $script = ternary (dict "name" $r.script) $r.script (kindIs "string" $r.script) -}}
{{- end -}}
{{- $secret := default (printf "%s-%s-script" $fullname $part) (get (default (dict) $script.secret) "name") -}}
{{- $image := default $top.Values.retrieverImage $r.image -}}
{{- if kindIs "string" $image -}}
{{- $image = dict "reference" $image -}}
{{- else -}}
{{- if not $image.name -}}
{{- $image = merge (deepCopy $image) $top.Values.retrieverImage -}}
{{- end -}}
{{- $image = set (deepCopy $image) "reference" (include "purser.reference" (dict "image" $image "tag" "latest")) -}}
{{- end -}}
{{- $mount := default "/files" $script.mountPath -}}
{{- $prebaked := default false $image.prebaked -}}
{{- $requirements := "" -}}
{{- if and $script.name (not $prebaked) (or (not $files) (hasKey $files "requirements.txt")) -}}
{{- $requirements = printf "%s/requirements.txt" $mount -}}
{{- end -}}
{{- toJson (dict "name" $r.name "part" $part "schedule" (ternary "0 0 1 1 *" $schedule $manual) "manual" $manual
      "timeZone" (default $top.Values.timeZone $r.timeZone) "files" $files "secret" $secret "mount" $mount
      "file" (default "" $script.name) "image" $image "requirements" $requirements "values" $r) -}}
{{- end -}}

{{- define "purser.retrievers" -}}
{{- $all := list -}}
{{- range .Values.retrievers -}}
{{- $all = append $all (include "purser.retriever" (dict "top" $ "retriever" .) | fromJson) -}}
{{- end -}}
{{- toJson $all -}}
{{- end -}}

{{/* The CronJob of the top-level schedule has the release's name; each other one a hash of its schedule behind it. What is run by
hand has no time zone: it is one CronJob. */}}
{{- define "purser.groups" -}}
{{- $fullname := include "purser.fullname" . -}}
{{- $order := list -}}
{{- $groups := dict -}}
{{- $never := or (not .Values.schedule) (eq .Values.schedule "never") -}}
{{- $top := ternary "never" (printf "%s|%s" .Values.schedule .Values.timeZone) $never -}}
{{- range $r := include "purser.retrievers" . | fromJsonArray -}}
{{- $key := ternary "never" (printf "%s|%s" $r.schedule $r.timeZone) $r.manual -}}
{{- if not (hasKey $groups $key) -}}
{{- $order = append $order $key -}}
{{- $usual := eq $key $top -}}
{{- $name := ternary $fullname (printf "%s-%s" $fullname (ternary "manual" ($key | sha256sum | trunc 6) $r.manual)) $usual -}}
{{- $_ := set $groups $key (dict "name" $name "schedule" $r.schedule "timeZone" $r.timeZone "manual" $r.manual "retrievers" list) -}}
{{- end -}}
{{- $group := get $groups $key -}}
{{- $_ := set $group "retrievers" (append $group.retrievers $r) -}}
{{- end -}}
{{- $all := list -}}
{{- range $order -}}
{{- $all = append $all (get $groups .) -}}
{{- end -}}
{{- toJson $all -}}
{{- end -}}

{{/* The key in a source's Secret: said, or the one by which the retrievers' env names it, or "token". */}}
{{- define "purser.tokenKey" -}}
{{- $name := .token.secretName -}}
{{- $keys := list -}}
{{- range $r := .top.Values.retrievers -}}
{{- range $e := default (list) $r.env -}}
{{- $ref := dig "valueFrom" "secretKeyRef" (dict) $e -}}
{{- if and (eq (toString $ref.name) $name) $ref.key -}}
{{- $keys = append $keys $ref.key | uniq -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if .token.key -}}
{{- .token.key -}}
{{- else if gt (len $keys) 1 -}}
{{- fail (printf "the retrievers' env names the Secret %s by the keys %s; say which holds the token: sources[].token.key" $name (join ", " $keys)) -}}
{{- else -}}
{{- default "token" (first $keys) -}}
{{- end -}}
{{- end -}}

{{/* The name of the Secret that holds a source's token, or "". */}}
{{- define "purser.tokenSecret" -}}
{{- if .secretName -}}
{{- .secretName -}}
{{- else if .kubernetes -}}
{{- ternary .kubernetes (get (ternary (dict) .kubernetes (kindIs "string" .kubernetes)) "secretName") (kindIs "string" .kubernetes) -}}
{{- end -}}
{{- end -}}

{{/* The sources that one retriever may use. (dict "top" $ "retriever" VALUES): a list of names */}}
{{- define "purser.sourcesOf" -}}
{{- $names := list -}}
{{- if hasKey .retriever "sources" -}}
{{- $names = default (list) .retriever.sources -}}
{{- else -}}
{{- range $e := default (list) .retriever.env -}}
{{- $secret := dig "valueFrom" "secretKeyRef" "name" "" $e -}}
{{- range $source := $.top.Values.sources -}}
{{- if and $secret (eq (include "purser.tokenSecret" $source.token) $secret) -}}
{{- $names = append $names $source.name -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toJson ($names | uniq) -}}
{{- end -}}
