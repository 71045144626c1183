{{- define "millrace.fullname" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 52 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 52 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "millrace.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "millrace.labels" -}}
{{ include "millrace.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "millrace.hasClickHouse" -}}
{{- if or .Values.clickhouse.url .Values.clickhouse.urlFrom }}true{{ end }}
{{- end }}

{{/* What the schema cannot say: values that need each other. */}}
{{- define "millrace.check" -}}
{{- if and (gt (int .Values.replicas) 1) (not (include "millrace.hasClickHouse" .)) }}
{{- fail "replicas: with the embedded ClickHouse there is one server; set clickhouse.url for more" }}
{{- end }}
{{- if and .Values.clickhouse.url .Values.clickhouse.urlFrom }}
{{- fail "clickhouse.url and clickhouse.urlFrom: set one of them" }}
{{- end }}
{{- if and (include "millrace.hasClickHouse" .) (not .Values.clickhouse.existingSecret) }}
{{- fail "clickhouse.existingSecret: name a Secret with the password of clickhouse.user" }}
{{- end }}
{{- if and .Values.clickhouse.cluster (not (include "millrace.hasClickHouse" .)) }}
{{- fail "clickhouse.cluster: set clickhouse.url, the addresses of its shards" }}
{{- end }}
{{- if not (or .Values.keys.existingSecret .Values.insecureNoKeys) }}
{{- fail "keys.existingSecret: name a Secret with keys.toml (values.yaml says how to make it), or set insecureNoKeys" }}
{{- end }}
{{- if and .Values.people.existingSecret (not .Values.keys.existingSecret) }}
{{- fail "people.existingSecret: log-in of people needs keys; set keys.existingSecret" }}
{{- end }}
{{- end }}
