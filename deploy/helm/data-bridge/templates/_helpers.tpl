{{- define "bridge.name" -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{- define "bridge.selector" -}}
app.kubernetes.io/name: data-bridge
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "bridge.labels" -}}
{{ include "bridge.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "bridge.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}

{{- define "bridge.account" -}}
{{- if .Values.serviceAccount.create -}}
{{ .Values.serviceAccount.name | default (include "bridge.name" .) }}
{{- else -}}
{{ .Values.serviceAccount.name | default "default" }}
{{- end -}}
{{- end -}}

{{- define "bridge.hub" -}}
http://{{ include "bridge.name" . }}-hub:9400
{{- end -}}

{{/* bridge.yaml: what `config` says, and what the chart has to see to. */}}
{{- define "bridge.config" -}}
{{- $config := deepCopy .Values.config -}}
{{- $http := deepCopy ($config.http | default dict) -}}
{{- $hub := deepCopy ($config.hub | default dict) -}}
{{- if not $http.listen -}}{{- $_ := set $http "listen" "0.0.0.0:9401" -}}{{- end -}}
{{- /* The hub reaches a pod by its name in the headless service. */ -}}
{{- if not $http.advertise -}}{{- $_ := set $http "advertise" (printf "http://${INSTANCE_ID:-localhost}.%s:9401" (include "bridge.name" .)) -}}{{- end -}}
{{- if not $hub.listen -}}{{- $_ := set $hub "listen" "0.0.0.0:9400" -}}{{- end -}}
{{- if and .Values.hub.enabled (not $hub.url) -}}{{- $_ := set $hub "url" (include "bridge.hub" .) -}}{{- end -}}
{{- if .Values.secrets.httpToken.name -}}{{- $_ := set $http "token" "${DATA_BRIDGE_TOKEN}" -}}{{- end -}}
{{- $_ := set $config "http" $http -}}
{{- $_ := set $config "hub" $hub -}}
{{- toYaml $config -}}
{{- end -}}

{{- define "bridge.secretEnv" -}}
{{- with .Values.secrets.clickhousePassword }}{{ if .name }}
- name: CLICKHOUSE_PASSWORD
  valueFrom: { secretKeyRef: { name: {{ .name }}, key: {{ .key }} } }
{{- end }}{{ end }}
{{- with .Values.secrets.httpToken }}{{ if .name }}
- name: DATA_BRIDGE_TOKEN
  valueFrom: { secretKeyRef: { name: {{ .name }}, key: {{ .key }} } }
{{- end }}{{ end }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "bridge.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
seccompProfile: { type: RuntimeDefault }
{{- end -}}

{{- define "bridge.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: { drop: [ALL] }
{{- end -}}
