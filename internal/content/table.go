package content

func needed(names ...string) []Value {
	var out []Value
	for _, n := range names {
		out = append(out, Value{Name: n, Needed: true})
	}
	return out
}

func optional(all []Value, names ...string) []Value {
	for _, n := range names {
		all = append(all, Value{Name: n})
	}
	return all
}

func pemValues(names ...string) []Value {
	var out []Value
	for _, n := range names {
		out = append(out, Value{Name: n, Needed: true, pem: true})
	}
	return out
}

func kindTable() []Kind {
	return append(append(cloudKinds(), fileKinds()...), secretKinds()...)
}

func cloudKinds() []Kind {
	return []Kind{
		{
			Name: "aws-credentials", About: "AWS shared credentials file, an access key of an IAM user", Path: "/root/.aws/credentials", Mode: 0o600,
			Bits: idBits, Carrier: "secret access key",
			Values: optional(needed("accessKeyID", "secretAccessKey"), "region"), Parser: "aws-sdk-go-v2/config", make: (*job).aws,
		},
		{
			Name: "gcp-service-account", About: "Google Cloud service account key (JSON)", Path: "/root/.config/gcloud/application_default_credentials.json",
			Mode: 0o600, Bits: idBits, Carrier: "`private_key_id`, the `kid` of what the key signs",
			Values: append(optional(needed("clientEmail"), "privateKeyID", "projectID", "clientID"), pemValues("privateKey")...),
			Parser: "golang.org/x/oauth2/google", make: (*job).gcp,
		},
		{
			Name: "azure-credentials", About: "Azure SDK auth file of a service principal (JSON, `az ad sp create-for-rbac --sdk-auth`)",
			Path: "/root/.azure/azureauth.json", Mode: 0o600, Bits: idBits, Carrier: "client secret",
			Values: optional(needed("clientID", "clientSecret", "tenantID"), "subscriptionID"),
			Parser: "go-autorest/autorest/azure/auth, azidentity", make: (*job).azure,
		},
		{
			Name: "kubeconfig", About: "kubectl configuration with an administrator's client certificate", Path: "/root/.kube/config", Mode: 0o600,
			Bits: idBits, Carrier: "client key (EC P-256)",
			Values: append(needed("server"), append(pemValues("clientCertificate", "clientKey"), Value{Name: "certificateAuthority", pem: true})...),
			Parser: "k8s.io/client-go/tools/clientcmd", make: (*job).kubeconfig,
		},
		{
			Name: "kubernetes-token", About: "projected service account token (JWT)", Path: "/run/secrets/tokens/api-token", Mode: 0o644,
			Bits: idBits, Carrier: "signature", Values: needed("token"), Parser: "golang-jwt/jwt", make: (*job).kubernetesToken,
		},
	}
}

func fileKinds() []Kind {
	return []Kind{
		{
			Name: "ssh-private-key", About: "OpenSSH private key, Ed25519", Path: "/root/.ssh/id_ed25519", Mode: 0o600,
			Bits: idBits, Carrier: "seed of the key", Values: pemValues("privateKey"), Parser: "golang.org/x/crypto/ssh", make: (*job).ssh,
		},
		{
			Name: "tls-key", About: "EC P-256 key and its self-signed certificate in one PEM file", Path: "/etc/ssl/private/server.pem", Mode: 0o600,
			Bits: idBits, Carrier: "private key", Values: pemValues("privateKey", "certificate"), Parser: "crypto/tls", make: (*job).tls,
		},
		{
			Name: "env-file", About: "environment file of an application with its database", Path: "/app/.env", Mode: 0o640,
			Bits: idBits, Carrier: "password of the database", Values: needed("databaseURL"), Parser: "joho/godotenv", make: (*job).env,
		},
		{
			Name: "docker-config", About: "Docker client configuration, logged in to a registry", Path: "/root/.docker/config.json", Mode: 0o600,
			Bits: idBits, Carrier: "password of the registry", Values: needed("registry", "username", "password"), Parser: "docker/cli", make: (*job).docker,
		},
		{
			Name: "npmrc", About: "npm configuration with an access token", Path: "/root/.npmrc", Mode: 0o600,
			Bits: idBits, Carrier: "access token", Values: optional(needed("token"), "registry"), Parser: "gopkg.in/ini.v1", make: (*job).npm,
		},
		{
			Name: "pypirc", About: "PyPI upload configuration with an API token", Path: "/root/.pypirc", Mode: 0o600,
			Bits: idBits, Carrier: "signature of the API token", Values: needed("token"), Parser: "gopkg.in/ini.v1", make: (*job).pypi,
		},
		{
			Name: "netrc", About: "logins for curl, git and others", Path: "/root/.netrc", Mode: 0o600,
			Bits: idBits, Carrier: "password", Values: needed("machine", "login", "password"), Parser: "jdx/go-netrc", make: (*job).netrc,
		},
		{
			Name: "pgpass", About: "PostgreSQL password file", Path: "/root/.pgpass", Mode: 0o600,
			Bits: idBits, Carrier: "password", Values: optional(needed("host", "user", "password"), "port", "database"), Parser: "jackc/pgpassfile", make: (*job).pgpass,
		},
	}
}

func secretKinds() []Kind {
	return []Kind{
		{
			Name: "github-token", About: "GitHub personal access token (`ghp_`), with its checksum", Mode: 0o600,
			Bits: idBits, Carrier: "the token", Values: needed("token"), Parser: "its checksum", make: (*job).github,
		},
		{
			Name: "gitlab-token", About: "GitLab personal access token (`glpat-`)", Mode: 0o600,
			Bits: gitlabBits, Carrier: "the token", Values: needed("token"), Parser: "its published pattern", make: (*job).gitlab,
		},
		{
			Name: "slack-token", About: "Slack bot token (`xoxb-`)", Mode: 0o600,
			Bits: idBits, Carrier: "the token", Values: needed("token"), Parser: "its published pattern", make: (*job).slack,
		},
		{
			Name: "stripe-key", About: "Stripe secret key (`sk_live_`)", Mode: 0o600,
			Bits: idBits, Carrier: "the key", Values: needed("key"), Parser: "its published pattern", make: (*job).stripe,
		},
		{
			Name: "template", About: "what a Go template of your own gives (key `template`)", Mode: 0o644,
			Carrier: "where the template calls `id` or `password`", Parser: "",
		},
		{Name: "generic", About: "a content of your own (key `content` or `contentFile`)", Mode: 0o644},
	}
}
