{{/* Names, with room for what is added: StatefulSets label their pods with name and hash. */}}
{{- define "antiphon.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "antiphon.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- else if contains (include "antiphon.name" .) .Release.Name }}
{{- .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "antiphon.name" .) | trunc 40 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "antiphon.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "antiphon.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "antiphon.image" -}}
{{- if .Values.image.digest }}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest }}
{{- else }}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) }}
{{- end }}
{{- end }}

{{/* Labels by which an object of a component is found: (list $ "gateway"). */}}
{{- define "antiphon.selectorLabels" -}}
app.kubernetes.io/name: {{ include "antiphon.name" (index . 0) }}
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{- define "antiphon.labels" -}}
{{- $root := index . 0 -}}
{{ include "antiphon.selectorLabels" . }}
app.kubernetes.io/part-of: antiphon
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name ($root.Chart.Version | replace "+" "_") }}
{{- with $root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "antiphon.isSqlite" -}}
{{- if eq .Values.database.kind "sqlite" }}yes{{ end }}
{{- end }}

{{/* Whether the chart makes the Secret from plain values. */}}
{{- define "antiphon.makesSecret" -}}
{{- if .Values.secrets.values }}yes{{ end }}
{{- end }}

{{- define "antiphon.secretName" -}}
{{- default (include "antiphon.fullname" .) .Values.secrets.existingSecret }}
{{- end }}

{{- define "antiphon.hasSecret" -}}
{{- if or .Values.secrets.existingSecret .Values.secrets.values .Values.secrets.externalSecret.enabled }}yes{{ end }}
{{- end }}

{{- define "antiphon.isBundled" -}}
{{- if or .Values.bundled.postgresql.enabled .Values.bundled.redis.enabled }}yes{{ end }}
{{- end }}

{{- define "antiphon.usesRedis" -}}
{{- if or .Values.redis.enabled .Values.bundled.redis.enabled }}yes{{ end }}
{{- end }}

{{/* Seconds, rounded up, of a duration such as 500ms: (list "10s" "config.timeouts.drain"). */}}
{{- define "antiphon.seconds" -}}
{{- $text := toString (index . 0) -}}
{{- if not (regexMatch "^[0-9]{1,9}(ms|s|m|h)$" $text) -}}
{{- fail (printf "%s: %q is no duration such as 500ms, 10s, 5m or 2h" (index . 1) $text) -}}
{{- end -}}
{{- $number := regexFind "^[0-9]+" $text | int -}}
{{- if hasSuffix "ms" $text -}}
{{- div (add $number 999) 1000 -}}
{{- else if hasSuffix "s" $text -}}
{{- $number -}}
{{- else if hasSuffix "m" $text -}}
{{- mul $number 60 -}}
{{- else -}}
{{- mul $number 3600 -}}
{{- end -}}
{{- end }}

{{/* The gateway's own defaults hold where nothing is written. */}}
{{- define "antiphon.sessionSeconds" -}}
{{- include "antiphon.seconds" (list (dig "limits" "session_max_age" "60m" .Values.config) "config.limits.session_max_age") }}
{{- end }}

{{- define "antiphon.drainSeconds" -}}
{{- $drain := include "antiphon.seconds" (list (dig "timeouts" "drain" "30s" .Values.config) "config.timeouts.drain") | int -}}
{{- $delay := include "antiphon.seconds" (list (dig "timeouts" "drain_delay" "0s" .Values.config) "config.timeouts.drain_delay") | int -}}
{{- add $drain $delay }}
{{- end }}

{{/* What a pod needs to end in order: preStop, drain_delay, drain, and some more. */}}
{{- define "antiphon.graceNeeded" -}}
{{- $drain := .Values.gateway.drain -}}
{{- add (include "antiphon.drainSeconds" . | int) (int $drain.preStopSeconds) (int $drain.marginSeconds) }}
{{- end }}

{{- define "antiphon.grace" -}}
{{- if kindIs "invalid" .Values.gateway.terminationGracePeriodSeconds }}
{{- include "antiphon.graceNeeded" . }}
{{- else }}
{{- int .Values.gateway.terminationGracePeriodSeconds }}
{{- end }}
{{- end }}

{{/* The largest upload that the configuration permits to anybody, in MiB. */}}
{{- define "antiphon.uploadMib" -}}
{{- $most := dig "limits" "max_upload_mib" 25 .Values.config | int -}}
{{- range .Values.config.tenants }}
{{- range .keys }}
{{- $most = max $most (int (default 0 .max_upload_mib)) -}}
{{- end }}
{{- end }}
{{- $most }}
{{- end }}

{{/* antiphon.yaml: what the values say, under what only the chart knows. */}}
{{- define "antiphon.config" -}}
{{- $address := .Values.listenAddress -}}
{{- $server := dict
      "gateway" (dict "bind" (printf "%s:8080" $address))
      "admin" (dict "bind" (printf "%s:8081" $address))
      "metrics" (dict "bind" (printf "%s:9464" $address))
      "data_dir" "/var/lib/antiphon" -}}
{{- $own := dict "server" $server -}}
{{- if include "antiphon.isSqlite" . -}}
{{- $_ := set $own "database" (dict "url" "sqlite:///var/lib/antiphon/antiphon.db") -}}
{{- end -}}
{{- toYaml (mergeOverwrite (deepCopy .Values.config) $own) }}
{{- end }}

{{/* Annotations by which pods are rolled out anew when what they read has changed. */}}
{{- define "antiphon.checksums" -}}
checksum/config: {{ include "antiphon.config" . | sha256sum }}
{{- if include "antiphon.makesSecret" . }}
checksum/secret: {{ toJson .Values.secrets.values | sha256sum }}
{{- end }}
{{- if include "antiphon.isBundled" . }}
checksum/bundled: {{ toJson (list .Values.bundled.postgresql.password .Values.bundled.redis.password) | sha256sum }}
{{- end }}
{{- end }}

{{/* The environment of everything that runs the gateway's image. */}}
{{- define "antiphon.environment" -}}
{{- with .Values.extraEnv }}
env:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if or (include "antiphon.hasSecret" .) (include "antiphon.isBundled" .) }}
envFrom:
  {{- if include "antiphon.hasSecret" . }}
  - secretRef:
      name: {{ include "antiphon.secretName" . }}
  {{- end }}
  {{- if include "antiphon.isBundled" . }}
  - secretRef:
      name: {{ include "antiphon.fullname" . }}-bundled
  {{- end }}
{{- end }}
{{- end }}

{{/* What every pod of the gateway's image has in common. Links to Services would be variables named ANTIPHON_…. */}}
{{- define "antiphon.podBasics" -}}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  {{- toYaml .Values.podSecurityContext | nindent 2 }}
{{- end }}

{{/* Where pods run: of `gateway` or `admin`. */}}
{{- define "antiphon.placement" -}}
{{- with .nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end }}

{{/* Three probes on a port: (dict "probes" … "port" "http"). */}}
{{- define "antiphon.probes" -}}
startupProbe:
  httpGet: {path: /healthz, port: {{ .port }}}
  {{- toYaml .probes.startup | nindent 2 }}
livenessProbe:
  httpGet: {path: /healthz, port: {{ .port }}}
  {{- toYaml .probes.liveness | nindent 2 }}
readinessProbe:
  httpGet: {path: /readyz, port: {{ .port }}}
  {{- toYaml .probes.readiness | nindent 2 }}
{{- end }}

{{/* Time for balancers to learn that a pod leaves; there is no shell in the image, so the kubelet sleeps. */}}
{{- define "antiphon.lifecycle" -}}
{{- $seconds := int .Values.gateway.drain.preStopSeconds -}}
{{- if gt $seconds 0 }}
lifecycle:
  preStop:
    sleep:
      seconds: {{ $seconds }}
{{- end }}
{{- end }}
