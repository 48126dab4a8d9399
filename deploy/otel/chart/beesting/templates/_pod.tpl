{{- /* The part of a pod that agent and Collector on a node have in common. */ -}}
{{- define "beesting.podSpec" -}}
serviceAccountName: {{ include "beesting.serviceAccount" . }}
automountServiceAccountToken: {{ .Values.rbac.create }}
# Who touched a token is a process of another container, which is looked at in /proc.
hostPID: true
hostNetwork: false
hostIPC: false
enableServiceLinks: false
terminationGracePeriodSeconds: {{ .Values.terminationGracePeriodSeconds }}
{{- with include "beesting.priorityClass" . }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}
