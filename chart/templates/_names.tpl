{{/*
Names and labels. Cut so that what is put behind them (a CronJob's name may have 52 characters) survives; by toYaml, which puts
what looks like a number in quotes: a release is called 123 where it is made of a pull request's.
*/}}

{{- define "purser.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "purser.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- $name := include "purser.name" . -}}
{{- ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* A retriever's name as part of a Kubernetes name: what had to be changed gets a hash, so that two stay two. */}}
{{- define "purser.part" -}}
{{- $plain := . | replace "_" "-" | replace "." "-" | trimAll "-" -}}
{{- if and (eq $plain .) (le (len .) 48) -}}
{{- . -}}
{{- else -}}
{{- printf "%s-%s" ($plain | trunc 40 | trimSuffix "-") (. | sha256sum | trunc 6) -}}
{{- end -}}
{{- end -}}

{{- define "purser.labels" -}}
{{ include "purser.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 }}
{{- with .Values.labels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "purser.selector" -}}
app.kubernetes.io/name: {{ include "purser.name" . | toYaml }}
app.kubernetes.io/instance: {{ .Release.Name | trunc 63 | trimSuffix "-" | toYaml }}
{{- end -}}

{{/* (dict "top" $ "name" NAME "component" COMPONENT "annotations" DICT) */}}
{{- define "purser.metadata" -}}
name: {{ .name | toYaml }}
namespace: {{ .top.Release.Namespace | toYaml }}
labels:
  {{- include "purser.labels" .top | nindent 2 }}
  app.kubernetes.io/component: {{ .component }}
  {{- with .labels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with merge (dict) (default (dict) .annotations) .top.Values.annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "purser.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "purser.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- required "serviceAccount.name: with create: false, name the service account that is there" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* A value as it was written: Helm holds whole numbers as others, and writes 20261126 as 2.0261126e+07. */}}
{{- define "purser.text" -}}
{{- if and (kindIs "float64" .) (eq (floor .) .) -}}
{{- int64 . -}}
{{- else -}}
{{- . -}}
{{- end -}}
{{- end -}}

{{/* (dict "image" {repository or name, tag, digest}) */}}
{{- define "purser.reference" -}}
{{- $repository := default .image.name .image.repository -}}
{{- if .image.digest -}}
{{- printf "%s@%s" $repository .image.digest -}}
{{- else -}}
{{- printf "%s:%s" $repository (include "purser.text" (default .tag .image.tag)) -}}
{{- end -}}
{{- end -}}

{{- define "purser.image" -}}
{{- include "purser.reference" (dict "image" .Values.image "tag" .Chart.AppVersion) -}}
{{- end -}}

{{- define "purser.pullSecrets" -}}
{{- with concat (default (list) .Values.image.pullSecrets) (default (list) .Values.imagePullSecrets) | uniq }}
imagePullSecrets:
{{- range . }}
{{- if kindIs "string" . }}
- name: {{ . }}
{{- else }}
- {{ toYaml . }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Of every container: Pod Security "restricted". The argument: its user id. */}}
{{- define "purser.confined" -}}
allowPrivilegeEscalation: false
capabilities: {drop: [ALL]}
readOnlyRootFilesystem: true
runAsNonRoot: true
runAsUser: {{ . }}
runAsGroup: {{ . }}
{{- end -}}
