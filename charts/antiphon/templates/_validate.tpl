{{/* What the schema cannot say. Every message begins with the value that is wrong. */}}
{{- define "antiphon.validate" -}}
{{- include "antiphon.validateConfig" . -}}
{{- include "antiphon.validateSecrets" . -}}
{{- include "antiphon.validateDrain" . -}}
{{- include "antiphon.validateScaling" . -}}
{{- include "antiphon.validateRoutes" (list . "gateway") -}}
{{- include "antiphon.validateRoutes" (list . "admin") -}}
{{- end }}

{{- define "antiphon.validateConfig" -}}
{{- $config := .Values.config -}}
{{- if hasKey $config "database" }}
{{- fail "config.database: the database's URL goes into the Secret as ANTIPHON_DATABASE__URL; database.kind says which kind it is" }}
{{- end }}
{{- if hasKey $config "secrets" }}
{{- fail "config.secrets: the master key goes into the Secret as ANTIPHON_SECRETS__MASTER_KEY" }}
{{- end }}
{{- if dig "redis" "url" "" $config }}
{{- fail "config.redis.url: the URL goes into the Secret as ANTIPHON_REDIS__URL; redis.enabled says that there is one" }}
{{- end }}
{{- if and (hasKey $config "redis") (not (include "antiphon.usesRedis" .)) }}
{{- fail "config.redis: settings without a Redis; set redis.enabled, with its URL in the Secret as ANTIPHON_REDIS__URL" }}
{{- end }}
{{- range $name := list "gateway" "metrics" "data_dir" }}
{{- if hasKey (dig "server" dict $config) $name }}
{{- fail (printf "config.server.%s: the chart sets it, since probes, Services and volumes must fit it" $name) }}
{{- end }}
{{- end }}
{{- if dig "server" "admin" "bind" "" $config }}
{{- fail "config.server.admin.bind: the chart sets it, since probes and Services must fit it" }}
{{- end }}
{{- range $index, $provider := $config.providers }}
{{- include "antiphon.validateNoSecret" (list $provider.api_key (printf "config.providers[%d].api_key" $index)) }}
{{- end }}
{{- range $index, $tenant := $config.tenants }}
{{- range $at, $key := $tenant.keys }}
{{- include "antiphon.validateNoSecret" (list $key.key (printf "config.tenants[%d].keys[%d].key" $index $at)) }}
{{- end }}
{{- end }}
{{- include "antiphon.validateNoSecret" (list (dig "oidc" "client_secret" "" $config) "config.oidc.client_secret") }}
{{- include "antiphon.validateNoSecret" (list (dig "smtp" "password" "" $config) "config.smtp.password") }}
{{- end }}

{{- define "antiphon.validateNoSecret" -}}
{{- $text := default "" (index . 0) | toString -}}
{{- if and $text (not (hasPrefix "${" $text)) }}
{{- fail (printf "%s: a ConfigMap is no place for a secret; write \"${NAME}\", with NAME in the Secret" (index . 1)) }}
{{- end }}
{{- end }}

{{- define "antiphon.validateSecrets" -}}
{{- $secrets := .Values.secrets -}}
{{- $sources := 0 -}}
{{- if $secrets.existingSecret }}{{ $sources = add1 $sources }}{{ end -}}
{{- if $secrets.values }}{{ $sources = add1 $sources }}{{ end -}}
{{- if $secrets.externalSecret.enabled }}{{ $sources = add1 $sources }}{{ end -}}
{{- if gt (int $sources) 1 }}
{{- fail "secrets: existingSecret, values and externalSecret exclude each other" }}
{{- end }}
{{- if $secrets.externalSecret.enabled }}
{{- if not $secrets.externalSecret.storeRef.name }}
{{- fail "secrets.externalSecret.storeRef.name: which store the secrets are in is missing" }}
{{- end }}
{{- if not (or $secrets.externalSecret.data $secrets.externalSecret.dataFrom) }}
{{- fail "secrets.externalSecret.data: neither data nor dataFrom says what is fetched" }}
{{- end }}
{{- end }}
{{- $known := or $secrets.existingSecret $secrets.externalSecret.enabled -}}
{{- if not (or $known (include "antiphon.isSqlite" .)) }}
{{- if not (hasKey $secrets.values "ANTIPHON_SECRETS__MASTER_KEY") }}
{{- fail "secrets: PostgreSQL needs a master key; give secrets.existingSecret a Secret with ANTIPHON_SECRETS__MASTER_KEY (openssl rand -base64 32)" }}
{{- end }}
{{- if not (or .Values.bundled.postgresql.enabled (hasKey $secrets.values "ANTIPHON_DATABASE__URL")) }}
{{- fail "secrets.values.ANTIPHON_DATABASE__URL: PostgreSQL's URL is missing, such as postgres://USER:PASSWORD@HOST/NAME" }}
{{- end }}
{{- end }}
{{- with $secrets.values.ANTIPHON_SECRETS__MASTER_KEY }}
{{- if not (regexMatch "^[A-Za-z0-9+/]{43}=$" .) }}
{{- fail "secrets.values.ANTIPHON_SECRETS__MASTER_KEY: must be 32 bytes in base64 (openssl rand -base64 32)" }}
{{- end }}
{{- end }}
{{- if and .Values.redis.enabled (not $known) (not .Values.bundled.redis.enabled) (not (hasKey $secrets.values "ANTIPHON_REDIS__URL")) }}
{{- fail "secrets.values.ANTIPHON_REDIS__URL: redis.enabled needs the URL of a Redis" }}
{{- end }}
{{- range $store := list "postgresql" "redis" }}
{{- $bundled := index $.Values.bundled $store -}}
{{- if and $bundled.enabled (not $bundled.password) }}
{{- fail (printf "bundled.%s.password: a password is missing" $store) }}
{{- end }}
{{- end }}
{{- end }}

{{- define "antiphon.validateDrain" -}}
{{- $needed := include "antiphon.graceNeeded" . | int -}}
{{- if lt (include "antiphon.grace" . | int) $needed }}
{{- fail (printf "gateway.terminationGracePeriodSeconds: %d is too short; preStopSeconds, config.timeouts.drain_delay, config.timeouts.drain and marginSeconds need %d" (include "antiphon.grace" . | int) $needed) }}
{{- end }}
{{- end }}

{{- define "antiphon.validateScaling" -}}
{{- $scaling := .Values.gateway.autoscaling -}}
{{- if $scaling.enabled }}
{{- if gt (int $scaling.minReplicas) (int $scaling.maxReplicas) }}
{{- fail (printf "gateway.autoscaling.maxReplicas: %d is less than minReplicas, %d" (int $scaling.maxReplicas) (int $scaling.minReplicas)) }}
{{- end }}
{{- if not (or $scaling.targetCPUUtilizationPercentage $scaling.targetActiveSessions) }}
{{- fail "gateway.autoscaling.targetCPUUtilizationPercentage: neither it nor targetActiveSessions says what to aim at" }}
{{- end }}
{{- if and (eq $scaling.kind "keda") $scaling.targetActiveSessions (not $scaling.prometheusAddress) }}
{{- fail "gateway.autoscaling.prometheusAddress: KEDA asks a Prometheus for targetActiveSessions" }}
{{- end }}
{{- end }}
{{- end }}

{{- define "antiphon.validateRoutes" -}}
{{- $root := index . 0 -}}{{- $plane := index . 1 -}}
{{- $values := index $root.Values $plane -}}
{{- if and $values.ingress.enabled (not $values.ingress.hosts) }}
{{- fail (printf "%s.ingress.hosts: an Ingress needs a host" $plane) }}
{{- end }}
{{- if and $values.httpRoute.enabled (not $values.httpRoute.parentRefs) }}
{{- fail (printf "%s.httpRoute.parentRefs: an HTTPRoute needs a gateway that it belongs to" $plane) }}
{{- end }}
{{- if and $values.service.externalTrafficPolicy (eq $values.service.type "ClusterIP") }}
{{- fail (printf "%s.service.externalTrafficPolicy: only LoadBalancer and NodePort have one" $plane) }}
{{- end }}
{{- $seconds := include "antiphon.seconds" (list $values.httpRoute.timeout (printf "%s.httpRoute.timeout" $plane)) | int -}}
{{- $needed := include "antiphon.sessionSeconds" $root | int -}}
{{- if and (eq $plane "gateway") (gt $seconds 0) (lt $seconds $needed) }}
{{- fail (printf "gateway.httpRoute.timeout: %s is shorter than config.limits.session_max_age, so it would cut sessions" $values.httpRoute.timeout) }}
{{- end }}
{{- end }}
