{{/*
The pod of one group of retrievers. (dict "top" $ "name" NAME "config" CONFIGMAP "retrievers" LIST)

Who sees what: config, state, the database's credential and the tokens of the service account are mounted into init and
agent alone; a retriever has its own socket, output, scratch and script, and nothing of another's.
*/}}

{{- define "purser.nativeSidecar" -}}
{{- if eq (toString .Values.agent.nativeSidecar) "auto" -}}
{{- ternary "true" "" (semverCompare ">=1.29.0-0" .Capabilities.KubeVersion.Version) -}}
{{- else -}}
{{- ternary "true" "" (eq (toString .Values.agent.nativeSidecar) "true") -}}
{{- end -}}
{{- end -}}

{{/* Whether init and agent talk to the API server: a token is in a Secret, or minted by it. */}}
{{- define "purser.asksApiServer" -}}
{{- $all := toJson .Values.sources -}}
{{- if or (contains "\"secretName\"" $all) (contains "\"kubernetes\"" $all) (contains "\"kubernetesTokenRequest\"" $all) -}}true{{- end -}}
{{- end -}}

{{- define "purser.agentMounts" -}}
- {name: config, mountPath: /etc/purser, readOnly: true}
- {name: state, mountPath: /var/lib/purser}
- {name: audit-key, mountPath: /etc/purser-audit, readOnly: true}
{{- if include "purser.sinkSources" .top | trim }}
- {name: sink, mountPath: /etc/purser-sink, readOnly: true}
{{- end }}
{{- if include "purser.asksApiServer" .top }}
- {name: api-token, mountPath: /var/run/secrets/kubernetes.io/serviceaccount, readOnly: true}
{{- end }}
{{- if .top.Values.vault.role }}
- {name: vault-token, mountPath: /var/run/secrets/purser/vault, readOnly: true}
{{- end }}
{{- if .top.Values.vault.ca }}
- {name: vault-ca, mountPath: /etc/purser-vault, readOnly: true}
{{- end }}
{{- if .top.Values.site.ca }}
- {name: site-ca, mountPath: /etc/purser-ca, readOnly: true}
{{- end }}
{{- with .top.Values.agent.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "purser.auditSecret" -}}
{{- default (printf "%s-audit" (include "purser.fullname" .)) .Values.audit.existingSecret -}}
{{- end -}}

{{- define "purser.agentEnv" -}}
- {name: POD_NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
- {name: POD_NAMESPACE, valueFrom: {fieldRef: {fieldPath: metadata.namespace}}}
{{- end -}}

{{- define "purser.agent" -}}
{{- $native := include "purser.nativeSidecar" .top -}}
- name: agent
  image: {{ include "purser.image" .top | toYaml }}
  imagePullPolicy: {{ .top.Values.image.pullPolicy }}
  command: [/usr/bin/purser, agent, --file, /etc/purser/purser.yaml, --grace, {{ .top.Values.terminationGracePeriodSeconds }}s
    {{- if not $native }}, --end-when-done{{ end }}]
  {{- if $native }}
  restartPolicy: Always
  startupProbe:
    exec: {command: [/usr/bin/purser, ready]}
    periodSeconds: 1
    timeoutSeconds: 5
    failureThreshold: 120
  {{- end }}
  env:
    {{- include "purser.agentEnv" .top | nindent 4 }}
  terminationMessagePolicy: FallbackToLogsOnError
  securityContext:
    {{- include "purser.confined" 65532 | nindent 4 }}
  {{- with .top.Values.agent.resources }}
  resources:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  volumeMounts:
    {{- include "purser.agentMounts" . | nindent 4 }}
    {{- range .retrievers }}
    - {name: {{ printf "run-%s" .part }}, mountPath: {{ printf "/run/purser/%s" .name }}}
    {{- end }}
{{- end -}}

{{- define "purser.init" -}}
- name: init
  image: {{ include "purser.image" .top | toYaml }}
  imagePullPolicy: {{ .top.Values.image.pullPolicy }}
  command: [/usr/bin/purser, init, --file, /etc/purser/purser.yaml, --wait, {{ .top.Values.init.wait }}]
  env:
    {{- include "purser.agentEnv" .top | nindent 4 }}
  terminationMessagePolicy: FallbackToLogsOnError
  securityContext:
    {{- include "purser.confined" 65532 | nindent 4 }}
  {{- with .top.Values.agent.resources }}
  resources:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  volumeMounts:
    {{- include "purser.agentMounts" . | nindent 4 }}
    - {name: bin, mountPath: /purser/bin}
{{- end -}}

{{/* (dict "top" $ "retriever" R "index" N) */}}
{{- define "purser.retrieverContainer" -}}
{{- $r := .retriever -}}
{{- $values := $r.values -}}
- name: {{ $r.part | toYaml }}
  image: {{ $r.image.reference | toYaml }}
  {{- with default .top.Values.retrieverImage.pullPolicy $r.image.pullPolicy }}
  imagePullPolicy: {{ . }}
  {{- end }}
  command:
  - /purser/bin/purser-exec
  {{- if $r.requirements }}
  - --requirements
  - {{ $r.requirements | toYaml }}
  {{- with .top.Values.site.packageIndex }}
  - --package-index
  - {{ . | toYaml }}
  {{- end }}
  {{- with .top.Values.site.proxy }}
  - --proxy
  - {{ . | toYaml }}
  {{- end }}
  {{- if .top.Values.site.ca }}
  - --ca-file
  - /etc/purser-ca/ca.crt
  {{- end }}
  {{- end }}
  - --
  {{- if $r.file }}
  - python3
  - {{ printf "%s/%s" $r.mount $r.file | toYaml }}
  {{- else }}
  {{- toYaml $values.command | nindent 2 }}
  {{- end }}
  env:
  - {name: PURSER_RETRIEVER, value: {{ $r.name | quote }}}
  - {name: OUTPUTDIR, value: {{ .top.Values.OUTPUTDIR | quote }}}
  {{- range $name := list (default "" .top.Values.outputEnv) (default "" $values.outputEnv) | compact | uniq }}
  {{- if ne $name "OUTPUTDIR" }}
  - {name: {{ $name }}, value: {{ $.top.Values.OUTPUTDIR | quote }}}
  {{- end }}
  {{- end }}
  {{- range $e := default (list) $values.env }}
  {{- if not (dig "valueFrom" "secretKeyRef" (dict) $e) }}
  - {{ toYaml $e | nindent 4 | trim }}
  {{- end }}
  {{- end }}
  terminationMessagePolicy: FallbackToLogsOnError
  securityContext:
    {{- include "purser.confined" (add 65600 .index) | nindent 4 }}
  {{- with default .top.Values.retrieverResources $values.resources }}
  resources:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  volumeMounts:
  - {name: bin, mountPath: /purser/bin, readOnly: true}
  - {name: run-{{ $r.part }}, mountPath: /run/purser}
  - {name: output-{{ $r.part }}, mountPath: {{ .top.Values.OUTPUTDIR }}}
  - {name: scratch-{{ $r.part }}, mountPath: /tmp}
  {{- if $r.file }}
  - {name: script-{{ $r.part }}, mountPath: {{ $r.mount }}, readOnly: true}
  {{- end }}
  {{- if .top.Values.site.ca }}
  - {name: site-ca, mountPath: /etc/purser-ca, readOnly: true}
  {{- end }}
  {{- with concat (default (list) .top.Values.extraVolumeMounts) (default (list) $values.extraVolumeMounts) }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/* The pod's own login to Vault, whichever role it is for. */}}
{{- define "purser.vaultToken" -}}
- name: vault-token
  projected:
    sources:
    - serviceAccountToken: {path: token, audience: {{ .Values.vault.audience | quote }}, expirationSeconds: 3600}
{{- end -}}

{{- define "purser.volumes" -}}
- name: config
  configMap:
    name: {{ .config }}
    items:
    - {key: purser.yaml, path: purser.yaml}
    {{- range $name, $text := include "purser.policies" .top | fromJson }}
    - {key: policy.{{ $name }}.yaml, path: policy/{{ $name }}.yaml}
    {{- end }}
- {name: bin, emptyDir: {medium: Memory, sizeLimit: 4Mi}}
- {name: state, emptyDir: {medium: Memory, sizeLimit: {{ .top.Values.agent.stateSizeLimit }}}}
- {name: audit-key, secret: {secretName: {{ include "purser.auditSecret" .top }}, items: [{key: audit.key, path: audit.key}], defaultMode: 0444}}
{{- with include "purser.sinkSources" .top | trim }}
- name: sink
  projected:
    sources:
    {{- . | nindent 4 }}
{{- end }}
{{- if include "purser.asksApiServer" .top }}
- name: api-token
  projected:
    sources:
    - serviceAccountToken: {path: token, expirationSeconds: 3607}
    - configMap: {name: kube-root-ca.crt, items: [{key: ca.crt, path: ca.crt}]}
    - downwardAPI: {items: [{path: namespace, fieldRef: {fieldPath: metadata.namespace}}]}
{{- end }}
{{- if .top.Values.vault.role }}
{{ include "purser.vaultToken" .top }}
{{- end }}
{{- range $name, $ca := dict "vault-ca" .top.Values.vault.ca "site-ca" .top.Values.site.ca }}
{{- if $ca }}
- name: {{ $name }}
  projected:
    sources:
    - {{ include "purser.caSource" (dict "ca" $ca "path" "ca.crt") }}
{{- end }}
{{- end }}
{{- range .retrievers }}
- {name: run-{{ .part }}, emptyDir: {medium: Memory, sizeLimit: 1Mi}}
- {name: output-{{ .part }}, emptyDir: {medium: Memory, sizeLimit: {{ include "purser.outputSize" .values }}}}
- {name: scratch-{{ .part }}, emptyDir: {sizeLimit: {{ $.top.Values.scratchSizeLimit }}}}
{{- if .file }}
- {name: script-{{ .part }}, secret: {secretName: {{ .secret }}, defaultMode: 0444}}
{{- end }}
{{- end }}
{{- with .top.Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* What purser may load of one run, as Kubernetes writes it; 256 MiB as purser's own default. */}}
{{- define "purser.outputSize" -}}
{{- $said := dig "limits" "outputBytes" "256MiB" . | include "purser.text" -}}
{{- if not (regexMatch "^[0-9]+ ?([KMG]iB|[kMG]B|B)?$" $said) -}}
{{- fail (printf "retrievers[].limits.outputBytes: %q is not a size as in 256MiB" $said) -}}
{{- end -}}
{{- $said | replace " " "" | trimSuffix "B" -}}
{{- end -}}

{{- define "purser.podSpec" -}}
{{- $native := include "purser.nativeSidecar" .top -}}
serviceAccountName: {{ include "purser.serviceAccount" .top }}
automountServiceAccountToken: false
enableServiceLinks: false
restartPolicy: Never
terminationGracePeriodSeconds: {{ .top.Values.terminationGracePeriodSeconds }}
{{- with include "purser.pullSecrets" .top }}
{{- . | trim | nindent 0 }}
{{- end }}
{{- with .top.Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .top.Values.runtimeClassName }}
runtimeClassName: {{ . }}
{{- end }}
{{- range $key := list "nodeSelector" "tolerations" "affinity" "topologySpreadConstraints" "hostAliases" "dnsConfig" }}
{{- with get $.top.Values $key }}
{{ $key }}:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
securityContext:
  runAsNonRoot: true
  seccompProfile: {type: RuntimeDefault}
initContainers:
{{- include "purser.init" . | nindent 0 }}
{{- if $native }}
{{- include "purser.agent" . | nindent 0 }}
{{- end }}
containers:
{{- if not $native }}
{{- include "purser.agent" . | nindent 0 }}
{{- end }}
{{- range $index, $r := .retrievers }}
{{- include "purser.retrieverContainer" (dict "top" $.top "retriever" $r "index" $index) | nindent 0 }}
{{- end }}
volumes:
{{- include "purser.volumes" . | nindent 0 }}
{{- end -}}

{{- define "purser.pod" -}}
metadata:
  labels:
    {{- include "purser.labels" .top | nindent 4 }}
    app.kubernetes.io/component: retrievers
    {{- with .top.Values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with .top.Values.podAnnotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  {{- include "purser.podSpec" . | nindent 2 }}
{{- end -}}

{{- define "purser.job" -}}
backoffLimit: {{ .top.Values.job.backoffLimit }}
{{- with .top.Values.job.activeDeadlineSeconds }}
activeDeadlineSeconds: {{ . }}
{{- end }}
{{- if not (kindIs "invalid" .top.Values.job.ttlSecondsAfterFinished) }}
ttlSecondsAfterFinished: {{ .top.Values.job.ttlSecondsAfterFinished }}
{{- end }}
template:
  {{- include "purser.pod" . | nindent 2 }}
{{- end -}}
