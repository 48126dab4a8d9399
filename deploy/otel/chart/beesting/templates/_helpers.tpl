{{- define "beesting.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "beesting.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains (include "beesting.name" .) .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "beesting.name" .) | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "beesting.labels" -}}
{{ include "beesting.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "beesting.selector" -}}
app.kubernetes.io/name: {{ include "beesting.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "beesting.serviceAccount" -}}
{{- default (ternary (include "beesting.fullname" .) "default" .Values.serviceAccount.create) .Values.serviceAccount.name -}}
{{- end -}}

{{- define "beesting.priorityClass" -}}
{{- default (ternary (include "beesting.fullname" .) "" .Values.priorityClass.create) .Values.priorityClass.name -}}
{{- end -}}

{{- /* An image's reference, of a dict with image and chart. */ -}}
{{- define "beesting.image" -}}
{{- with .image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ default $.chart.AppVersion .tag }}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "beesting.filesDir" -}}
{{- default (printf "%s/plugins/kubernetes.io" .Values.node.kubeletDir) .Values.node.filesDir -}}
{{- end -}}

{{- define "beesting.endpoint" -}}
{{- if .Values.otlp.endpoint -}}
{{ .Values.otlp.endpoint }}
{{- else if .Values.gateway.enabled -}}
{{- printf "%s://%s-gateway.%s:%s" (ternary "https" "http" (ne .Values.gateway.tlsSecret "")) (include "beesting.fullname" .) .Release.Namespace (ternary "4317" "4318" (eq .Values.otlp.protocol "grpc")) -}}
{{- else if eq .Values.mode "agent" -}}
{{- fail "say where accesses go: set otlp.endpoint, or gateway.enabled=true" -}}
{{- end -}}
{{- end -}}

{{- define "beesting.collectorEndpoint" -}}
{{- if .Values.collector.endpoint -}}
{{ .Values.collector.endpoint }}
{{- else if .Values.gateway.enabled -}}
{{ include "beesting.fullname" . }}-gateway.{{ .Release.Namespace }}:4317
{{- else -}}
{{- fail "say where accesses go: set collector.endpoint, or gateway.enabled=true" -}}
{{- end -}}
{{- end -}}

{{- /* The agent's configuration: what is yours, and where things are. */ -}}
{{- define "beesting.config" -}}
{{- $c := deepCopy .Values.config -}}
{{- range $key := list "tokens" "match" "stateDir" "filesDir" "controlSocket" -}}
{{- if hasKey $c $key -}}{{- fail (printf "config.%s has a value of its own in this chart" $key) -}}{{- end -}}
{{- end -}}
{{- $nri := merge (dict "socket" (printf "%s/nri.sock" .Values.node.nriDir)) (default dict $c.nri) -}}
{{- $sensor := merge (dict "pin" (ternary (printf "%s/beesting" .Values.node.bpffs) "" (ne .Values.node.bpffs ""))) (default dict $c.sensor) -}}
{{- $c = merge (dict "tokens" .Values.tokens "match" .Values.match "stateDir" .Values.node.stateDir "filesDir" (include "beesting.filesDir" .) "nri" $nri "sensor" $sensor) $c -}}
{{ toYaml $c }}
{{- end -}}

{{- /* What agent and Collector have in common on a node. */ -}}
{{- define "beesting.securityContext" -}}
privileged: false
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsUser: 0
capabilities:
  drop: [ALL]
  add: {{ toJson .Values.capabilities }}
seccompProfile: {{ toJson .Values.seccompProfile }}
appArmorProfile: {{ toJson .Values.appArmorProfile }}
{{- with .Values.seLinuxOptions }}
seLinuxOptions: {{ toJson . }}
{{- end }}
{{- end -}}

{{- define "beesting.hostMounts" -}}
- {name: nri, mountPath: {{ .Values.node.nriDir }}}
- {name: state, mountPath: {{ .Values.node.stateDir }}}
- {name: files, mountPath: {{ include "beesting.filesDir" . }}}
- {name: cgroup, mountPath: /sys/fs/cgroup, readOnly: true}
{{- if .Values.node.bpffs }}
- {name: bpffs, mountPath: {{ .Values.node.bpffs }}}
{{- end }}
{{- end -}}

{{- define "beesting.hostVolumes" -}}
# The runtime's socket, and a lock beside it, so that no second agent registers.
- name: nri
  hostPath: {path: {{ .Values.node.nriDir }}, type: Directory}
# Both at the same path as on the host: the runtime mounts from here.
- name: state
  hostPath: {path: {{ .Values.node.stateDir }}, type: DirectoryOrCreate}
- name: files
  hostPath: {path: {{ include "beesting.filesDir" . }}, type: DirectoryOrCreate}
# In a container's own cgroup namespace the other containers' cgroups don't exist.
- name: cgroup
  hostPath: {path: /sys/fs/cgroup, type: Directory}
{{- if .Values.node.bpffs }}
- name: bpffs
  hostPath: {path: {{ .Values.node.bpffs }}, type: Directory}
{{- end }}
{{- end -}}
