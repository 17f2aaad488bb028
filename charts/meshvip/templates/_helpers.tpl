{{- define "meshvip.selectorLabels" -}}
app.kubernetes.io/name: meshvip
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "meshvip.labels" -}}
{{ include "meshvip.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.labels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "meshvip.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}
{{- end }}

{{- define "meshvip.secretName" -}}
{{ .Values.certificates.secretName | default "meshvip-tls" }}
{{- end }}
