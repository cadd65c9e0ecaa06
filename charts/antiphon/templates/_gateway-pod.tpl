{{/* The gateway's pod, for a Deployment as for a StatefulSet. On SQLite it serves both planes. */}}
{{- define "antiphon.gatewayPod" -}}
{{- $sqlite := include "antiphon.isSqlite" . -}}
metadata:
  annotations:
    {{- include "antiphon.checksums" . | nindent 4 }}
    {{- if .Values.metrics.podAnnotations }}
    prometheus.io/scrape: "true"
    prometheus.io/port: "9464"
    prometheus.io/path: /metrics
    {{- end }}
    {{- with .Values.gateway.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  labels:
    {{- include "antiphon.labels" (list . "gateway") | nindent 4 }}
    {{- with .Values.gateway.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  {{- include "antiphon.podBasics" . | nindent 2 }}
  serviceAccountName: {{ include "antiphon.serviceAccountName" . }}
  terminationGracePeriodSeconds: {{ include "antiphon.grace" . }}
  {{- with include "antiphon.placement" .Values.gateway | trim }}
  {{- . | nindent 2 }}
  {{- end }}
  {{- with include "antiphon.spread" . | trim }}
  {{- . | nindent 2 }}
  {{- end }}
  containers:
    - name: gateway
      image: {{ include "antiphon.image" . }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      args: [{{ ternary "serve" "gateway" (not (empty $sqlite)) }}, --config, /etc/antiphon/antiphon.yaml]
      {{- with include "antiphon.environment" . | trim }}
      {{- . | nindent 6 }}
      {{- end }}
      ports:
        - {name: http, containerPort: 8080}
        - {name: metrics, containerPort: 9464}
        {{- if and $sqlite .Values.admin.enabled }}
        - {name: admin, containerPort: 8081}
        {{- end }}
      {{- include "antiphon.probes" (dict "probes" .Values.gateway.probes "port" "http") | nindent 6 }}
      {{- with include "antiphon.lifecycle" . | trim }}
      {{- . | nindent 6 }}
      {{- end }}
      securityContext:
        {{- toYaml .Values.securityContext | nindent 8 }}
      resources:
        {{- toYaml .Values.gateway.resources | nindent 8 }}
      volumeMounts:
        - {name: config, mountPath: /etc/antiphon, readOnly: true}
        - {name: data, mountPath: /var/lib/antiphon}
        - {name: tmp, mountPath: /tmp}
        {{- with .Values.extraVolumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
  volumes:
    - name: config
      configMap:
        name: {{ include "antiphon.fullname" . }}
    - name: tmp
      emptyDir: {sizeLimit: 256Mi}
    {{- if $sqlite }}
    - name: data
      persistentVolumeClaim:
        claimName: {{ default (printf "%s-data" (include "antiphon.fullname" .)) .Values.gateway.journal.existingClaim }}
    {{- else if eq .Values.gateway.kind "Deployment" }}
    - name: data
      emptyDir: {sizeLimit: {{ .Values.gateway.journal.size }}}
    {{- end }}
    {{- with .Values.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end }}

{{/* Over zones and nodes, where there are any; a node that is full is no reason to wait. */}}
{{- define "antiphon.spread" -}}
{{- $selector := include "antiphon.selectorLabels" (list . "gateway") | fromYaml -}}
{{- $constraints := .Values.gateway.topologySpreadConstraints -}}
{{- if and .Values.gateway.spread (not $constraints) -}}
{{- range $key := list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
{{- $constraints = append $constraints (dict "maxSkew" 1 "topologyKey" $key "whenUnsatisfiable" "ScheduleAnyway") -}}
{{- end }}
{{- end }}
{{- with $constraints }}
topologySpreadConstraints:
  {{- range . }}
  - {{ merge (deepCopy .) (dict "labelSelector" (dict "matchLabels" $selector)) | toYaml | nindent 4 | trim }}
  {{- end }}
{{- end }}
{{- end }}
